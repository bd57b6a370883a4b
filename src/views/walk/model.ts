import type { Covered, CoveredRow, ReadStep, TraceEvent, WalkStage } from '../../engine/trace/index.ts';
import { type At, type Burst, burstsOf } from './bursts.ts';
import {
  type Beyond,
  type Cell,
  type CellRead,
  cellsOf,
  type End,
  type HitEvent,
  type ReadEvent,
  type Saving,
  type Stop,
  type Update,
  type Walk,
  type WalkRow,
} from './types.ts';

interface DraftCell {
  level: number | null;
  read: CellRead | null;
  saved: Saving | null;
  beyond: Beyond | null;
  update: Update | null;
  stop: Stop | null;
}

interface DraftRow {
  /** `S1:2`, `STE:-1`, `out:-1`: the same when the walk comes back. */
  readonly id: string;
  readonly what: CoveredRow['what'];
  readonly level: number;
  readonly again: number;
  input: { address: number; event: number } | null;
  readonly second: readonly DraftCell[];
  readonly entry: DraftCell | null;
}

const empty = (level: number | null): DraftCell => ({
  level,
  read: null,
  saved: null,
  beyond: null,
  update: null,
  stop: null,
});

/** Which row a read belongs to. */
function rowOf(step: ReadStep): { what: CoveredRow['what']; level: number } {
  if (step.what !== 'S2') return { what: step.what, level: step.what === 'S1' ? step.level : -1 };
  const purpose = step.purpose ?? 'out';
  return { what: purpose, level: purpose === 'S1' ? step.s1Level : -1 };
}

/** The first stage of each kind that an event of the walk names. */
function stagesIn(acts: readonly At[], end: At | null): { first: WalkStage | null; second: WalkStage | null } {
  let first: WalkStage | null = null;
  let second: WalkStage | null = null;
  const step = (s: ReadStep | undefined): void => {
    if (!s?.stage) return;
    if (s.what === 'S1') first ??= s.stage;
    else if (s.what === 'S2') second ??= s.stage;
    first ??= s.first ?? null;
  };
  for (const { e } of acts) {
    if (e.kind === 'memory.read') step(e.step);
    else if (e.kind === 'cache.hit') {
      first ??= e.covers?.first ?? null;
      second ??= e.covers?.second ?? null;
    }
  }
  const last = end?.e;
  if (last && 'unread' in last) step(last.unread);
  return { first, second };
}

/** Second-stage levels of a stage that an event did not describe, as far as they are seen. */
function levelsSeen(acts: readonly At[], which: 'S1' | 'S2'): readonly number[] {
  const levels = new Set<number>();
  for (const { e } of acts) if (e.kind === 'memory.read' && e.step.what === which) levels.add(e.step.level);
  return [...levels];
}

/** Fills the grid of one walk event by event. */
class Grid {
  readonly rows: DraftRow[] = [];
  private readonly current = new Map<string, DraftRow>();
  private readonly columns: readonly number[];
  private at = 0;
  /** Where the last read or hit was. */
  last: { row: DraftRow; cell: DraftCell | null; whole: boolean } | null = null;
  private n = 0;

  constructor(columns: readonly number[]) {
    this.columns = columns;
  }

  get reads(): number {
    return this.n;
  }

  private make(what: CoveredRow['what'], level: number, again: number): DraftRow {
    const entry = what === 'out' ? null : empty(null);
    const row: DraftRow = {
      id: `${what}:${level}`,
      what,
      level,
      again,
      input: null,
      second: this.columns.map((l) => empty(l)),
      entry,
    };
    this.current.set(row.id, row);
    return row;
  }

  /** A row that will be there in any case, after all others. */
  plan(what: CoveredRow['what'], level: number): void {
    if (!this.current.has(`${what}:${level}`)) this.rows.push(this.make(what, level, 0));
  }

  private row(what: CoveredRow['what'], level: number, taken: (r: DraftRow) => boolean): DraftRow {
    const known = this.current.get(`${what}:${level}`);
    if (known && !taken(known)) {
      this.at = Math.max(this.at, this.rows.indexOf(known));
      return known;
    }
    // The walk comes back to it, or nobody has announced it: it stands where the walk is.
    const row = this.make(what, level, known ? known.again + 1 : 0);
    this.at = this.rows.length === 0 ? 0 : this.at + 1;
    this.rows.splice(this.at, 0, row);
    return row;
  }

  private cell(row: DraftRow, level: number | null): DraftCell | null {
    return level === null ? row.entry : (row.second.find((c) => c.level === level) ?? null);
  }

  read({ event, e }: At<ReadEvent>): void {
    const { step } = e;
    const { what, level } = rowOf(step);
    const column = step.what === 'S2' ? step.level : null;
    const row = this.row(what, level, (r) => {
      if (r.entry?.read) return true;
      return column !== null && this.cell(r, column)?.read != null;
    });
    const cell = this.cell(row, column);
    if (!cell) return;
    const means = step.means ?? '';
    const { address, words, layout, text } = e;
    cell.read = { event, n: ++this.n, address, words, layout, means, text };
    cell.saved = null;
    if (step.input !== undefined) row.input ??= { address: step.input, event };
    if (step.page !== undefined) this.ends(row, step, event);
    this.last = { row, cell, whole: false };
  }

  /** Tables end here: what lies beyond will not be read. */
  private ends(row: DraftRow, step: ReadStep, event: number): void {
    const beyond: Beyond = { event, page: step.page ?? null, level: step.level };
    if (step.what === 'S2') {
      const after = this.columns.indexOf(step.level);
      for (const c of row.second.slice(after + 1)) c.beyond = beyond;
      return;
    }
    const levels = step.stage?.levels ?? [];
    for (const l of levels.slice(levels.indexOf(step.level) + 1)) {
      const r = this.current.get(`S1:${l}`);
      if (r) for (const c of [...r.second, ...(r.entry ? [r.entry] : [])]) if (!c.read && !c.saved) c.beyond = beyond;
    }
  }

  hit({ event, e }: At<HitEvent>): Saving {
    const covers: Covered = e.covers ?? { rows: [] };
    const saving: Saving = { event, entry: e.entry, at: e.at, most: covers.most === true };
    for (const c of covers.rows) {
      const row = this.row(c.what, c.level, (r) => {
        if (c.entry ? r.entry?.read : c.second.length > 0 && r.entry?.read) return true;
        return c.second.length > 0 && r.second.some((x) => x.read);
      });
      // What an earlier hit of the same row saved, this one decides anew.
      for (const x of row.second) if (c.second.includes(x.level!)) x.saved = saving;
      if (c.entry && row.entry) row.entry.saved = saving;
      const level = c.second.at(-1);
      const cell = c.entry ? row.entry : level === undefined ? null : this.cell(row, level);
      this.last = { row, cell, whole: covers.rows.length > 1 };
    }
    if (covers.rows.length === 0) this.last = null;
    return saving;
  }

  update({ event, e }: At<Extract<TraceEvent, { kind: 'table.write' }>>): void {
    let newest: DraftCell | null = null;
    for (const r of this.rows)
      for (const c of [...r.second, ...(r.entry ? [r.entry] : [])])
        if (c.read?.address === e.address && c.read.n > (newest?.read?.n ?? 0)) newest = c;
    if (newest) newest.update = { event, word: e.words[0] ?? 0n, text: e.text };
  }

  /** Marks where the walk was stopped. */
  stop(stop: Omit<Stop, 'read'>, unread: ReadStep | undefined): void {
    if (unread) {
      const { what, level } = rowOf(unread);
      const row =
        this.current.get(`${what}:${level}`) ?? (what === 'S1' && level < 0 ? null : this.planned(what, level));
      const cell = row && this.cell(row, unread.what === 'S2' ? unread.level : null);
      if (cell && !cell.read) cell.stop = { ...stop, read: false };
      return;
    }
    const { last } = this;
    // A hit that stands for several rows does not say which of them forbids the access.
    if (last?.cell && !last.whole) last.cell.stop = { ...stop, read: last.cell.read !== null };
  }

  private planned(what: CoveredRow['what'], level: number): DraftRow {
    const row = this.make(what, level, 0);
    const records = this.rows.findIndex((r) => r.what === 'S1' || r.what === 'out');
    this.rows.splice(records < 0 ? this.rows.length : records, 0, row);
    return row;
  }
}

const titleOf = (r: DraftRow, first: WalkStage | null): string =>
  r.what === 'out'
    ? 'output'
    : r.what === 'S1'
      ? `${first?.name ?? 'S1'} L${r.level}`
      : (recordTitles[r.what] ?? r.what);

/** Names that are abbreviations of ours, not of the specification. */
const recordTitles: Readonly<Record<string, string>> = { PASIDDir: 'PASID dir' };

function endOf(burst: Burst): End {
  const last = burst.acts.at(-1)?.event ?? burst.request.at;
  const f = burst.acts.findLast(({ e }) => e.kind === 'fault');
  const fault =
    f && f.e.kind === 'fault' ? { name: f.e.name, text: f.e.text, recorded: f.e.recorded, event: f.event } : null;
  if (!burst.end) return { event: last, kind: fault ? 'aborted' : 'open', pa: null, text: '', fault };
  const { event, e } = burst.end;
  const text = 'text' in e ? e.text : '';
  switch (e.kind) {
    case 'dma.done':
      return { event, kind: 'done', pa: e.pa, text, fault };
    case 'ats':
      return { event, kind: 'answered', pa: e.pa ?? null, text, fault };
    case 'stall':
      return { event, kind: 'stalled', pa: null, text, fault };
    case 'page.request':
      return { event, kind: 'answered', pa: null, text, fault };
    default:
      return { event, kind: 'aborted', pa: null, text, fault };
  }
}

/** Reason of a walk that came to nothing without a fault record: what stands in brackets, or the whole text. */
const reasonOf = (text: string): string => /\(([^()]+)\)$/.exec(text)?.[1] ?? /: (\S+)$/.exec(text)?.[1] ?? text;

function walkOf(burst: Burst): Walk {
  const { acts, request } = burst;
  const { first, second } = stagesIn(acts, burst.end);
  const columns = second?.levels ?? levelsSeen(acts, 'S2');
  const grid = new Grid(columns);
  // Records come first, as they are met; then what the stages say is to be expected.
  for (const { e } of acts) {
    if (e.kind === 'memory.read') {
      const { what } = rowOf(e.step);
      if (what !== 'S1' && what !== 'out') grid.plan(what, -1);
    } else if (e.kind === 'cache.hit')
      for (const r of e.covers?.rows ?? []) if (r.what !== 'S1' && r.what !== 'out') grid.plan(r.what, -1);
  }
  for (const l of first?.levels ?? levelsSeen(acts, 'S1')) grid.plan('S1', l);
  grid.plan('out', -1);

  const hits: Saving[] = [];
  const fills: { event: number; entry: Saving['entry']; at: string }[] = [];
  for (const { event, e } of acts) {
    if (e.kind === 'memory.read') grid.read({ event, e });
    else if (e.kind === 'cache.hit') hits.push(grid.hit({ event, e }));
    else if (e.kind === 'table.write') grid.update({ event, e });
    else if (e.kind === 'cache.fill') fills.push({ event, entry: e.entry, at: e.at });
  }
  const end = endOf(burst);
  const last = burst.end?.e;
  const refused =
    end.fault !== null ||
    end.kind === 'stalled' ||
    end.kind === 'aborted' ||
    (end.kind === 'answered' && end.pa === null);
  if (refused && last?.kind !== 'page.request') {
    const unread = last && 'unread' in last ? last.unread : undefined;
    const { fault } = end;
    const name = fault?.name ?? reasonOf(end.text);
    grid.stop({ event: fault?.event ?? end.event, name, text: fault?.text ?? end.text }, unread);
  }
  finish(grid, end);
  const rows = grid.rows.map((r, i): WalkRow => {
    const cell = (c: DraftCell, k: string): Cell => ({ ...c, key: `${i}.${k}` });
    return {
      key: `${r.id}.${r.again}`,
      kind: r.what === 'out' ? 'out' : r.what === 'S1' ? 'first' : 'record',
      title: titleOf(r, first),
      input: r.input,
      again: r.again,
      second: r.second.map((c, k) => cell(c, String(k))),
      entry: r.entry && cell(r.entry, 'e'),
    };
  });
  const to = Math.max(end.event, acts.at(-1)?.event ?? 0);
  return { request, from: request.at, to, first, second, columns, rows, reads: grid.reads, end, hits, fills };
}

/** What was left out in rows that the walk has passed: their tables ended before, as a cached leaf knew. */
function finish(grid: Grid, end: End): void {
  const touched = (r: DraftRow): boolean =>
    [...r.second, ...(r.entry ? [r.entry] : [])].some((c) => c.read !== null || c.saved !== null);
  const lastTouched = grid.rows.findLastIndex(touched);
  grid.rows.forEach((r, i) => {
    const passed = i < lastTouched || (i === lastTouched && (end.pa !== null || r.entry?.read != null));
    if (!passed) return;
    const got = r.entry ? r.entry.read !== null || r.entry.saved !== null : true;
    if (!got) return;
    let event = 0;
    for (const c of r.second) {
      if (c.read || c.saved) event = (c.read ?? c.saved)!.event;
      else if (!c.beyond && event > 0) c.beyond = { event, page: null, level: null };
    }
  });
  // First-stage tables that a cached translation did not need.
  const whole = end.pa !== null;
  if (whole)
    for (const r of grid.rows)
      if (r.what === 'S1' && !touched(r))
        for (const c of [...r.second, r.entry!]) c.beyond ??= { event: end.event, page: null, level: null };
}

/** The translations of a step, in order, from its events alone. */
export const walksOf = (events: readonly TraceEvent[]): readonly Walk[] => burstsOf(events).map(walkOf);

/** The walk at a position: the last one that has begun, else the first. -1: the step has none. */
export function walkAt(walks: readonly Walk[], event: number): number {
  const begun = walks.findLastIndex((w) => w.from <= event);
  return begun >= 0 ? begun : walks.length === 0 ? -1 : 0;
}

/** Reads that each cache has saved, up to a position; `most`: it may have been fewer. */
export function savings(walk: Walk, event: number): readonly { cache: string; cells: number; most: boolean }[] {
  const by = new Map<string, { cache: string; cells: number; most: boolean }>();
  for (const row of walk.rows)
    for (const { saved } of cellsOf(row)) {
      if (!saved || saved.event > event) continue;
      const { cache } = saved.entry;
      const known = by.get(cache);
      if (known) {
        known.cells++;
        known.most ||= saved.most;
      } else by.set(cache, { cache, cells: 1, most: saved.most });
    }
  return [...by.values()];
}

/** Reads up to a position. */
export const readsUntil = (walk: Walk, event: number): number =>
  walk.rows.reduce((n, r) => n + cellsOf(r).filter((c) => c.read !== null && c.read.event <= event).length, 0);
