import type { TraceEvent } from '../trace/index.ts';
import { chainOf } from './chain.ts';
import { type Life, LifeLog } from './lives.ts';
import { findOrigin, type MachineView, type OriginQuery } from './origins.ts';
import { afterEvent, type Place } from './place.ts';
import { type SearchHit, searchSteps } from './search.ts';
import { digestOf, isDigested, type TracedStep } from './step-digest.ts';
import type { ColumnsOf } from './words.ts';

/** An event of a chain of causes. */
export interface Link {
  /** The moment right after it. */
  readonly place: Place;
  readonly event: TraceEvent;
}

export interface Origin {
  readonly place: Place;
  /**
   * False: no event of the trace writes this very word, because an event of many words shows only the first ones; the place
   * is then the first write to the page.
   */
  readonly exact: boolean;
  /** The event that made it first, then what each follows from, up to what the step began with. Empty: a raw write without an event. */
  readonly chain: readonly Link[];
}

const noMachine: MachineView = { guests: [] };
const noColumns: ColumnsOf = () => undefined;

/**
 * Questions over all of time, of one list of steps. What it finds out about a step is kept with the step, so that the index
 * of a list with one step more costs that step; nothing is done before something is asked.
 */
export class TraceIndex {
  private readonly steps: readonly TracedStep[];
  private readonly machine: MachineView;
  private readonly columnsOf: ColumnsOf;
  private log: LifeLog | null = null;
  private noted = 0;
  private list: readonly Life[] | null = null;

  /**
   * @param before the index of an earlier list: what both lists begin with is taken over, and `before` is of no more use
   * @param columnsOf names of a cache's columns, so that `vmid 3` is found in its entries; the same function as long as they stay
   */
  constructor(
    steps: readonly TracedStep[],
    machine: MachineView = noMachine,
    columnsOf: ColumnsOf = noColumns,
    before?: TraceIndex,
  ) {
    this.steps = steps;
    this.machine = machine;
    this.columnsOf = columnsOf;
    if (before?.log && before.steps.slice(0, before.noted).every((s, i) => s === steps[i])) {
      this.log = before.log;
      this.noted = before.noted;
      before.log = null;
      before.noted = 0;
    }
  }

  /** Reads up to about `events` events ahead of the questions. @returns false when nothing is left to read */
  prepare(events: number): boolean {
    for (const s of this.steps) {
      if (isDigested(s)) continue;
      digestOf(s);
      if ((events -= s.eventCount) <= 0) return true;
    }
    return false;
  }

  private lifeLog(): LifeLog {
    this.log ??= new LifeLog();
    for (; this.noted < this.steps.length; this.noted++) this.log.note(this.noted, this.steps[this.noted]!);
    return this.log;
  }

  /** Every cache entry that there ever was, in the order of their fills; the same list each time. */
  lives(): readonly Life[] {
    this.list ??= this.lifeLog().lives.slice();
    return this.list;
  }

  /** The life of a cache row at a moment: the last one that had begun by then, over or not. */
  lifeOf(at: string, row: number, place: Place): Life | null {
    return this.lifeLog().at(at, row, place);
  }

  /** "Why is this here": null when nothing in the trace made it. */
  originOf(query: OriginQuery): Origin | null {
    const found = findOrigin(this.steps, this.lifeLog(), this.machine, query);
    return found && { ...found, chain: this.chainTo(found.place) };
  }

  /** The event that a place comes after and what it follows from, up to what the step began with. */
  chainTo(place: Place): readonly Link[] {
    const events = this.steps[place.step]?.events ?? [];
    return chainOf(events, place.event - 1).map((i) => ({ place: afterEvent(place.step, i), event: events[i]! }));
  }

  /** The first events that have all words of a query, in the order of time. */
  search(query: string, limit = 200): readonly SearchHit[] {
    const out: SearchHit[] = [];
    for (const hits of this.searching(query)) {
      out.push(...hits);
      if (out.length >= limit) return out.slice(0, limit);
    }
    return out;
  }

  /** The same a step at a time. */
  searching(query: string): Generator<readonly SearchHit[], void> {
    return searchSteps(this.steps, query, this.columnsOf);
  }
}
