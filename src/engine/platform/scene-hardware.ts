import { FIRST_LINK, LAST_LINK, STRIDE, type TranslationCache, UID } from '../cache/index.ts';
import { deviceId, type Hazard, type SceneCache, type SceneObject } from '../machine/index.ts';
import { type PciDevice, ridText } from '../pci/index.ts';

/** A scene object before its band's common parts are put in. */
export type Draft = Omit<SceneObject, 'band' | 'refs'> & { refs?: SceneObject['refs'] };

export const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

/** `empty`, `1 entry`, `5 entries` */
export const entries = (n: number): string[] => [n === 0 ? 'empty' : n === 1 ? '1 entry' : `${n} entries`];

/** Row ids of a cache's stale entries. */
export const staleIn = (hazards: readonly Hazard[], at: string): ReadonlySet<number> =>
  new Set(hazards.filter((x) => x.at === at).map((x) => x.entry));

interface KnownRow {
  /** The entry that it was made of, without its links. */
  readonly words: Int32Array;
  row: SceneCache['rows'][number];
}

const known = new WeakMap<TranslationCache, Map<number, KnownRow>>();

function sameEntry(c: TranslationCache, i: number, words: Int32Array): boolean {
  for (let k = 0; k < STRIDE; k++) if ((k < FIRST_LINK || k > LAST_LINK) && c.e[i + k] !== words[k]) return false;
  return true;
}

/**
 * The same row for the same entry as long as it is not stale or not any more: thousands of entries that stay as they are
 * need no new texts.
 * @param cells a row's texts, by the index that `forEach` gives; they follow from the entry alone
 */
export function cacheOf(
  c: TranslationCache,
  columns: readonly string[],
  cells: (i: number) => readonly string[],
  stale: ReadonlySet<number>,
): SceneCache {
  let of = known.get(c);
  if (!of || of.size > 2 * c.size + 64) known.set(c, (of = new Map()));
  const rows: SceneCache['rows'][number][] = [];
  c.forEach((i) => {
    const id = c.e[i + UID]!;
    let k = of.get(id);
    if (!k || !sameEntry(c, i, k.words))
      of.set(id, (k = { words: c.e.slice(i, i + STRIDE), row: { id, cells: cells(i), stale: stale.has(id) } }));
    else if (k.row.stale !== stale.has(id)) k.row = { ...k.row, stale: stale.has(id) };
    rows.push(k.row);
  });
  return { columns, rows };
}

const atsText = (d: PciDevice): string => (d.atsCapable ? (d.atsEnabled ? 'ATS on' : 'ATS off') : 'no ATS');

/**
 * A device on the bus.
 * @param waits what it waits for, '' when for nothing but an answer to its page requests
 */
export function deviceObject(d: PciDevice, waits: string, refs: SceneObject['refs'], atc: SceneCache): Draft {
  const groups = d.pri.waiting();
  const all = waits || (groups.length > 0 ? `PRG ${groups.map((g) => g.group).join(', ')} open` : '');
  return {
    id: deviceId(d),
    type: 'device',
    title: d.name,
    device: d.name,
    // Two lines always: a box that grows in the middle of a step would push what stands below it. Where there is room
    // for one, waiting tells more than a number.
    lines: all === '' ? [ridText(d.rid), atsText(d)] : [all, ridText(d.rid)],
    refs,
    ...(d.atsCapable ? { cache: atc } : {}),
  };
}
