import type { Trace } from '../trace/index.ts';

export type InjectAction = 'drop' | 'delay' | 'reorder' | 'corrupt';

/** Named points of the path that a message passes. */
export const injectPoints = [
  'guest.command',
  'vmm.forward',
  'host.command',
  'atc.invalidation',
  'event.record',
] as const;
export type InjectPoint = (typeof injectPoints)[number];

export interface Injection {
  readonly at: InjectPoint;
  readonly action: InjectAction;
  /** Messages left to act on. */
  count: number;
  /** For `corrupt`: XORed onto the message's first two words. */
  readonly xor: readonly [bigint, bigint];
}

interface Held {
  readonly at: InjectPoint;
  readonly words: bigint[];
  /** Scene object that it passed. */
  readonly where: string;
  /** `reorder`: goes after the next message of the point. `delay`: goes at the start of the next step. */
  readonly until: 'next' | 'step';
}

/**
 * Faults that a person puts into the path: each message asks at its point what becomes of it. Without an injection a
 * message passes unchanged.
 */
export class Injector {
  active: Injection[] = [];
  private held: Held[] = [];
  private readonly trace: Trace;

  constructor(trace: Trace) {
    this.trace = trace;
  }

  /** True when every message passes unchanged, so that nobody need make one to ask. */
  get quiet(): boolean {
    return this.active.length === 0 && this.held.length === 0;
  }

  /**
   * @returns the messages to deliver now, in order: none (dropped, held), one, or two (the held one after it)
   */
  pass(at: InjectPoint, words: bigint[], where: string): bigint[][] {
    if (this.quiet) return [words];
    const after = this.held.filter((h) => h.at === at && h.until === 'next').map((h) => h.words);
    const inj = this.active.find((i) => i.at === at && i.count > 0);
    if (!inj) {
      this.held = this.held.filter((h) => !(h.at === at && h.until === 'next'));
      return [words, ...after];
    }
    inj.count--;
    this.active = this.active.filter((i) => i.count > 0);
    this.trace.listener?.({
      kind: 'inject',
      actor: 'device',
      at: where,
      point: at,
      action: inj.action,
      text: `${inj.action} at ${at}`,
    });
    if (inj.action === 'drop') return after;
    if (inj.action === 'corrupt') return [words.map((w, i) => (i < 2 ? w ^ inj.xor[i]! : w)), ...after];
    this.held.push({ at, words, where, until: inj.action === 'delay' ? 'step' : 'next' });
    return after;
  }

  /** Messages that a `delay` (or a `reorder` that nothing followed) kept back; the machine delivers them when a step starts. */
  takeHeld(): { at: InjectPoint; words: bigint[]; where: string }[] {
    const out = this.held;
    this.held = [];
    return out;
  }

  save(): unknown {
    return structuredClone({ active: this.active, held: this.held });
  }

  load(s: unknown): void {
    const c = structuredClone(s) as { active: Injection[]; held: Held[] };
    this.active = c.active;
    this.held = c.held;
  }
}
