/**
 * Saved states by step. A short document keeps one for every step; beyond a limit every second one is given up and the
 * distance doubles, so a long document keeps a bounded number and a seek replays a bounded number of steps.
 */
export class Checkpoints<S> {
  private readonly states = new Map<number, S>();
  private readonly limit: number;
  private distance = 1;

  /** @param limit states to keep at most, two at least */
  constructor(limit = 400) {
    this.limit = limit;
  }

  /** True when a state after this step is worth keeping. */
  due(step: number): boolean {
    return step % this.distance === 0;
  }

  set(step: number, state: S): void {
    this.states.set(step, state);
    // The states before the setup and after it always stay.
    while (this.states.size > Math.max(2, this.limit)) this.thin();
  }

  private thin(): void {
    this.distance *= 2;
    for (const step of this.states.keys()) if (step >= 0 && step % this.distance !== 0) this.states.delete(step);
  }

  /** The last state at or before a step. */
  nearest(step: number): { readonly step: number; readonly state: S } | undefined {
    let best: { step: number; state: S } | undefined;
    for (const [at, state] of this.states) if (at <= step && (!best || at > best.step)) best = { step: at, state };
    return best;
  }

  /** Forgets all states after a step. */
  truncate(step: number): void {
    for (const at of [...this.states.keys()]) if (at > step) this.states.delete(at);
  }

  get size(): number {
    return this.states.size;
  }
}
