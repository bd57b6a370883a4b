import type { TraceEvent } from '../../engine/trace/index.ts';
import { groupKey, isGroupOpen, isStepOpen } from './folds.ts';
import { groupEvents } from './groups.ts';
import { endsOf, type Parties } from './parties.ts';
import type { Ends, Folds, LadderNode, LadderRow, LadderStep, Party } from './types.ts';

/** A step with its events grouped. */
export interface StepLadder {
  readonly events: readonly TraceEvent[];
  readonly ends: readonly Ends[];
  readonly nodes: readonly LadderNode[];
}

/** The lines that are shown, in order. Lines are made when they are asked for; those of an unchanged step are the same objects. */
export interface LadderRows {
  readonly count: number;
  at(index: number): LadderRow;
  slice(from: number, to: number): LadderRow[];
  /** The line that stands for an event of a step (0: the step's own line), where it is folded the group's. */
  indexOf(step: number, event: number): number;
}

const line = (step: number, kind: LadderRow['kind'], more: Partial<LadderRow>): LadderRow => ({
  kind,
  step,
  from: 1,
  to: 0,
  depth: 0,
  open: null,
  group: '',
  calls: 0,
  edge: null,
  index: 0,
  ...more,
});

/** Lines of an open step below its own. */
function linesOf(step: number, ladder: StepLadder, record: LadderStep, folds: Folds): readonly LadderRow[] {
  const out: LadderRow[] = [];
  const walk = (nodes: readonly LadderNode[], depth: number, calls: number, inCall: boolean): void => {
    for (const [i, n] of nodes.entries()) {
      const from = n.first + 1;
      const to = n.last + 1;
      if (n.kind === 'event') {
        const edge = inCall && i === nodes.length - 1 ? 'exit' : null;
        out.push(line(step, 'event', { from, to, depth, calls, edge }));
        continue;
      }
      const open = isGroupOpen(folds, step, n);
      const group = groupKey(n);
      if (!open) out.push(line(step, n.kind, { from, to, depth, open, group, calls }));
      else if (n.kind === 'call') {
        out.push(line(step, 'call', { from, to: from, depth, open, group, calls, edge: 'enter' }));
        walk(n.children, depth + 1, calls + 1, true);
      } else {
        out.push(line(step, 'run', { from, to: from - 1, depth, open, group, calls }));
        walk(n.children, depth + 1, calls, false);
      }
    }
  };
  walk(ladder.nodes, 1, 0, false);
  for (const index of record.hazards.keys()) out.push(line(step, 'hazard', { depth: 1, index }));
  out.push(line(step, 'cost', { depth: 1 }));
  return out;
}

interface Kept {
  readonly record: LadderStep;
  readonly mode: Folds['mode'];
  readonly groups: ReadonlyMap<string, boolean> | undefined;
  readonly lines: readonly LadderRow[];
}

/**
 * The diagram's lines for one document. What is asked twice is computed once: a step's tree as long as its record is the
 * same, its lines as long as its folds are.
 */
export class Ladder {
  readonly parties: Parties;
  private readonly speakers = new WeakMap<LadderStep, Set<Party>>();
  private readonly ladders = new WeakMap<LadderStep, StepLadder>();
  private readonly heads = new Map<number, { readonly open: boolean; readonly n: number; readonly row: LadderRow }>();
  private readonly kept = new Map<number, Kept>();

  constructor(parties: Parties) {
    this.parties = parties;
  }

  step(record: LadderStep): StepLadder {
    let l = this.ladders.get(record);
    if (!l) {
      const { events } = record;
      const ends = endsOf(events, this.parties);
      l = { events, ends, nodes: groupEvents(events, ends) };
      this.ladders.set(record, l);
    }
    return l;
  }

  /**
   * Everyone who ever speaks, so that lanes stay where they are. Documents of more events than `most` are not read to
   * their end: who comes later gets a lane when that step is opened.
   */
  present(steps: readonly LadderStep[], most = 150_000): Set<Party> {
    const out = new Set<Party>();
    let seen = 0;
    for (const s of steps) {
      let p = this.speakers.get(s);
      if (!p) {
        if (seen > most) break;
        p = new Set(s.hazards.map((h) => this.parties.of(h.at)));
        for (const e of this.ladders.get(s)?.ends ?? endsOf(s.events, this.parties)) {
          p.add(e.from);
          if (e.to !== null) p.add(e.to);
        }
        this.speakers.set(s, p);
      }
      seen += s.eventCount;
      for (const x of p) out.add(x);
    }
    return out;
  }

  private lines(step: number, record: LadderStep, folds: Folds): readonly LadderRow[] {
    const groups = folds.groups.get(step);
    let k = this.kept.get(step);
    if (!k || k.record !== record || k.mode !== folds.mode || k.groups !== groups) {
      k = { record, mode: folds.mode, groups, lines: linesOf(step, this.step(record), record, folds) };
      this.kept.set(step, k);
    }
    return k.lines;
  }

  private head(step: number, open: boolean, n: number): LadderRow {
    let h = this.heads.get(step);
    if (!h || h.open !== open || h.n !== n) {
      h = { open, n, row: line(step, 'step', { open, from: 1, to: open ? 0 : n }) };
      this.heads.set(step, h);
    }
    return h.row;
  }

  /** @param current  the step at the playing head */
  rows(steps: readonly LadderStep[], folds: Folds, current: number): LadderRows {
    const starts = new Int32Array(steps.length + 1);
    for (const [i, s] of steps.entries()) {
      const more = isStepOpen(folds, i, current) ? this.lines(i, s, folds).length : 0;
      starts[i + 1] = starts[i]! + 1 + more;
    }
    const count = starts[steps.length]!;
    const stepAt = (index: number): number => {
      let low = 0;
      let high = steps.length - 1;
      while (low < high) {
        const mid = (low + high + 1) >> 1;
        if (starts[mid]! <= index) low = mid;
        else high = mid - 1;
      }
      return low;
    };
    const at = (index: number): LadderRow => {
      const step = stepAt(index);
      const within = index - starts[step]!;
      const open = starts[step + 1]! - starts[step]! > 1;
      return within === 0
        ? this.head(step, open, steps[step]!.eventCount)
        : this.lines(step, steps[step]!, folds)[within - 1]!;
    };
    return {
      count,
      at,
      slice: (from, to) => {
        const out: LadderRow[] = [];
        for (let i = Math.max(0, from); i < Math.min(count, to); i++) out.push(at(i));
        return out;
      },
      indexOf: (step, event) => {
        if (step < 0 || step >= steps.length) return -1;
        const start = starts[step]!;
        if (event <= 0 || starts[step + 1]! - start === 1) return start;
        const lines = this.lines(step, steps[step]!, folds);
        let low = 0;
        let high = lines.length - 1 - steps[step]!.hazards.length - 1;
        if (high < 0) return start;
        while (low < high) {
          const mid = (low + high + 1) >> 1;
          if (lines[mid]!.from <= event) low = mid;
          else high = mid - 1;
        }
        return start + 1 + low;
      },
    };
  }
}

/** What a line says to whom, for drawing and for text. Null for lines without parties. */
export function nodeOf(ladder: StepLadder, row: LadderRow): LadderNode | null {
  if (row.kind !== 'call' && row.kind !== 'run') return null;
  let nodes = ladder.nodes;
  const first = row.from - 1;
  for (;;) {
    // Nodes stand in order: the one that holds the line's first event.
    let low = 0;
    let high = nodes.length - 1;
    while (low < high) {
      const mid = (low + high + 1) >> 1;
      if (nodes[mid]!.first <= first) low = mid;
      else high = mid - 1;
    }
    const n = nodes[low];
    if (!n) return null;
    if (n.first === first && groupKey(n) === row.group) return n;
    nodes = n.children;
    if (nodes.length === 0) return null;
  }
}
