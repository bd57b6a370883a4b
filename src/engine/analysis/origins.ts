import type { LifeLog } from './lives.ts';
import { afterEvent, comparePlaces, type Place } from './place.ts';
import { digestOf, type StepDigest, type TracedStep } from './step-digest.ts';

/** What somebody asks "why is this here" of, and when. */
export type OriginQuery =
  /** The word of memory at an address; `guest`: whose memory, when there are several guests. */
  | {
      readonly kind: 'memory';
      readonly space: 'guest' | 'host';
      readonly guest?: string;
      readonly address: number;
      readonly place: Place;
    }
  /** A register by its name; `at`: the scene object of the unit, when there are several. */
  | {
      readonly kind: 'register';
      readonly iommu: 'physical' | 'virtual';
      readonly reg: string;
      readonly at?: string;
      readonly place: Place;
    }
  /** An entry of a queue. */
  | { readonly kind: 'slot'; readonly at: string; readonly index: number; readonly place: Place }
  /** A row of a cache: where it was filled. */
  | { readonly kind: 'row'; readonly at: string; readonly row: number; readonly place: Place }
  /** A scene object: where it was made, else the last change of it. */
  | { readonly kind: 'object'; readonly id: string; readonly place: Place };

/** What an index knows of the machine besides its trace. */
export interface MachineView {
  /** Names of the guests when there are several, else none. */
  readonly guests: readonly string[];
  /** Host physical address behind a guest physical one at a moment, -1 where there is none. */
  readonly resolve?: (address: number, guest: string, place: Place) => number;
  /** The last write of software to a word of host memory, those of guests included. */
  readonly writerOf?: (address: number, place: Place) => { readonly step: number; readonly event: number } | null;
}

/** Where something comes from. */
export interface Found {
  /** The moment right after the event. */
  readonly place: Place;
  /** False: no event writes this very word; the place is the first write to its page, which made the table. */
  readonly exact: boolean;
}

/** The guest that a scene object of the upper bands belongs to, '' when there is only one. */
export function guestOfId(id: string, guests: readonly string[]): string {
  if (guests.length < 2) return '';
  const name = /^(?:guest|vmm)\./.test(id) ? id.split('.')[1] : undefined;
  return name !== undefined && guests.includes(name) ? name : guests[0]!;
}

const pageOf = (address: number): number => address - (address % 4096);

/** @returns null when nothing in the trace made it */
export function findOrigin(
  steps: readonly TracedStep[],
  lives: LifeLog,
  machine: MachineView,
  q: OriginQuery,
): Found | null {
  const { place } = q;
  switch (q.kind) {
    case 'memory':
      return memoryOrigin(steps, machine, q);
    case 'register':
      return exactly(
        latest(steps, place, (d, most) =>
          lastOf(
            d.registers,
            most,
            (r) => r.reg === q.reg && r.iommu === q.iommu && (q.at === undefined || r.at === q.at || r.to === q.at),
          ),
        ),
      );
    case 'slot':
      return exactly(
        latest(steps, place, (d, most) => lastOf(d.slots, most, (s) => s.at === q.at && s.index === q.index)),
      );
    case 'row':
      return exactly(lives.at(q.at, q.row, place)?.filled ?? null);
    case 'object': {
      const made = latest(steps, place, (d, most) => lastOf(d.changes, most, (c) => c.id === q.id && c.create));
      return exactly(made ?? latest(steps, place, (d, most) => lastOf(d.changes, most, (c) => c.id === q.id)));
    }
  }
}

const exactly = (place: Place | null): Found | null => place && { place, exact: true };

const later = (a: Place | null, b: Place | null): Place | null =>
  a === null || (b !== null && comparePlaces(b, a) > 0) ? b : a;

function memoryOrigin(
  steps: readonly TracedStep[],
  machine: MachineView,
  q: OriginQuery & { readonly kind: 'memory' },
): Found | null {
  const { place } = q;
  const address = q.address - (q.address % 8);
  const guest = machine.guests.length < 2 ? '' : (q.guest ?? machine.guests[0]!);
  const mine = (w: StepDigest['writes'][number]): boolean =>
    w.space === q.space && (q.space === 'host' || guestOfId(w.at, machine.guests) === guest);
  let found = latest(steps, place, (d, most) =>
    lastOf(d.writes, most, (w) => mine(w) && w.from <= address && address < w.to),
  );
  // The same word under its other name: what a guest writes lies in host memory, where hardware sets flags in it.
  const pa = q.space === 'host' ? address : (machine.resolve?.(address, guest, place) ?? -1);
  if (pa >= 0) {
    if (q.space === 'guest')
      found = later(
        found,
        latest(steps, place, (d, most) =>
          lastOf(d.writes, most, (w) => w.space === 'host' && w.from <= pa && pa < w.to),
        ),
      );
    const writer = machine.writerOf?.(pa, place);
    if (writer) found = later(found, afterEvent(writer.step, writer.event));
  }
  if (found) return { place: found, exact: true };
  const page = pageOf(address);
  for (const [step, traced] of steps.entries()) {
    if (step > place.step) break;
    const w = digestOf(traced).writes.find((x) => mine(x) && x.from <= address && pageOf(x.from) === page);
    if (!w) continue;
    const first = afterEvent(step, w.event);
    return comparePlaces(first, place) <= 0 ? { place: first, exact: false } : null;
  }
  return null;
}

/** The last fact of a kind at or before a place. */
function latest(
  steps: readonly TracedStep[],
  place: Place,
  find: (d: StepDigest, events: number) => { readonly event: number } | undefined,
): Place | null {
  for (let step = Math.min(place.step, steps.length - 1); step >= 0; step--) {
    const events = step === place.step ? place.event : Number.POSITIVE_INFINITY;
    const fact = find(digestOf(steps[step]!), events);
    if (fact) return afterEvent(step, fact.event);
  }
  return null;
}

function lastOf<T extends { readonly event: number }>(
  facts: readonly T[],
  events: number,
  is: (fact: T) => boolean,
): T | undefined {
  for (let i = facts.length - 1; i >= 0; i--) {
    const f = facts[i]!;
    if (f.event < events && is(f)) return f;
  }
  return undefined;
}
