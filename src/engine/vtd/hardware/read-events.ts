import { wordOf } from '../../bits/index.ts';
import { FOR_TABLE } from '../../pagetable/access.ts';
import { secondStageEntryLayout } from '../../pagetable/vtd-second-stage-layout.ts';
import { x86EntryLayout } from '../../pagetable/x86-64-layout.ts';
import { type ReadStep, stageOf, type TraceEvent, type WalkStages } from '../../trace/index.ts';
import { entryMeans, pageOf } from './walk-stages.ts';

/** What a VT-d unit tells of the memory it reads and writes on its own. Built only while somebody listens. */

export type RecordName = 'Root' | 'Context' | 'PASIDDir' | 'PASID';

/** A paging entry that was read or written: its address and value in halves. */
export interface EntryAt {
  readonly stage: 1 | 2;
  readonly level: number;
  readonly hi: number;
  readonly lo: number;
  readonly valueHi: number;
  readonly valueLo: number;
}

/** Address, value and layout of a paging entry, as an event has them. */
function described(e: EntryAt): { address: number; words: readonly bigint[]; layout: string } {
  const word = wordOf(e.valueHi, e.valueLo);
  const layout = e.stage === 1 ? x86EntryLayout(e.level, word) : secondStageEntryLayout(e.level, word);
  return { address: (e.hi >>> 0) * 4294967296 + (e.lo >>> 0), words: [word], layout: layout.id };
}

/** A root, context, PASID directory or PASID table entry was read; `halves` are its 32-bit halves. */
export function recordEvent(
  at: string,
  what: RecordName,
  address: number,
  halves: Uint32Array,
  layout: string,
  text: string,
  means: string,
): TraceEvent {
  const words = Array.from({ length: halves.length / 2 }, (_, i) => wordOf(halves[2 * i + 1]!, halves[2 * i]!));
  const step: ReadStep = { what, level: -1, s1Level: -1, means };
  return { kind: 'memory.read', actor: 'iommu', at, address, words, layout, step, text };
}

/** Which read of a walk it is. For the second stage, `purpose` and `fsLevel` say for what. */
export const stepOf = (stage: 1 | 2, level: number, purpose: number, fsLevel: number): ReadStep =>
  stage === 1
    ? { what: 'S1', level, s1Level: level }
    : { what: 'S2', level, s1Level: fsLevel, purpose: purpose === FOR_TABLE ? 'S1' : 'out' };

/** A paging entry was read. @param input its address before the second stage, or what that translates */
export function readEvent(at: string, e: EntryAt, which: ReadStep, stages: WalkStages, input: number): TraceEvent {
  const { stage, level } = e;
  const d = described(e);
  const form = d.layout.split('.')[1]!;
  const page = pageOf(form);
  const step: ReadStep = {
    ...which,
    ...stageOf(which, stages),
    ...(stages.second && { input }),
    means: entryMeans(form, stage, level, e.valueLo, e.valueHi),
    ...(page !== undefined && { page }),
  };
  const text = `${stage === 1 ? 'FS' : 'SS'} level ${level}: ${form}`;
  return { kind: 'memory.read', actor: 'iommu', at, ...d, step, text };
}

/** Names of the bits that hardware sets, by stage and bit. */
const marks: Readonly<Record<1 | 2, readonly (readonly [number, string])[]>> = {
  1: [
    [0x20, 'A'],
    [0x40, 'D'],
    [0x400, 'EA'],
  ],
  2: [
    [0x100, 'A'],
    [0x200, 'D'],
  ],
};

/** Hardware has updated an entry; `changed` has the bits of its low half. */
export function updateEvent(at: string, e: EntryAt, changed: number): TraceEvent {
  const bits = marks[e.stage].flatMap(([bit, name]) => ((changed & bit) !== 0 ? [name] : []));
  const text = `hardware sets ${bits.join(' and ')}, ${e.stage === 1 ? 'FS' : 'SS'} level ${e.level}`;
  return { kind: 'table.write', actor: 'iommu', at, space: 'host', ...described(e), text };
}
