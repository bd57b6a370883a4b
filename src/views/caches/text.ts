import { countsText, type Group } from './arrange.ts';
import { type Entry, numberOf, stateText } from './model.ts';
import { lifeText } from './say.ts';

/** The view as text. */

export interface TextRow {
  readonly entry: Entry;
  /** `#3` */
  readonly number: string;
  readonly state: string;
  readonly cells: readonly string[];
  /** Its whole life in a sentence. */
  readonly life: string;
}

export interface TextSection {
  readonly key: string;
  /** `IOTLB`, `VMID 1: IOTLB` */
  readonly title: string;
  /** `4 cached, 1 stale` */
  readonly counts: string;
  readonly columns: readonly string[];
  readonly rows: readonly TextRow[];
  /** Rows that are left out. */
  readonly more: number;
}

/** @param most rows of a cache that are written out */
export function cachesText(groups: readonly Group[], most = 200): TextSection[] {
  return groups.flatMap((g) =>
    g.sections.map((s) => ({
      key: s.key,
      title: g.title === '' ? s.cache.title : `${g.title}: ${s.cache.title}`,
      counts: countsText(s.counts),
      columns: s.cache.columns,
      rows: s.entries.slice(0, most).map((entry) => ({
        entry,
        number: `#${numberOf(entry.life)}`,
        state: stateText(entry).word,
        cells: entry.life.cells,
        life: lifeText(entry.life),
      })),
      more: Math.max(0, s.entries.length - most),
    })),
  );
}

/** The same as lines, to be copied. */
export function cachesPlainText(groups: readonly Group[]): string {
  return cachesText(groups, Number.POSITIVE_INFINITY)
    .map((s) =>
      [
        `${s.title} (${s.counts})`,
        ...s.rows.map(
          (r) =>
            `  ${r.number} ${r.cells.map((c, i) => `${s.columns[i] ?? ''} ${c}`).join(', ')}: ${r.state}. ${r.life}.`,
        ),
      ].join('\n'),
    )
    .join('\n\n');
}
