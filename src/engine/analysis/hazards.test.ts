import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Hazard } from '../machine/vendor.ts';
import type { TraceEvent } from '../trace/index.ts';
import { addCost, noCost, stepCost } from './cost.ts';
import { type EventRef, WriteLog } from './hazards.ts';

const write = (address: number, words = 1, space: 'guest' | 'host' = 'host'): TraceEvent => ({
  kind: 'table.write',
  actor: 'driver',
  at: '',
  space,
  address,
  words: Array.from({ length: words }, () => 0n),
  layout: '',
  text: '',
});
const fill = (id: number): TraceEvent => ({
  kind: 'cache.fill',
  actor: 'iommu',
  at: '',
  entry: { cache: 'TLB', id, cells: [] },
});
const hazard = (entry: number, ...depends: number[]): Hazard => ({
  at: '',
  cache: 'TLB',
  entry,
  cells: [],
  text: '',
  now: '',
  missing: '',
  depends,
});
/** Guest memory in pages that are not contiguous; page 3 is not there. */
const resolve = (gpa: number): number => (Math.floor(gpa / 4096) === 3 ? -1 : (gpa ^ 0x1000) + 0x100000);

test('the last write since the fill that touches a word of the walk', () => {
  const log = new WriteLog();
  log.note(0, [write(0x1000, 8)], resolve);
  log.note(1, [fill(1), write(0x2000), write(0x1008)], resolve);
  log.note(2, [write(0x2000), write(0x1010, 2)], resolve);
  expect(log.causeOf(hazard(1, 0x1008))).toEqual({ step: 1, event: 2 });
  expect(log.causeOf(hazard(1, 0x100c))).toEqual({ step: 1, event: 2 });
  expect(log.causeOf(hazard(1, 0x1008, 0x2000))).toEqual({ step: 2, event: 0 });
  expect(log.causeOf(hazard(1, 0x1018))).toEqual({ step: 2, event: 1 });
  // Written before the fill only.
  expect(log.causeOf(hazard(1, 0x1000))).toBeNull();
  expect(log.causeOf(hazard(1, 0x9000))).toBeNull();
  // An entry whose fill nobody saw.
  expect(log.causeOf(hazard(2, 0x1000))).toEqual({ step: 0, event: 0 });
});

test('what hardware sets in a descriptor is no cause, and each unit counts its own entries', () => {
  const log = new WriteLog();
  const at = (unit: string, e: TraceEvent): TraceEvent => ({ ...e, at: unit });
  log.note(1, [at('hw.a.iotlb', fill(1)), write(0x1000), at('hw.b.iotlb', fill(1))], resolve);
  log.note(2, [{ ...write(0x1000), actor: 'iommu' }], resolve);
  expect(log.causeOf({ ...hazard(1, 0x1000), at: 'hw.a.iotlb' })).toEqual({ step: 1, event: 1 });
  expect(log.causeOf({ ...hazard(1, 0x1000), at: 'hw.b.iotlb' })).toBeNull();
});

test('a guest write is found by the host address behind each of its words', () => {
  const log = new WriteLog();
  log.note(1, [write(0x1ff8, 3, 'guest'), write(0x3000, 1, 'guest')], resolve);
  expect(log.causeOf(hazard(1, 0x100ff8))).toEqual({ step: 1, event: 0 });
  expect(log.causeOf(hazard(1, 0x103000))).toEqual({ step: 1, event: 0 });
  expect(log.causeOf(hazard(1, 0x103008))).toEqual({ step: 1, event: 0 });
  expect(log.causeOf(hazard(1, 0x102000))).toBeNull();
});

test('a log that is cut off equals one that never went further', () => {
  const events = fc.array(
    fc.oneof(
      fc.nat(7).map((n) => write(n * 8, 2)),
      fc.nat(3).map(fill),
    ),
    { maxLength: 5 },
  );
  fc.assert(
    fc.property(fc.array(events, { maxLength: 8 }), fc.nat(8), fc.array(events, { maxLength: 4 }), (all, n, more) => {
      const play = (steps: TraceEvent[][], from: number, log: WriteLog): WriteLog => {
        for (const [i, list] of steps.entries()) log.note(from + i, list, resolve);
        return log;
      };
      const cut = play(all, 0, new WriteLog());
      const keep = Math.min(n, all.length);
      cut.truncate(keep - 1);
      play(more, keep, cut);
      const steps = [...all.slice(0, keep), ...more];
      const fresh = play(steps, 0, new WriteLog());
      const refs = (log: WriteLog): (EventRef | null)[] =>
        [0, 1, 2, 3].flatMap((id) => [0, 8, 16, 56].map((a) => log.causeOf(hazard(id, a))));
      expect(refs(cut)).toEqual(refs(fresh));
      // The obvious way: look through everything.
      const flat = steps.flatMap((list, step) => list.map((e, event) => ({ e, step, event })));
      const filled = flat.findLastIndex(({ e }) => e.kind === 'cache.fill' && e.entry.id === 1);
      const last = flat.findLastIndex(({ e }) => e.kind === 'table.write' && e.address <= 16 && e.address + 16 > 16);
      const { step, event } = flat[last] ?? { step: 0, event: 0 };
      expect(fresh.causeOf(hazard(1, 16))).toEqual(last > filled ? { step, event } : null);
    }),
  );
});

test('cost counts removals, and those for nothing', () => {
  const remove = (valid: boolean): TraceEvent => ({
    kind: 'cache.remove',
    actor: 'iommu',
    at: '',
    entry: { cache: 'TLB', id: 1, cells: [] },
    valid,
    by: '',
  });
  const counts = { exits: 1, ioctls: 2, commands: 3, syncs: 4, reads: 5 };
  const cost = stepCost(counts, [remove(true), fill(1), remove(false), remove(true)]);
  expect(cost).toEqual({ ...counts, removed: 3, stillValid: 2 });
  expect(addCost(cost, addCost(cost, noCost))).toEqual({
    exits: 2,
    ioctls: 4,
    commands: 6,
    syncs: 8,
    reads: 10,
    removed: 6,
    stillValid: 4,
  });
});
