import { wordOf } from '../../bits/index.ts';
import { FOR_CD, FOR_TABLE } from '../../pagetable/vmsav8.ts';
import { descriptorLayout, type Granule } from '../../pagetable/vmsav8-layout.ts';
import { type ReadStep, stageOf, type TraceEvent, type WalkStages } from '../../trace/index.ts';
import { descriptorMeans, spanOf } from './walk-stages.ts';

/** What the SMMU tells of the memory it reads and writes on its own. Built only while somebody listens. */

export type RecordName = 'L1STD' | 'STE' | 'L1CD' | 'CD';

/** A descriptor that was read or written: its address and value in halves, and the shape of its tables. */
export interface DescriptorAt {
  readonly stage: 1 | 2;
  readonly level: number;
  readonly hi: number;
  readonly lo: number;
  readonly valueHi: number;
  readonly valueLo: number;
  /** Log2. */
  readonly granule: number;
  /** 52-bit addresses. */
  readonly wide: boolean;
}

const address = (d: DescriptorAt): number => (d.hi >>> 0) * 4294967296 + (d.lo >>> 0);
const layoutOf = (d: DescriptorAt): string =>
  descriptorLayout(d.stage, d.level, d.valueLo >>> 0, d.granule as Granule, d.wide).id;

/**
 * A record of the configuration was read. `content` is sixteen halves or one word; `more`: what it says, and its address
 * before stage 2.
 */
export function recordEvent(
  at: string,
  what: RecordName,
  where: number,
  content: Uint32Array | bigint,
  text: string,
  more: Pick<ReadStep, 'means' | 'input'>,
): TraceEvent {
  const words =
    typeof content === 'bigint'
      ? [content]
      : Array.from({ length: 8 }, (_, i) => wordOf(content[2 * i + 1]!, content[2 * i]!));
  const layout = `smmuv3.${what.toLowerCase()}`;
  const step: ReadStep = { what, level: -1, s1Level: -1, ...more };
  return { kind: 'memory.read', actor: 'iommu', at, address: where, words, layout, step, text };
}

/** Which read of a walk it is. For stage 2, `purpose` and `s1Level` say for what, and `record` for which one of the configuration. */
export function stepOf(stage: 1 | 2, level: number, purpose: number, s1Level: number, record: 'CD' | 'L1CD'): ReadStep {
  if (stage === 1) return { what: 'S1', level, s1Level: level };
  return { what: 'S2', level, s1Level, purpose: purpose === FOR_CD ? record : purpose === FOR_TABLE ? 'S1' : 'out' };
}

/** A table descriptor was read. @param input its address before stage 2, or what stage 2 translates; undefined: none */
export function readEvent(
  at: string,
  d: DescriptorAt,
  which: ReadStep,
  stages: WalkStages,
  input: number | undefined,
): TraceEvent {
  const { stage, level } = d;
  const layout = layoutOf(d);
  const form = layout.split('.')[2]!;
  const step: ReadStep = {
    ...which,
    ...stageOf(which, stages),
    ...(input !== undefined && { input }),
    means: descriptorMeans(form, d),
    ...((form === 'page' || form === 'block') && { page: spanOf(d.granule, level) }),
  };
  return {
    kind: 'memory.read',
    actor: 'iommu',
    at,
    address: address(d),
    words: [wordOf(d.valueHi, d.valueLo)],
    layout,
    step,
    text: `stage ${stage} level ${level}: ${form}`,
  };
}

/** Hardware has updated a leaf; `changed` has the bits of its low half: 10 access flag, 7 dirty state. */
export function updateEvent(at: string, d: DescriptorAt, changed: number): TraceEvent {
  const what = [(changed & 0x400) !== 0 ? 'access flag' : '', (changed & 0x80) !== 0 ? 'dirty state' : ''];
  return {
    kind: 'table.write',
    actor: 'iommu',
    at,
    space: 'host',
    address: address(d),
    words: [wordOf(d.valueHi, d.valueLo)],
    layout: layoutOf(d),
    text: `hardware sets ${what.filter((x) => x !== '').join(' and ')}, stage ${d.stage} level ${d.level}`,
  };
}
