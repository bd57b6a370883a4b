import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadVendors } from '../machine/vendors.ts';
import { eventToJson } from '../trace/index.ts';
import type { Step } from './operations.ts';
import { checkScenario } from './parse.ts';
import type { ScenarioDocument } from './schema.ts';
import { Session, type SessionLimits } from './session.ts';

await loadVendors(['smmuv3']);

/** The rules of replay, on the modelled machine instead of a toy: its saved state must be whole. */

const document = (steps: readonly unknown[]): ScenarioDocument => {
  const r = checkScenario({
    format: 'iommuscope/1',
    title: 'replay',
    platform: { iommu: 'smmuv3', memory: '2GiB', guest: { memory: '64MiB' } },
    devices: [
      { name: 'nic0', rid: '0000:01:00.0', vrid: '0000:00:01.0' },
      { name: 'nic1', rid: '0000:02:00.0', vrid: '0000:00:02.0', ats: false },
    ],
    setup: 'booted',
    steps,
  });
  if (!r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
  return r.document;
};

const hex = (n: number): string => `0x${n.toString(16)}`;
const device = fc.constantFrom('nic0', 'nic1');
const iova = fc.nat(3).map((n) => hex(0x10000 + n * 4096));
const gpa = fc.nat(3).map((n) => hex(0x40200000 + n * 4096));
const domain = fc.constantFrom('dma0', 'dma1');
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('guest.attach'),
      device,
      domain: fc.constantFrom('dma0', 'dma1', 'bypass', 'blocked'),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('guest.map'), domain, iova, gpa }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('guest.unmap'),
      domain,
      iova,
      flush: fc.constantFrom('strict', 'queued', 'none'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'guest.flush' }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('device.dma'),
      device,
      iova,
      access: fc.constantFrom('read', 'write'),
      ats: fc.constantFrom('translated', 'untranslated'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('device.ats'), device, iova }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('guest.detach'), device }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('vmm.unmap'), gpa: fc.constant('0x40200000'), size: fc.constant('2MiB') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('vmm.unplug'), device }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('vmm.plug'), device }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('inject'),
      at: fc.constantFrom('guest.command', 'vmm.forward', 'host.command', 'atc.invalidation', 'event.record'),
      action: fc.constantFrom('drop', 'delay', 'reorder', 'corrupt'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'guest.invalidate', command: { name: 'TLBI_NSNH_ALL' } }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('guest.invalidate'),
      bytes: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b) => Buffer.from(b).toString('hex')),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'ioctl', call: 'IOMMU_IOAS_ALLOC' }) },
);
const steps = fc.array(step, { minLength: 1, maxLength: 12 });
const few: SessionLimits = { checkpoints: 2, events: 50 };

const play = (doc: ScenarioDocument, limits?: SessionLimits): Session => {
  const s = new Session(doc, undefined, limits);
  s.runAll();
  return s;
};
const text = (v: unknown): string =>
  JSON.stringify(v, (_, x) => (typeof x === 'bigint' ? hex(Number(x)) : x instanceof Uint8Array ? [...x] : x));
const outcome = (s: Session): string[] =>
  s.steps.map(({ events, ...r }) => text({ ...r, events: events.map(eventToJson) }));
const look = (s: Session, i: number, event?: number): string => {
  const p = s.platformAt(i, event);
  const hazards = p.hazards();
  const scene = p.scene(hazards);
  return text([scene, hazards, p.cached(), scene.objects.map((o) => [p.inspect(o.id), p.actionsFor(o.id)])]);
};

describe('replay of the SMMUv3 machine', () => {
  test('no step breaks a promise, and the same document gives the same trace whatever is kept', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const a = play(document(list));
        expect(a.steps.filter((r) => r.crash !== undefined).map((r) => [r.operation, r.crash])).toEqual([]);
        const b = play(document(list), few);
        expect(outcome(b)).toEqual(outcome(a));
      }),
      { numRuns: 20 },
    );
  }, 60_000);

  test('a moment reached by seeking is the moment reached by going forward, there and back', () => {
    fc.assert(
      fc.property(steps, fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 1, maxLength: 4 }), (list, places) => {
        const s = play(document(list), few);
        const before = outcome(s);
        for (const [i, j] of places) {
          const at = i % s.steps.length;
          const event = j % (s.steps[at]!.eventCount + 1);
          const forward = play(document(list.slice(0, at)));
          expect(look(s, at, event)).toBe(look(forward, at, event));
        }
        expect(outcome(s)).toEqual(before);
      }),
      { numRuns: 15 },
    );
  }, 60_000);

  test('cutting off and adding again equals never having had what was cut', () => {
    fc.assert(
      fc.property(steps, steps, fc.nat(), (list, more, n) => {
        const keep = n % (list.length + 1);
        const s = play(document(list), few);
        s.platformAt(s.steps.length - 1, n % 7);
        s.truncate(keep);
        for (const x of more) s.append(x as unknown as Step);
        expect(outcome(s)).toEqual(outcome(play(document([...list.slice(0, keep), ...more]))));
      }),
      { numRuns: 20 },
    );
  }, 60_000);

  test('thousands of steps play, and any of their moments is near', () => {
    const one = (i: number): object[] => [
      { do: 'guest.map', iova: hex(0x10000 + (i % 16) * 4096), gpa: hex(0x40200000 + (i % 32) * 4096) },
      { do: 'device.dma', device: 'nic0', iova: hex(0x10000 + (i % 16) * 4096) },
      { do: 'guest.unmap', iova: hex(0x10000 + (i % 16) * 4096) },
    ];
    const list = [
      { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
      ...Array.from({ length: 1000 }, (_, i) => one(i)).flat(),
    ];
    const s = play(document(list), { events: 5000 });
    expect(s.steps.flatMap((r) => r.failures)).toEqual([]);
    const some = [3000, 1501, 7, 2222];
    const seen = some.map((i) => look(s, i, 3));
    expect(some.map((i) => look(s, i, 3))).toEqual(seen);
    const start = performance.now();
    for (const i of some) s.platformAt(i, 2);
    expect(performance.now() - start).toBeLessThan(4000);
  }, 60_000);
});
