import type { Hazard } from '../machine/vendor.ts';
import type { TraceEvent } from '../trace/index.ts';

/** One event of one step. */
export interface EventRef {
  readonly step: number;
  readonly event: number;
}

/** A stale entry with the write that made it stale; null when no write since its fill touched what it depends on. */
export interface StepHazard extends Hazard {
  readonly cause: EventRef | null;
}

/** Host physical address behind a guest physical one, -1 where there is none; `at` is the scene object that writes. */
export type Resolve = (gpa: number, at: string) => number;

const wordOf = (address: number): number => address - (address % 8);
const after = (a: EventRef, b: EventRef | undefined): boolean =>
  b === undefined || a.step > b.step || (a.step === b.step && a.event > b.event);

/**
 * Who wrote which word of memory and when each cached entry was filled, over all steps so far: what it takes to say which
 * write made an entry stale.
 */
export class WriteLog {
  private readonly writes = new Map<number, EventRef[]>();
  private readonly fills = new Map<string, EventRef[]>();
  /** Keys in the order of their events, so that the latest steps can be taken back. */
  private readonly order: { readonly step: number; readonly list: EventRef[] }[] = [];

  private add<K>(map: Map<K, EventRef[]>, key: K, ref: EventRef): void {
    let list = map.get(key);
    if (!list) map.set(key, (list = []));
    list.push(ref);
    this.order.push({ step: ref.step, list });
  }

  /** Takes in the events of a step; steps come in order. */
  note(step: number, events: readonly TraceEvent[], resolve: Resolve): void {
    for (const [event, e] of events.entries()) {
      // What hardware writes into a descriptor itself, its access flag and dirty state, makes no entry stale.
      if (e.kind === 'table.write' && e.actor !== 'iommu')
        this.noteWrite({ step, event }, e.space, e.address, e.words.length * 8, (gpa) => resolve(gpa, e.at));
      else if (e.kind === 'cache.fill') this.add(this.fills, keyOf(e.at, e.entry.cache, e.entry.id), { step, event });
    }
  }

  /** A write of `bytes` bytes. Guest memory need not be contiguous, so each word is resolved by itself. */
  noteWrite(
    ref: EventRef,
    space: 'guest' | 'host',
    address: number,
    bytes: number,
    resolve: (gpa: number) => number,
  ): void {
    for (let at = wordOf(address); at < address + bytes; at += 8) {
      const pa = space === 'host' ? at : resolve(at);
      if (pa >= 0) this.add(this.writes, pa, ref);
    }
  }

  /** Forgets everything after a step. */
  truncate(step: number): void {
    while (this.order.length > 0 && this.order[this.order.length - 1]!.step > step) this.order.pop()!.list.pop();
  }

  /** The last write of software to a word of host memory that had happened at a moment, guests' writes included. */
  writerOf(address: number, place: EventRef): EventRef | null {
    const list = this.writes.get(wordOf(address)) ?? [];
    return list.findLast((w) => w.step < place.step || (w.step === place.step && w.event < place.event)) ?? null;
  }

  /** The last write since the entry's fill to a word that the entry depends on. */
  causeOf(h: Hazard): EventRef | null {
    const fill = this.fills.get(keyOf(h.at, h.cache, h.entry))?.at(-1);
    let cause: EventRef | null = null;
    for (const address of h.depends) {
      const last = this.writes.get(wordOf(address))?.at(-1);
      if (last && after(last, fill) && (cause === null || after(last, cause))) cause = last;
    }
    return cause;
  }

  withCauses(hazards: readonly Hazard[]): StepHazard[] {
    return hazards.map((h) => ({ ...h, cause: this.causeOf(h) }));
  }
}

/** Several units each count their own entries. */
const keyOf = (at: string, cache: string, id: number): string => `${at} ${cache}#${id}`;
