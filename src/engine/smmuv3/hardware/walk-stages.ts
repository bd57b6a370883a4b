import { fieldOf, getField } from '../../bits/index.ts';
import type { StageConfig } from '../../pagetable/vmsav8.ts';
import type { Covered, CoveredRow, WalkStage, WalkStages } from '../../trace/index.ts';
import { coveredRecords } from '../../trace/index.ts';
import { l1stdLayout } from '../layout/index.ts';
import type { CdConfig, SteConfig } from './config.ts';

/** What the SMMU tells of its stages to whoever draws a walk. Built only while somebody listens. */

/** What a request uses, as far as it has come. */
export interface StagesInUse {
  readonly ste: SteConfig | null;
  readonly cd: CdConfig | null;
  /** Tables of stage 1; null before they are chosen, and without stage 1. */
  readonly first: StageConfig | null;
  /** Which record of the configuration stage 2 is asked for. */
  readonly record: 'CD' | 'L1CD';
  /** Whether level-1 descriptors find the STE. */
  readonly twoLevel: boolean;
}

const levelsOf = (s: StageConfig): readonly number[] => allLevels.slice(s.startLevel);
const allLevels = [0, 1, 2, 3] as const;

/** ` 2 tables concatenated` where the first level has more than one. */
function granuleText(s: StageConfig): string {
  const tables = (s.firstMask + 1) / 2 ** (s.granule - 3);
  return `${2 ** (s.granule - 10)} KiB granule${tables > 1 ? `, ${tables} tables concatenated` : ''}`;
}

const known = new WeakMap<StageConfig, WalkStage>();

/** The same object for the same tables, since every read of a walk has it. */
function stage(s: StageConfig, make: () => Pick<WalkStage, 'name' | 'text' | 'input' | 'output'>): WalkStage {
  let made = known.get(s);
  if (made === undefined) known.set(s, (made = { ...make(), levels: levelsOf(s) }));
  return made;
}

export const firstStage = (u: StagesInUse): WalkStage | undefined =>
  u.first === null
    ? undefined
    : stage(u.first, () => ({
        name: 'S1',
        text: [
          granuleText(u.first!),
          u.first === u.cd?.ttb1 ? 'TTB1' : 'TTB0',
          ...(u.cd === null || u.cd.single ? [] : [`ASID ${u.cd.asid}`]),
        ].join(', '),
        input: 'VA',
        output: u.ste?.s2 ? 'IPA' : 'PA',
      }));

export const secondStage = (ste: SteConfig | null): WalkStage | undefined =>
  ste === null || ste.s2 === null
    ? undefined
    : stage(ste.s2, () => ({
        name: 'S2',
        text: `${granuleText(ste.s2!)}, VMID ${ste.vmid}`,
        input: 'IPA',
        output: 'PA',
      }));

export function stagesOf(u: StagesInUse): WalkStages {
  const first = firstStage(u);
  const second = secondStage(u.ste);
  return { ...(first && { first }), ...(second && { second }) };
}

/** What a hit in a configuration cache stands for. */
export function coveredConfig(cache: 'STE' | 'CD' | 'L1STD' | 'L1CD', u: StagesInUse): Covered {
  const second = secondStage(u.ste);
  const level1: readonly CoveredRow['what'][] = u.ste !== null && u.ste.s1Fmt !== 0 ? ['L1CD'] : [];
  switch (cache) {
    case 'L1STD':
      return coveredRecords(['L1STD']);
    case 'STE':
      return coveredRecords(u.twoLevel ? ['L1STD', 'STE'] : ['STE']);
    case 'L1CD':
      return coveredRecords(['L1CD'], second);
    case 'CD':
      return coveredRecords([...level1, 'CD'], second);
  }
}

const span = fieldOf(l1stdLayout, 'Span');

/** What a level-1 descriptor says. */
export function levelOneMeans(what: 'L1STD' | 'L1CD', word: bigint): string {
  if (what === 'L1CD') return (word & 1n) === 0n ? 'invalid' : 'table';
  const n = Number(getField(span, [word]));
  return n === 0 ? 'invalid' : `table of ${2 ** (n - 1)}`;
}

const sizes = ['', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
const sizeOf = (shift: number): string => `${2 ** (shift % 10)} ${sizes[Math.floor(shift / 10)]!}`;

/** Log2 of what a descriptor of a level covers. */
export const spanOf = (granule: number, level: number): number => granule + (3 - level) * (granule - 3);

const bit = (half: number, n: number): boolean => ((half >>> n) & 1) !== 0;

/**
 * What a descriptor says, in the words of its fields. Source: Arm DDI 0487 D8.3.
 * @param form  `table`, `page`, `block` or `invalid`, as its layout is named
 */
export function descriptorMeans(
  form: string,
  d: { stage: 1 | 2; level: number; granule: number; valueHi: number; valueLo: number },
): string {
  const { valueHi: hi, valueLo: lo } = d;
  if (form === 'invalid') return form;
  const flags: string[] = [];
  const add = (on: boolean, name: string): void => {
    if (on) flags.push(name);
  };
  if (form === 'table') {
    if (d.stage === 1) {
      add(bit(hi, 30), 'RO');
      add(bit(hi, 29), 'EL1');
      add(bit(hi, 28), 'UXN');
      add(bit(hi, 27), 'PXN');
    }
    return ['table', ...flags].join(' ');
  }
  if (d.stage === 1) {
    flags.push(bit(lo, 7) ? 'RO' : 'RW');
    add(!bit(lo, 6), 'EL1');
  } else flags.push(['none', 'RO', 'WO', 'RW'][(lo >>> 6) & 3]!);
  add(bit(lo, 10), 'AF');
  add(bit(hi, 19), 'DBM');
  add(bit(hi, 20), 'cont');
  const size = form === 'page' && d.granule === 12 ? '' : `${sizeOf(spanOf(d.granule, d.level))} `;
  return `${size}${form} ${flags.join(' ')}`;
}
