import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { exampleEvents } from './fixtures/events.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { crosses, overlap, pathLength } from './label.ts';
import { layoutTopology } from './layout.ts';
import { hopsOf, messageRuns } from './message.ts';
import { flightAt, motionAt, motionOf } from './motion.ts';
import type { Rect } from './types.ts';

const sizes = [
  { width: 720, height: 430 },
  { width: 806, height: 600 },
  { width: 1290, height: 850 },
];
const events = exampleEvents();
const layout = layoutTopology(exampleScene(), sizes[1]!);
const at = (i: number) => motionOf(layout, events, i);
const indexOf = (kind: TraceEvent['kind'], nth = 0): number =>
  events.map((e, i) => [e.kind, i] as const).filter(([k]) => k === kind)[nth]![1];

describe('motionOf', () => {
  it('lets an invalidation fall through the bands and its result come back', () => {
    const hops = events.flatMap((e, i) => {
      const f = at(i).flight;
      return f ? [`${e.kind}: ${f.from} > ${f.to}`] : [];
    });
    expect(hops).toEqual([
      'trap: guest.cmdq > vmm.vsmmu',
      'ioctl.enter: vmm.vsmmu > kernel.obj.3',
      'command.post: kernel.obj.3 > hw.cmdq',
      'cache.remove: hw.cmdq > hw.iotlb',
      'ioctl.exit: kernel.obj.3 > vmm.vsmmu',
    ]);
  });

  it('writes on the message what it says, and what was rewritten in a tone of its own', () => {
    const post = at(indexOf('command.post', 1));
    expect(post.flight!.label!.full).toContain('TLBI_NH_VA vmid 3 asid 1 va 0x10000');
    const rewrite = at(indexOf('command.rewrite'));
    expect(rewrite.flight).toBeNull();
    expect(rewrite.note!.rewrite).toBe(true);
    expect(rewrite.note!.label.lines.map((l) => l.map((r) => r.text).join(''))).toEqual([
      'TLBI_NH_VA vmid 0 → 3',
      'asid 1 va 0x10000 leaf',
    ]);
    expect(rewrite.note!.label.lines[0]!.find((r) => r.tone === 'changed')!.text).toBe('0 → 3');
  });

  it('says that nothing was rewritten', () => {
    const e = events[indexOf('command.rewrite')] as TraceEvent & { kind: 'command.rewrite' };
    expect(messageRuns({ ...e, changes: [] })[0]!.map((r) => r.text)).toEqual(['TLBI_NH_VA', ' unchanged']);
  });

  it('points at the queue entry and at the cache row', () => {
    expect(at(indexOf('command.post')).slot).toEqual({ id: 'guest.cmdq', index: 6 });
    const removal = at(indexOf('cache.remove'));
    expect(removal.row).toEqual({ id: 'hw.iotlb', row: 100 });
    expect(removal.flight!.tone).toBe('removed');
    expect(removal.marks.get('hw.iotlb')).toEqual({ tone: 'removed', when: 'now' });
  });

  it('leaves the whole way to see at the end of the step', () => {
    const end = at(events.length - 1);
    expect(end.trail.map((t) => events[Number(t.id)]!.kind)).toEqual([
      'trap',
      'ioctl.enter',
      'command.post',
      'cache.remove',
    ]);
    for (const id of ['guest.cmdq', 'vmm.vsmmu', 'kernel.obj.3', 'hw.cmdq', 'hw.iotlb'])
      expect(end.marks.has(id)).toBe(true);
  });

  it('shows a failed call and an entry that was still valid as such', () => {
    const failed = [...events];
    const exit = failed[failed.length - 1] as TraceEvent & { kind: 'ioctl.exit' };
    failed[failed.length - 1] = { ...exit, errno: 'EIO' };
    const m = motionOf(layout, failed, failed.length - 1);
    expect([m.flight!.tone, m.flight!.label!.lines[0]![0]!.text]).toEqual(['fault', 'returns -EIO']);
    const i = indexOf('cache.remove');
    const wasted = [...events];
    wasted[i] = { ...(wasted[i] as TraceEvent & { kind: 'cache.remove' }), valid: true };
    expect(motionOf(layout, wasted, i).flight!.tone).toBe('wasted');
  });

  it('keeps paths out of foreign boxes, labels apart and inside', () => {
    for (const size of sizes) {
      const l = layoutTopology(exampleScene(), size);
      events.forEach((_, i) => {
        const m = motionOf(l, events, i);
        const labels = [...m.trail.map((t) => t.label), m.flight?.label, m.note?.label].filter((x) => !!x) as Rect[];
        labels.forEach((a, k) => {
          expect(a.x >= 0 && a.y >= 0 && a.x + a.w <= l.width && a.y + a.h <= l.height, `label ${k} of ${i}`).toBe(
            true,
          );
          for (const b of labels.slice(k + 1)) expect(overlap(a, b), `labels at ${i}`).toBeLessThan(0.05 * a.w * a.h);
        });
        for (const way of [...m.trail, ...(m.flight ? [m.flight] : [])])
          way.points.slice(1).forEach((q, k) => {
            const p = way.points[k]!;
            for (const b of l.boxes) {
              const inside = { x: b.x + 1, y: b.y + 1, w: b.w - 2, h: b.h - 2 };
              expect(crosses(p, q, inside), `${way.id} through ${b.id}`).toBe(false);
            }
          });
      });
    }
  });

  it('does nothing before the first event, and with places that are not in the picture', () => {
    expect(motionOf(layout, events, -1)).toMatchObject({ flight: null, note: null, trail: [], caption: '' });
    const odd: TraceEvent = { kind: 'trap', actor: 'vmm', at: 'vmm.gone', to: 'guest.gone', text: 'x' };
    const m = motionOf(layout, [odd], 0);
    expect(m.flight).toBeNull();
    expect(m.note!.label.full).toBe('trap x');
  });

  it('shows only the latest messages of a long step', () => {
    const long = Array.from({ length: 40 }, () => events).flat();
    const m = motionOf(layout, long, long.length - 1);
    expect(m.trail.length).toBeLessThanOrEqual(9);
    expect(m.trail.every((t) => long.length - Number(t.id) <= 49)).toBe(true);
  });

  it('shows a look-up only while it happens', () => {
    const read: TraceEvent = {
      kind: 'memory.read',
      actor: 'iommu',
      at: 'hw.strtab',
      to: 'hw.ste.0x100',
      address: 64,
      words: [1n],
      layout: 'smmuv3.ste',
      step: { what: 'STE', level: -1, s1Level: -1 },
      text: 'STE 0x100',
    };
    const sync: TraceEvent = { kind: 'sync', actor: 'iommu', at: 'hw.cmdq', queue: 'physical', text: 'done' };
    expect(motionOf(layout, [read, sync], 0).flight!.to).toBe('hw.ste.0x100');
    expect(motionOf(layout, [read, sync], 1).trail).toEqual([]);
  });

  it('is a function of its input', () => {
    const text = (): string => JSON.stringify(motionOf(layout, events, 10));
    expect(text()).toBe(text());
  });
});

describe('hopsOf', () => {
  it('does not make a message of an actor that goes on in its own band', () => {
    const write = events[0]!;
    const post = events[1]!;
    expect(hopsOf([write, post], 1, (id) => id.split('.')[0])).toEqual([null, null]);
  });
});

describe('flightAt', () => {
  it('leads from border to border, and brings the label to rest', () => {
    const flight = at(indexOf('ioctl.enter')).flight!;
    const [first, last] = [flight.points[0]!, flight.points[flight.points.length - 1]!];
    expect(flightAt(flight, 0).dot).toEqual(first);
    expect(flightAt(flight, 1)).toEqual({ dot: last, label: { x: 0, y: 0 } });
    let before = -1;
    for (let p = 0; p <= 1; p += 0.05) {
      const { dot } = flightAt(flight, p);
      // Length of the path up to the dot never shrinks.
      let way = 0;
      for (let k = 1; k < flight.points.length; k++) {
        const [a, b] = [flight.points[k - 1]!, flight.points[k]!];
        const on =
          dot.x >= Math.min(a.x, b.x) - 0.01 &&
          dot.x <= Math.max(a.x, b.x) + 0.01 &&
          dot.y >= Math.min(a.y, b.y) - 0.01 &&
          dot.y <= Math.max(a.y, b.y) + 0.01;
        if (on) {
          way += Math.hypot(dot.x - a.x, dot.y - a.y);
          break;
        }
        way += Math.hypot(b.x - a.x, b.y - a.y);
      }
      expect(way).toBeGreaterThanOrEqual(before - 0.01);
      expect(way).toBeLessThanOrEqual(pathLength(flight.points) + 0.01);
      before = way;
    }
    expect(motionAt(layout, events, indexOf('ioctl.enter'), 1).moving!.dot).toEqual(last);
  });
});
