import fc from 'fast-check';
import { expect } from 'vitest';
import { type Life, TraceIndex } from '../analysis/index.ts';
import type { Session } from '../document/index.ts';
import { eventText } from '../trace/index.ts';
import { type Kind, type MachineForm, sessionOf } from './random-machine.ts';
import { run } from './random-runs.ts';

/** The index of a trace against the machine itself, moment by moment, and against plain searches through the events. */

const runs = Number(process.env['IOMMUSCOPE_RUNS'] ?? 6);
const seed = process.env['IOMMUSCOPE_SEED'] ? Number(process.env['IOMMUSCOPE_SEED']) : 1;

interface Moment {
  readonly step: number;
  readonly event: number;
}

const before = (a: Moment, b: Moment): boolean => a.step < b.step || (a.step === b.step && a.event <= b.event);

const cachedAt = (l: Life, p: Moment): boolean =>
  (l.filled === null || before(l.filled, p)) && (l.removed === null || !before(l.removed.place, p));
const staleAt = (l: Life, p: Moment): boolean =>
  l.stale.some((s) => before(s.from, p) && (s.to === null || !before(s.to, p)));

/** The names of guests as an index wants them. */
export const indexOf = (s: Session): TraceIndex => {
  const guests = (s.document.platform.guests ?? []).map((g) => g.name);
  return new TraceIndex(s.steps, {
    guests: guests.length > 1 ? guests : [],
    writerOf: (address, place) => s.writerOf(address, place.step, place.event),
  });
};

/**
 * The moment, or the next one at which the machine stands as its events say: a walk fills several caches at once and then
 * tells, and a removal is told while the row can still be read.
 */
export function settled(s: Session, at: Moment): Moment {
  const { events } = s.steps[at.step]!;
  let { event } = at;
  while (
    events[event]?.kind.startsWith('cache.') ||
    (event < events.length && events[event - 1]?.kind === 'cache.remove')
  )
    event++;
  return { step: at.step, event };
}

/** At a moment the lives that have begun and not ended are the rows of the caches, and those with a hazard are stale. */
export function livesAreRows(s: Session, index: TraceIndex, at: Moment, end: boolean): void {
  const hazards = end ? s.steps[at.step]!.hazards : [];
  const rows = s
    .platformAt(at.step, at.event)
    .scene(hazards)
    .objects.flatMap((o) => (o.cache?.rows ?? []).map((r) => [o.id, r.id, r.cells.join('|'), end && r.stale] as const));
  const lives = index
    .lives()
    .filter((l) => cachedAt(l, at))
    .map((l) => [l.at, l.entry, l.cells.join('|'), end && staleAt(l, at)] as const);
  const text = (list: readonly (readonly unknown[])[]): string[] => list.map((x) => x.join(' ')).sort();
  expect(text(lives)).toEqual(text(rows));
  for (const [id, row] of rows) {
    const life = index.lifeOf(id, row, at);
    expect(life && cachedAt(life, at), `${id} row ${row}`).toBe(true);
  }
}

/** Hits, fills and removals are the events, each in its life. */
export function livesAreEvents(s: Session, index: TraceIndex): void {
  const told = index
    .lives()
    .flatMap((l) => [
      ...(l.filled ? [`fill ${l.filled.step}.${l.filled.event} ${l.at}#${l.entry}`] : []),
      ...l.hits.map((h) => `hit ${h.step}.${h.event} ${l.at}#${l.entry}`),
      ...(l.removed && eventAt(s, l.removed.place)?.kind === 'cache.remove'
        ? [
            `remove ${l.removed.place.step}.${l.removed.place.event} ${l.at}#${l.entry} ${l.removed.valid} ${l.removed.by}`,
          ]
        : []),
    ])
    .sort();
  const events = s.steps.flatMap((r, step) =>
    r.events.flatMap((e, i) => {
      if (e.kind !== 'cache.fill' && e.kind !== 'cache.hit' && e.kind !== 'cache.remove') return [];
      const tail = e.kind === 'cache.remove' ? ` ${e.valid} ${e.by}` : '';
      return [`${e.kind.slice(6)} ${step}.${i + 1} ${e.at}#${e.entry.id}${tail}`];
    }),
  );
  expect(told).toEqual(events.sort());
}

const eventAt = (s: Session, p: Moment) => s.steps[p.step]?.events[p.event - 1];

/** The origin of every word that anybody wrote is the last event that wrote it, in the plainest way of looking. */
export function originsAreLastWrites(s: Session, index: TraceIndex, at: Moment): void {
  const guests = s.document.platform.guests ?? [];
  const last = new Map<string, Moment>();
  for (const [step, r] of s.steps.entries())
    for (const [i, e] of r.events.entries()) {
      if (e.kind !== 'table.write' || !before({ step, event: i + 1 }, at)) continue;
      const guest = guests.length > 1 ? (guests.find((g) => e.at.startsWith(`guest.${g.name}.`))?.name ?? '?') : '';
      for (let w = 0; w < e.words.length; w++)
        last.set(`${e.space} ${e.space === 'guest' ? guest : ''} ${e.address + 8 * w}`, { step, event: i + 1 });
    }
  for (const [key, expected] of last) {
    const [space, guest, address] = key.split(' ') as ['guest' | 'host', string, string];
    const found = index.originOf({ kind: 'memory', space, guest, address: Number(address) + 4, place: at });
    expect(found?.exact, key).toBe(true);
    expect(found && { step: found.place.step, event: found.place.event }, key).toEqual(expected);
    // Each cause comes before what it causes, and the first of them is the write.
    const chain = found!.chain.map((l) => l.place.event);
    expect(chain[0]).toBe(expected.event);
    expect(chain).toEqual([...new Set(chain)].sort((a, b) => b - a));
  }
}

/** Any word of an event's line finds the event. */
export function wordsFindEvents(s: Session, index: TraceIndex, step: number, seed: number): void {
  const { events } = s.steps[step]!;
  for (let i = seed % 7; i < events.length; i += 7) {
    const words = eventText(events[i]!)
      .split(/[\s,()[\]]+/)
      .filter((w) => /^\w{3,}$/.test(w) && !/^(physical|virtual|queue|host|guest|entry|was|still)$/.test(w));
    const word = words[seed % Math.max(1, words.length)];
    if (word === undefined) continue;
    const hits = index.search(word, Number.POSITIVE_INFINITY);
    expect(
      hits.some((h) => h.place.step === step && h.place.event === i + 1),
      `${word} in ${eventText(events[i]!)}`,
    ).toBe(true);
  }
}

export function indexes(k: Kind, m: MachineForm): void {
  const chunks = run(k, m, { min: 3, max: 12 });
  const places = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 3, maxLength: 5 });
  fc.assert(
    fc.property(chunks, places, fc.nat(), (list, where, cut) => {
      const s = sessionOf(k, m, list.flat());
      s.runAll();
      const index = indexOf(s);
      livesAreEvents(s, index);
      for (const step of s.steps.keys()) livesAreRows(s, index, { step, event: s.steps[step]!.eventCount }, true);
      for (const [a, b] of where) {
        const step = a % s.steps.length;
        const at = { step, event: b % (s.steps[step]!.eventCount + 1) };
        livesAreRows(s, index, settled(s, at), false);
        originsAreLastWrites(s, index, at);
        wordsFindEvents(s, index, step, b);
      }
      // Grown step by step, cut off and grown again: the same answers as made at once.
      const half = cut % s.steps.length;
      let grown = new TraceIndex(s.steps.slice(0, half));
      grown.lives();
      grown = new TraceIndex(s.steps.slice(0, half + 1), undefined, undefined, grown);
      expect(grown.lives()).toEqual(new TraceIndex(s.steps.slice(0, half + 1)).lives());
      grown = new TraceIndex(s.steps, undefined, undefined, grown);
      expect(grown.lives()).toEqual(index.lives());
      grown = new TraceIndex(s.steps.slice(0, half), undefined, undefined, grown);
      expect(grown.lives()).toEqual(new TraceIndex(s.steps.slice(0, half)).lives());
    }),
    { numRuns: runs, seed },
  );
}
