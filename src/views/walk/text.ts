import { hex } from '../../engine/bits/index.ts';
import type { WalkStage } from '../../engine/trace/index.ts';
import { readsUntil, savings } from './model.ts';
import { type Cell, cellsOf, type Saving, type Walk, type WalkRow } from './types.ts';

/** A walk in words, and as a table for whoever doesn't look at the grid. */

export type CellState = 'read' | 'reading' | 'skipped' | 'beyond' | 'unreached' | 'coming' | 'none';

/** What a cell is when the head stands at a position. */
export function cellState(walk: Walk, row: WalkRow, cell: Cell, event: number): CellState {
  const { read, saved, beyond } = cell;
  if (read) return read.event < event ? 'read' : read.event === event ? 'reading' : 'coming';
  if (saved) return saved.event <= event ? 'skipped' : 'coming';
  if (beyond && row.again === 0) return beyond.event <= event ? 'beyond' : 'coming';
  // A record that no second stage finds has no such cells, and a walk that comes back shows only what it does again.
  if (row.again > 0 || (row.kind === 'record' && row.second.every((c) => !c.read && !c.saved && !c.stop))) {
    if (cell.level !== null || row.again > 0) return 'none';
  }
  return walk.end.event <= event ? 'unreached' : 'coming';
}

/** `2 MiB` of a log2. */
export const sizeName = (shift: number): string =>
  `${2 ** (shift % 10)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'][Math.floor(shift / 10)]}`;

const levels = (n: number): string => (n === 1 ? '1 level' : `${n} levels`);
const counted = (n: number, what: string): string => (n === 1 ? `1 ${what}` : `${n} ${what}s`);

/** Raw words: the first of a longer record, and how many follow. */
export const wordsText = (words: readonly bigint[]): string =>
  `${hex(words[0] ?? 0n)}${words.length > 1 ? ` +${words.length - 1}` : ''}`;

/** Cache and tag of an entry: `S1 walk 1 2 0x40_0000`. */
export const savingText = (s: Saving): string =>
  `${s.entry.cache} ${s.entry.cells.filter((c) => c !== '' && c !== s.entry.cache).join(' ')}`;

/** What asked for the translation: `nic0 reads 0x1_2345_6789, PASID 1`. */
export function requestText({ request: r }: Walk): string {
  const address = r.iova === null ? 'an address' : hex(r.iova);
  const pasid =
    r.cause === 'retry' || r.cause === 'command' ? '' : r.pasid < 0 ? ', no PASID' : `, PASID ${hex(r.pasid)}`;
  switch (r.cause) {
    case 'access':
      return r.iova === null ? `${r.device}: an access` : `${r.device} ${r.access}s ${address}${pasid}`;
    case 'request':
      return `${r.device} asks for ${address}${pasid} (ATS)`;
    case 'translated':
      return `${r.device} ${r.access}s ${address}${pasid}, translated by its ATC`;
    case 'page request':
      return `${r.device}: ${r.text}`;
    case 'retry':
      return `${r.device} goes on, ${r.text}`;
    case 'command':
      return r.text;
  }
}

const stageText = (s: WalkStage): string => `${s.name}: ${levels(s.levels.length)}, ${s.text}`;

/** Both stages in a line. */
export function stagesText(walk: Walk): string {
  const parts = [walk.first, walk.second].flatMap((s) => (s ? [stageText(s)] : []));
  return parts.length === 0 ? 'no table is walked' : parts.join(' × ');
}

/** `read 13 of 24, 4 skipped by S1 walk` */
export function countText(walk: Walk, event: number): string {
  const n = readsUntil(walk, event);
  const all = savings(walk, event);
  const skipped = all.map((s) => `${s.most ? 'up to ' : ''}${s.cells} skipped by ${s.cache}`);
  const silent = walk.hits.filter((h) => h.event <= event && !all.some((s) => s.cache === h.entry.cache));
  const hit = [...new Set(silent.map((h) => `answered by ${h.entry.cache}`))];
  const { atc } = walk.request;
  if (atc && atc.event <= event) hit.push(`answered by ${savingText({ ...atc, most: false })} of the device`);
  const reads = walk.reads === 0 ? 'no reads' : `read ${n} of ${walk.reads}`;
  return [reads, ...skipped, ...hit].join(', ');
}

/** Where the number of reads comes from when nothing is cached and no large page ends it earlier. */
export function sumText(walk: Walk): string {
  const n = walk.first?.levels.length ?? 0;
  const m = walk.second?.levels.length ?? 0;
  if (n > 0 && m > 0)
    return `tables without caches: ${n} × (${m} + 1) + ${m} = ${n * (m + 1) + m} reads (each of ${n} ${walk.first!.name} entries is found by ${m} ${walk.second!.name} reads, and so is the output)`;
  if (n + m > 0) return `tables without caches: ${counted(n + m, 'read')}, one a level`;
  return '';
}

/** What the walk came to at a position. */
export function endText(walk: Walk, event: number): { title: string; text: string; bad: boolean } {
  const { end } = walk;
  const faulted = end.fault !== null && end.fault.event <= event;
  if (end.event > event && !faulted) {
    const last = walk.reads === 0 ? '' : `after read ${walk.reads}`;
    return { title: end.pa === null && end.kind !== 'done' ? 'result' : 'physical address', text: last, bad: false };
  }
  if (end.fault && end.kind !== 'done')
    return {
      title: end.kind === 'stalled' ? `${end.fault.name}, stalled` : end.fault.name,
      text: end.fault.text.startsWith(`${end.fault.name} `)
        ? end.fault.text.slice(end.fault.name.length + 1)
        : end.fault.text,
      bad: true,
    };
  switch (end.kind) {
    case 'done':
      return { title: 'physical address', text: hex(end.pa ?? 0), bad: false };
    case 'answered': {
      if (end.pa !== null) return { title: 'completion', text: hex(end.pa), bad: false };
      return { title: 'answer', text: end.text, bad: walk.request.cause === 'request' };
    }
    case 'stalled':
      return { title: 'stalled', text: end.text, bad: true };
    case 'open':
      return { title: 'nothing to answer', text: end.text, bad: false };
    case 'aborted':
      return { title: 'aborted', text: end.text, bad: true };
  }
}

/** Heading of a column. */
export const columnTitle = (walk: Walk, level: number | null): string =>
  level === null ? (walk.first ? `${walk.first.name} entry` : 'entry') : `${walk.second?.name ?? 'S2'} L${level}`;

/** What a row's address is called, and the address; '' where it has none. */
export function inputText(walk: Walk, row: WalkRow, event: number): string {
  const name = walk.second?.input;
  if (name === undefined || (row.kind === 'record' && row.input === null)) return '';
  if (row.input && row.input.event <= event) return `${name} ${hex(row.input.address)}`;
  return row.input ? `${name} ?` : '';
}

export const rowTitle = (row: WalkRow): string => (row.again > 0 ? `${row.title} again` : row.title);

const where = (walk: Walk, row: WalkRow, cell: Cell): string =>
  cell.level === null ? rowTitle(row) : `${columnTitle(walk, cell.level)} for ${rowTitle(row)}`;

/** Short reason of tables that ended. */
export function beyondText(walk: Walk, row: WalkRow, cell: Cell): string {
  const b = cell.beyond;
  if (!b || b.page === null) return 'not needed';
  const stage = cell.level === null || !row.second.some((c) => c.read) ? walk.first : walk.second;
  return `${sizeName(b.page)} page at ${stage?.name ?? ''} L${b.level}`;
}

/** What a cell is, in a sentence. */
export function cellLabel(walk: Walk, row: WalkRow, cell: Cell, event: number): string {
  const at = where(walk, row, cell);
  const stop = cell.stop && cell.stop.event <= event ? ` ${cell.stop.name}: the walk stops here.` : '';
  switch (cellState(walk, row, cell, event)) {
    case 'read':
    case 'reading': {
      const r = cell.read!;
      const means = r.means === '' ? '' : `, ${r.means}`;
      const update =
        cell.update && cell.update.event <= event ? ` ${cell.update.text}: ${hex(cell.update.word, 16)}.` : '';
      return `Read ${r.n} of ${walk.reads}: ${at}, address ${hex(r.address)}, entry ${r.words.map((w) => hex(w, 16)).join(' ')}${means}.${update}${stop}`;
    }
    case 'skipped':
      return `${at}: skipped, ${savingText(cell.saved!)}.${stop}`;
    case 'beyond':
      return `${at}: not read, ${beyondText(walk, row, cell)}.`;
    case 'unreached':
      return `${at}: not read${cell.stop ? '' : ', the walk ended before'}.${stop}`;
    case 'coming':
      return cell.read ? `${at}: will be read ${cell.read.n}.` : `${at}: not yet.`;
    case 'none':
      return '';
  }
}

export interface WalkTable {
  readonly title: string;
  readonly facts: readonly string[];
  readonly columns: readonly string[];
  readonly rows: readonly {
    readonly key: string;
    readonly head: string;
    readonly cells: readonly { readonly key: string; readonly text: string; readonly event: number | null }[];
  }[];
  readonly result: string;
}

function cellText(walk: Walk, row: WalkRow, cell: Cell, event: number): string {
  const stop = cell.stop && cell.stop.event <= event ? `; ${cell.stop.name} stops the walk here` : '';
  switch (cellState(walk, row, cell, event)) {
    case 'read':
    case 'reading': {
      const r = cell.read!;
      const update =
        cell.update && cell.update.event <= event ? `; ${cell.update.text}: ${hex(cell.update.word, 16)}` : '';
      const means = r.means === '' ? '' : `, ${r.means}`;
      return `${r.n}: ${hex(r.address)} holds ${r.words.map((w) => hex(w, 16)).join(' ')}${means}${update}${stop}`;
    }
    case 'skipped':
      return `skipped: ${savingText(cell.saved!)}${stop}`;
    case 'beyond':
      return beyondText(walk, row, cell);
    case 'unreached':
      return `not reached${stop}`;
    case 'coming':
      return cell.read ? `read ${cell.read.n} to come` : '';
    case 'none':
      return '';
  }
}

/** The event that a cell stands for: where the head goes. */
export const cellEvent = (cell: Cell): number | null =>
  cell.read?.event ?? cell.saved?.event ?? cell.stop?.event ?? cell.beyond?.event ?? null;

/** The walk as a real table. */
export function walkTable(walk: Walk, event: number): WalkTable {
  const end = endText(walk, event);
  const result = `${end.title}${end.text === '' ? '' : `: ${end.text}`}`;
  return {
    title: requestText(walk),
    facts: [stagesText(walk), countText(walk, event), sumText(walk)].filter((x) => x !== ''),
    columns: [...walk.columns, null].map((l) => columnTitle(walk, l)),
    rows: walk.rows.map((row) => {
      const input = inputText(walk, row, event);
      const cells = cellsOf(row).map((c) => ({
        key: c.key,
        text: cellText(walk, row, c, event),
        event: cellEvent(c),
      }));
      if (row.kind === 'out') cells.push({ key: 'result', text: result, event: walk.end.event });
      return { key: row.key, head: input === '' ? rowTitle(row) : `${rowTitle(row)}, ${input}`, cells };
    }),
    result,
  };
}
