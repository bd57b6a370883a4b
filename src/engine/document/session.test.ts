import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { eventToJson } from '../trace/index.ts';
import { Checkpoints } from './checkpoints.ts';
import { EventStore } from './event-store.ts';
import { toy } from './fixtures/documents.ts';
import { findFake } from './fixtures/fake-vendor.ts';
import type { Step } from './operations.ts';
import { validateOperation } from './parse.ts';
import { Session, type SessionLimits } from './session.ts';

const page = fc.nat(7).map((n) => `0x${(n * 4096).toString(16)}`);
const step = fc.oneof(
  fc.record({ do: fc.constant('guest.map'), iova: page, gpa: page }),
  fc.record({ do: fc.constant('guest.unmap'), iova: page, flush: fc.constantFrom('strict', 'none', 'queued') }),
  fc.record({ do: fc.constant('device.dma'), device: fc.constant('nic0'), iova: page }),
  fc.record({ do: fc.constant('guest.invalidate'), command: fc.record({ name: fc.constant('INV'), Address: page }) }),
  fc.record({
    do: fc.constant('inject'),
    at: fc.constant('host.command'),
    action: fc.constantFrom('drop', 'delay', 'reorder', 'corrupt'),
  }),
  fc.record({
    do: fc.constant('memory.write'),
    space: fc.constant('host'),
    at: fc.constant('0x10000'),
    u64: fc.tuple(page, page),
  }),
  fc.record({ do: fc.constant('register.write'), reg: fc.constant('CR0'), value: page }),
  fc.constant({ do: 'device.reset', device: 'nic0' }),
  fc.constant({ do: 'ioctl', call: 'IOMMU_IOAS_ALLOC' }),
) as unknown as fc.Arbitrary<Step>;
const steps = fc.array(step, { maxLength: 14 });
const limits = fc.constantFrom<SessionLimits>({}, { checkpoints: 2, events: 3 }, { checkpoints: 3, events: 0 });

const play = (list: readonly Step[], l: SessionLimits = {}): Session => {
  const s = new Session(toy(list), findFake, l);
  s.runAll();
  return s;
};
const traceOf = (s: Session): string =>
  s.steps.map((r, i) => r.events.map((e) => `${i} ${eventToJson(e)}\n`).join('')).join('');
const outcome = (s: Session): unknown =>
  s.steps.map(({ events, ...rest }) => ({ ...rest, events: events.map(eventToJson) }));
const look = (s: Session, i: number, event?: number): string => {
  const p = s.platformAt(i, event);
  return JSON.stringify([p.scene(p.hazards()), p.cached()], (_, v) => (typeof v === 'bigint' ? `${v}` : v));
};

describe('playing a document', () => {
  test('the same document gives the same trace, byte for byte, whatever is kept', () => {
    fc.assert(
      fc.property(steps, limits, (list, l) => {
        const a = play(list);
        const b = play(list, l);
        expect(traceOf(b)).toBe(traceOf(a));
        expect(outcome(b)).toEqual(outcome(a));
      }),
    );
  }, 60_000);

  test('a moment reached by seeking is the moment reached by going forward', () => {
    fc.assert(
      fc.property(steps, limits, fc.nat(), fc.nat(), (list, l, i, j) => {
        const whole = play(list, l);
        const target = i % whole.steps.length;
        const event = j % (whole.steps[target]!.eventCount + 1);
        // Another session, which never ran what lies beyond and stops there.
        const forward = new Session(toy(list.slice(0, target)), findFake);
        forward.runAll();
        expect(look(whole, target, event)).toBe(look(forward, target, event));
        if (event === whole.steps[target]!.eventCount) expect(look(whole, target)).toBe(look(forward, target, event));
      }),
    );
  }, 60_000);

  test('there and back equals there, and looking changes nothing', () => {
    fc.assert(
      fc.property(steps, limits, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }), (list, l, moves) => {
        const s = play(list, l);
        const seen = new Map<string, string>();
        for (const [i, j] of moves) {
          const at = i % s.steps.length;
          const event = j % (s.steps[at]!.eventCount + 1);
          const now = look(s, at, event);
          expect(now).toBe(seen.get(`${at}.${event}`) ?? now);
          seen.set(`${at}.${event}`, now);
          // Reading old events may replay; the platform stays where it was.
          const machine = s.platformAt(at, event);
          const stands = JSON.stringify(machine.scene(machine.hazards()));
          s.steps.forEach((r) => {
            expect(r.events).toHaveLength(r.eventCount);
          });
          expect(JSON.stringify(machine.scene(machine.hazards()))).toBe(stands);
          expect(look(s, at, event)).toBe(now);
        }
        expect(outcome(s)).toEqual(outcome(play(list)));
      }),
    );
  }, 60_000);

  test('every event has its own moment', () => {
    const s = play([
      { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
      { do: 'device.dma', device: 'nic0', iova: '0x1000' },
      { do: 'guest.unmap', iova: '0x1000' },
    ] as unknown as Step[]);
    const table = (e: number): string | undefined => s.platformAt(3, e).scene([]).objects[1]!.lines[1];
    const cached = (e: number): number => s.platformAt(3, e).cached().length;
    // Events: the table write, the fetch, the removal, the sync.
    expect(s.steps[3]!.events.map((e) => e.kind)).toEqual(['table.write', 'command.fetch', 'cache.remove', 'sync']);
    expect([0, 1, 2, 3, 4].map(table)).toEqual(['0x2000', '0x0', '0x0', '0x0', '0x0']);
    expect([0, 1, 2, 3, 4].map(cached)).toEqual([1, 1, 1, 0, 0]);
    expect([4, 0, 3].map(cached)).toEqual([0, 1, 0]);
  });

  test('adding steps one at a time equals playing them at once', () => {
    fc.assert(
      fc.property(steps, fc.nat(), (list, n) => {
        const s = new Session(toy([]), findFake, { checkpoints: 2 });
        for (const [i, x] of list.entries()) {
          if (i === n % 5) s.platformAt(0, 1);
          s.append(x);
        }
        const all = play(list);
        s.runAll();
        expect(outcome(s)).toEqual(outcome(all));
        expect(s.document.steps).toEqual(all.document.steps);
      }),
    );
  }, 60_000);

  test('cutting off and adding again equals never having had what was cut', () => {
    fc.assert(
      fc.property(steps, steps, fc.nat(), limits, (list, more, n, l) => {
        const s = play(list, l);
        const keep = n % (list.length + 1);
        s.platformAt(s.steps.length - 1, n % 3);
        s.truncate(keep);
        expect(s.steps).toHaveLength(keep + 1);
        for (const x of more) s.append(x);
        const fresh = play([...list.slice(0, keep), ...more]);
        expect(outcome(s)).toEqual(outcome(fresh));
        for (const [i, r] of fresh.steps.entries())
          expect(look(s, i, r.eventCount - 1)).toBe(look(fresh, i, r.eventCount - 1));
      }),
    );
  }, 60_000);

  test('an invalid step is not added', () => {
    const check: SessionLimits['check'] = (step, document) => {
      const r = validateOperation(step, { document }, findFake);
      return r.ok ? undefined : `${r.error.path}: ${r.error.message}`;
    };
    const s = play([], { check });
    expect(() => s.append({ do: 'device.dma', device: 'nic9', iova: 0 } as unknown as Step)).toThrow(
      /device: expected the name of a device/,
    );
    expect(s.document.steps).toEqual([]);
  });

  test('nothing runs before it is asked for', () => {
    const s = new Session(toy([{ do: 'guest.map', iova: 0, gpa: '0x3000' }]), findFake);
    expect(s.steps).toHaveLength(0);
    s.runTo(0);
    expect(s.steps).toHaveLength(1);
    expect(s.steps[0]!.operation).toEqual({ do: 'setup', setup: 'booted' });
  });
});

describe('a broken promise in the engine', () => {
  const list = [
    { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
    { do: 'device.reset', device: 'nic0', expect: { ok: false } },
    { do: 'device.dma', device: 'nic0', iova: '0x1000' },
  ] as unknown as Step[];

  test('is a failure of its step whatever is expected, and has no effect on the next one', () => {
    const s = play(list);
    expect(s.steps[2]).toMatchObject({
      crash: 'a promise was broken',
      failures: [{ path: '', expected: 'the engine to run the step', actual: 'internal error: a promise was broken' }],
    });
    expect(look(s, 2)).toBe(look(s, 1));
    expect(s.steps[3]!.result).toMatchObject({ ok: true, pa: 0x2000 });
    // Also on the way there.
    expect(look(s, 3)).not.toBe(look(s, 2));
    expect(look(s, 2, 1)).toContain('0xbad');
    expect(look(s, 2)).toBe(look(s, 1));
  });
});

describe('injected faults', () => {
  const start = [
    { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
    { do: 'device.dma', device: 'nic0', iova: '0x1000' },
  ];
  const unmap = { do: 'guest.unmap', iova: '0x1000' };
  const run = (action: string, ...more: object[]): Session =>
    play([...start, { do: 'inject', at: 'host.command', action }, unmap, ...more] as unknown as Step[]);
  const stale = (s: Session): number[] => s.steps.slice(4).map((r) => r.hazards.length);

  test('a dropped command leaves its entry stale', () =>
    expect(stale(run('drop', { do: 'register.read', reg: 'CR0' }))).toEqual([1, 1]));
  test('a delayed one arrives when the next step starts', () => {
    const s = run('delay', { do: 'register.read', reg: 'CR0' });
    expect(stale(s)).toEqual([1, 0]);
    expect(s.steps[5]!.events[0]).toMatchObject({ kind: 'command.fetch' });
    expect(s.platformAt(5, 0).hazards()).toHaveLength(1);
  });
  test('a corrupted one removes another page', () => {
    const s = run('corrupt');
    expect(stale(s)).toEqual([1]);
    expect(s.steps[4]!.events.find((e) => e.kind === 'command.fetch')).toMatchObject({ command: { text: 'INV 0x0' } });
  });
});

describe('hazards and cost', () => {
  test('a hazard names the write that made it stale, also by a guest address', () => {
    const s = play([
      { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
      { do: 'device.dma', device: 'nic0', iova: '0x1000' },
      { do: 'register.read', reg: 'CR0' },
      { do: 'guest.unmap', iova: '0x1000', flush: 'none' },
      { do: 'register.read', reg: 'CR0' },
      { do: 'memory.write', space: 'host', at: '0x10008', u64: ['0x9000'] },
    ] as unknown as Step[]);
    expect(s.steps.map((r) => r.hazards[0]?.cause)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      { step: 4, event: 0 },
      { step: 4, event: 0 },
      { step: 6, event: 0 },
    ]);
    expect(s.steps[5]!.hazards).toBe(s.steps[4]!.hazards);
  });

  test('a write that was cut off is no cause any more', () => {
    const s = play([
      { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
      { do: 'device.dma', device: 'nic0', iova: '0x1000' },
      { do: 'guest.unmap', iova: '0x1000', flush: 'none' },
      { do: 'guest.map', iova: '0x1000', gpa: '0x3000' },
    ] as unknown as Step[]);
    expect(s.steps[4]!.hazards[0]!.cause).toEqual({ step: 4, event: 0 });
    s.truncate(3);
    s.append({ do: 'register.read', reg: 'CR0' } as unknown as Step);
    expect(s.steps[4]!.hazards[0]!.cause).toEqual({ step: 3, event: 0 });
  });

  test('what a step cost', () => {
    const s = play([
      { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
      { do: 'device.dma', device: 'nic0', iova: '0x1000' },
      { do: 'guest.invalidate', command: { name: 'INV', Address: '0x1000' } },
      { do: 'device.dma', device: 'nic0', iova: '0x1000' },
      { do: 'guest.unmap', iova: '0x1000' },
    ] as unknown as Step[]);
    const zero = { exits: 0, ioctls: 0, commands: 0, syncs: 0, removed: 0, stillValid: 0, reads: 0 };
    expect(s.steps.slice(2).map((r) => r.cost)).toEqual([
      { ...zero, reads: 1 },
      { ...zero, commands: 1, syncs: 1, removed: 1, stillValid: 1 },
      { ...zero, reads: 1 },
      { ...zero, exits: 1, commands: 1, syncs: 1, removed: 1 },
    ]);
  });
});

describe('long documents', () => {
  test('10,000 steps play and seek, with a bounded number of saved states', () => {
    const list = Array.from({ length: 10_000 }, (_, i) =>
      i % 3 === 0
        ? { do: 'guest.map', iova: `0x${((i % 8) * 4096).toString(16)}`, gpa: `0x${(i * 4096).toString(16)}` }
        : i % 3 === 1
          ? { do: 'device.dma', device: 'nic0', iova: `0x${((i % 7) * 4096).toString(16)}` }
          : { do: 'guest.unmap', iova: `0x${((i % 5) * 4096).toString(16)}` },
    ) as unknown as Step[];
    const s = play(list, { events: 5000 });
    const first = play(list.slice(0, 5000));
    expect(look(s, 5000, 1)).toBe(look(first, 5000, 1));
    expect(s.steps[4000]!.events.map(eventToJson)).toEqual(first.steps[4000]!.events.map(eventToJson));
    expect(look(s, 5000, 1)).toBe(look(first, 5000, 1));
    expect(look(s, 10, 0)).toBe(look(first, 10, 0));
  }, 60_000);

  test('checkpoints are thinned evenly', () => {
    const c = new Checkpoints<number>(16);
    c.set(-1, -1);
    for (let i = 0; i < 1000; i++) if (c.due(i)) c.set(i, i);
    expect(c.size).toBeLessThanOrEqual(16);
    for (const at of [0, 1, 63, 64, 500, 999]) {
      const n = c.nearest(at)!;
      expect(n.state).toBe(n.step);
      expect(at - n.step).toBeLessThan(128);
    }
    c.truncate(499);
    expect(c.nearest(999)!.step).toBeLessThanOrEqual(499);
    expect(c.nearest(-1)).toEqual({ step: -1, state: -1 });
  });

  test('events are given up oldest use first', () => {
    const e = new EventStore(3);
    const list = (n: number) =>
      Array.from({ length: n }, () => ({ kind: 'note', actor: 'guest', at: '', text: '' }) as const);
    e.set(0, list(1));
    e.set(1, list(1));
    e.get(0);
    e.set(2, list(2));
    expect([0, 1, 2].map((i) => e.get(i)?.length)).toEqual([1, undefined, 2]);
    e.set(3, list(10));
    expect([0, 1, 2, 3].map((i) => e.get(i)?.length)).toEqual([undefined, undefined, undefined, 10]);
  });
});
