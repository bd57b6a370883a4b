import type { FirstStage, SecondStage } from '../../pagetable/vtd-walk.ts';
import { type Covered, coveredRecords, type WalkStage, type WalkStages } from '../../trace/index.ts';
import { type ConfigCacheName, configCells, pasidText } from './cache-text.ts';
import { type ContextEntry, decodeContext, decodeLegacyContext, decodePasidEntry, type PasidEntry } from './config.ts';
import type { VtdFeatures } from './features.ts';
import type { RecordName } from './read-events.ts';

/** What a unit tells of its stages to whoever draws a walk. Built only while somebody listens. */

/** What a request uses, as far as it has come. */
export interface StagesInUse {
  readonly context: ContextEntry | null;
  readonly entry: PasidEntry | null;
}

const levelsFrom = (top: number): readonly number[] => Array.from({ length: top }, (_, i) => top - i);

const known = new WeakMap<FirstStage | SecondStage, WalkStage>();

/** The same object for the same tables, since every read of a walk has it. */
function stage(s: FirstStage | SecondStage, make: () => Omit<WalkStage, 'levels'>): WalkStage {
  let made = known.get(s);
  if (made === undefined) known.set(s, (made = { ...make(), levels: levelsFrom(s.levels) }));
  return made;
}

/** The stages of a request; none in pass-through. */
export function stagesOf({ context, entry }: StagesInUse): WalkStages {
  const fs = entry?.fs ?? null;
  const ss = entry === null ? (context?.ss ?? null) : entry.ss;
  const did = entry?.did ?? context?.did ?? 0;
  return {
    ...(fs !== null && {
      first: stage(fs, () => ({
        name: 'FS',
        text: `4 KiB tables, PASID ${pasidText(entry!.pasid)}${ss === null ? `, DID ${did}` : ''}`,
        input: 'IOVA',
        output: ss === null ? 'PA' : 'GPA',
      })),
    }),
    ...(ss !== null && {
      second: stage(ss, () => ({
        name: 'SS',
        text: `4 KiB tables, DID ${did}`,
        input: fs === null ? 'IOVA' : 'GPA',
        output: 'PA',
      })),
    }),
  };
}

/** What a hit in a configuration cache stands for. */
export const coveredConfig = (cache: ConfigCacheName): Covered =>
  coveredRecords(cache === 'Context' ? ['Root', 'Context'] : ['PASIDDir', 'PASID']);

/** What a record says; `words` are its halves. */
export function recordMeans(
  what: RecordName,
  words: Uint32Array,
  legacy: boolean,
  key: number,
  f: VtdFeatures,
): string {
  switch (what) {
    case 'Root': {
      const half = !legacy && (key & 0xff) >= 0x80 ? 2 : 0;
      return (words[half]! & 1) === 0 ? 'not present' : half === 2 ? 'table, upper half' : 'table';
    }
    case 'Context': {
      const decode = legacy ? decodeLegacyContext : decodeContext;
      return configCells('Context', decode(words, key, 0, 0, f))[1]!;
    }
    case 'PASIDDir':
      return (words[0]! & 1) === 0 ? 'not present' : 'table';
    case 'PASID': {
      const at = { rid: 0, pasid: key, uid: 0, address: 0, directory: 0n, directoryAddress: 0 };
      const [, , did, content] = configCells('PASID', decodePasidEntry(words, at, f));
      return did === '–' ? content! : `${content} DID ${did}`;
    }
  }
}

const sizes: Readonly<Record<number, string>> = { 1: '', 2: '2 MiB ', 3: '1 GiB ' };

/** Log2 of the page of an entry that maps one, by the name of its layout; undefined of the others. */
export const pageOf = (form: string): number | undefined =>
  form === 'page' ? 12 : form === '2m' ? 21 : form === '1g' ? 30 : undefined;

/**
 * What a paging entry says, in the words of its fields. Source: VT-d specification, 9.8, 9.9.
 * @param form  `table`, `page`, `2m`, `1g` or `absent`, as its layout is named
 */
export function entryMeans(form: string, stageNumber: 1 | 2, level: number, low: number, high: number): string {
  if (form === 'absent') return 'not present';
  const leaf = form !== 'table';
  const flags: string[] = [];
  const add = (bit: number, name: string): void => {
    if (((low >>> bit) & 1) !== 0) flags.push(name);
  };
  if (stageNumber === 1) {
    flags.push((low & 2) !== 0 ? 'RW' : 'RO', (low & 4) !== 0 ? 'U' : 'S');
    add(5, 'A');
    if (leaf) add(6, 'D');
    if (high < 0) flags.push('XD');
  } else {
    flags.push((['none', 'RO', 'WO', 'RW'] as const)[low & 3]!);
    add(8, 'A');
    if (leaf) add(9, 'D');
    if (leaf) add(11, 'SNP');
  }
  return `${leaf ? `${sizes[level] ?? ''}page` : 'table'} ${flags.join(' ')}`;
}
