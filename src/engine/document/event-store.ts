import type { TraceEvent } from '../trace/index.ts';

/** Events of the steps that were looked at last; a replay gives the others again. */
export class EventStore {
  private readonly lists = new Map<number, readonly TraceEvent[]>();
  private held = 0;
  private readonly limit: number;

  /** @param limit events to keep at most; one step's are kept whatever their number */
  constructor(limit = 200_000) {
    this.limit = limit;
  }

  get(step: number): readonly TraceEvent[] | undefined {
    const list = this.lists.get(step);
    if (list) {
      // Used last: the oldest ones stand first.
      this.lists.delete(step);
      this.lists.set(step, list);
    }
    return list;
  }

  set(step: number, list: readonly TraceEvent[]): void {
    this.forget(step);
    this.lists.set(step, list);
    this.held += list.length;
    for (const old of this.lists.keys()) {
      if (this.held <= this.limit || this.lists.size === 1) return;
      this.forget(old);
    }
  }

  private forget(step: number): void {
    const list = this.lists.get(step);
    if (!list) return;
    this.lists.delete(step);
    this.held -= list.length;
  }

  truncate(step: number): void {
    for (const at of [...this.lists.keys()]) if (at > step) this.forget(at);
  }
}
