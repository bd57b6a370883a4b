import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Scene } from '../../engine/machine/index.ts';
import { faults } from './fixtures/faults.ts';
import { randomScene } from './fixtures/random.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { layoutTopology } from './layout.ts';
import { reserveSlots } from './slots.ts';
import type { Rect, TopologyLayout } from './types.ts';

const projector = { width: 720, height: 430 };
const laptop = { width: 806, height: 600 };
const sizes = [
  projector,
  { width: 720, height: 560 },
  laptop,
  { width: 1290, height: 850 },
  { width: 2600, height: 1700 },
];

/** How often arrows to different objects cross. */
function crossings(l: TopologyLayout): number {
  const pieces = l.arrows.flatMap((a) => a.points.slice(1).map((q, i) => ({ a, p: a.points[i]!, q })));
  let n = 0;
  pieces.forEach((s, i) => {
    for (const t of pieces.slice(i + 1)) {
      if (s.a === t.a || s.a.to === t.a.to || (s.p.x === s.q.x) === (t.p.x === t.q.x)) continue;
      const [v, h] = s.p.x === s.q.x ? [s, t] : [t, s];
      const within = (x: number, a: number, b: number): boolean => x > Math.min(a, b) + 0.1 && x < Math.max(a, b) - 0.1;
      if (within(v.p.x, h.p.x, h.q.x) && within(h.p.y, v.p.y, v.q.y)) n++;
    }
  });
  return n;
}

const names = (n: number): string[] => Array.from({ length: n }, (_, i) => `vf${i}`);
const rectOf = (b: Rect): Rect => ({ x: b.x, y: b.y, w: b.w, h: b.h });
const rects = (l: TopologyLayout): Map<string, Rect> => new Map(l.boxes.map((b) => [b.id, rectOf(b)]));

describe('layoutTopology', () => {
  for (const size of sizes) {
    it(`places two devices into ${size.width} × ${size.height} without scrolling and without a fault`, () => {
      const l = layoutTopology(exampleScene({ rows: 4 }), size);
      expect(faults(l)).toEqual([]);
      expect([l.width, l.height]).toEqual([size.width, size.height]);
      expect(l.fold).toBeNull();
      expect(l.boxes).toHaveLength(exampleScene({ rows: 4 }).objects.length);
      const refs = exampleScene({ rows: 4 }).objects.flatMap((o) => o.refs.map((r) => `${o.id}>${r.to}`));
      expect(l.arrows.map((a) => a.id).sort()).toEqual(refs.sort());
    });
  }

  it('grows its text with the room, and never shrinks it below 11 px', () => {
    const scales = sizes.map((s) => layoutTopology(exampleScene(), s).scale);
    expect(scales[0]).toBe(1);
    expect([...scales].sort((a, b) => a - b)).toEqual(scales);
    expect(scales[4]).toBeGreaterThanOrEqual(2);
  });

  it('becomes larger than a room that is too small, and is drawn all the same', () => {
    for (const size of [
      { width: 360, height: 640 },
      { width: 720, height: 120 },
      { width: 1, height: 1 },
    ]) {
      const l = layoutTopology(exampleScene(), size);
      expect(faults(l)).toEqual([]);
      expect(l.width > size.width || l.height > size.height).toBe(true);
    }
    const empty = layoutTopology({ objects: [] }, laptop);
    expect(empty.bands.map((b) => b.band)).toEqual(['guest', 'vmm', 'kernel', 'hardware']);
    expect([empty.boxes, empty.arrows]).toEqual([[], []]);
  });

  it('has no fault with 2 to 16 devices and any content', () => {
    fc.assert(
      fc.property(randomScene(2, 16), fc.constantFrom(...sizes), fc.boolean(), (scene, size, open) => {
        expect(faults(layoutTopology(scene, size, { open })).join('; ')).toBe('');
      }),
      { numRuns: 120 },
    );
  }, 60_000);

  it('gives a device one column through all bands, in the order of the document', () => {
    const l = layoutTopology(exampleScene({ devices: names(3) }), laptop);
    for (const c of l.columns)
      for (const b of l.boxes.filter((x) => x.device === c.device)) expect([b.x, b.w]).toEqual([c.x, c.w]);
    expect(l.columns.map((c) => c.device)).toEqual(names(3));
    expect(l.columns.map((c) => c.x)).toEqual(l.columns.map((c) => c.x).sort((a, b) => a - b));
  });

  it('stands common objects left of the devices, queues leftmost', () => {
    const l = layoutTopology(exampleScene(), laptop);
    const left = Math.min(...l.columns.map((c) => c.x));
    for (const b of l.boxes.filter((x) => x.device === null && x.band !== 'vmm')) expect(b.x + b.w).toBeLessThan(left);
    const x = (id: string): number => l.boxes.find((b) => b.id === id)!.x;
    expect(x('guest.cmdq')).toBe(Math.min(...l.boxes.map((b) => b.x)));
    expect(x('hw.cmdq')).toBe(x('guest.cmdq'));
    expect(x('kernel.obj.1')).toBeLessThan(x('kernel.obj.2'));
    expect(x('kernel.obj.2')).toBeLessThan(x('kernel.obj.3'));
  });

  it('crosses few arrows', () => {
    expect(crossings(layoutTopology(exampleScene(), laptop))).toBeLessThanOrEqual(4);
    expect(crossings(layoutTopology(exampleScene(), projector))).toBeLessThanOrEqual(4);
  });

  it('gives the same numbers for the same input', () => {
    fc.assert(
      fc.property(randomScene(2, 6), (scene) => {
        const text = (s: Scene): string => {
          const l = layoutTopology(s, laptop);
          return JSON.stringify([l.bands, l.boxes, l.columns, l.fold, l.arrows]);
        };
        expect(text(structuredClone(scene))).toBe(text(scene));
      }),
      { numRuns: 30 },
    );
  });

  it('folds what has no room, except pinned devices, and unfolds all on demand', () => {
    const scene = exampleScene({ devices: names(40) });
    const l = layoutTopology(scene, laptop, { pinned: ['vf33'] });
    expect(faults(l)).toEqual([]);
    expect(l.columns.map((c) => c.device)).toContain('vf33');
    expect(l.columns.length + l.fold!.devices.length).toBe(40);
    expect(l.fold!.boxes[0]!.texts[0]!.text).toBe(`+${l.fold!.devices.length} more`);
    expect(l.width).toBe(laptop.width);
    expect(l.arrows.some((a) => a.from === 'fold:kernel' && a.to === 'kernel.obj.3')).toBe(true);
    const open = layoutTopology(scene, laptop, { open: true });
    expect(open.columns).toHaveLength(40);
    expect(open.fold).toBeNull();
  });
});

describe('stability', () => {
  const without = (s: Scene, drop: (id: string) => boolean): Scene => ({
    objects: s.objects.filter((o) => !drop(o.id)),
  });

  it('moves nothing when objects go and come back', () => {
    fc.assert(
      fc.property(randomScene(2, 5), fc.constantFrom(...sizes), fc.nat(), (scene, size, seed) => {
        // The device's own box stays, so that the set of devices is the same.
        const less = without(scene, (id) => id.startsWith('o.') && (Number(id.slice(2)) * 7919 + seed) % 3 === 0);
        const a = layoutTopology(scene, size);
        const b = layoutTopology(less, size, { slots: a.slots });
        const c = layoutTopology(scene, size, { slots: b.slots });
        const [was, then, again] = [rects(a), rects(b), rects(c)];
        for (const [id, r] of then) expect({ id, ...r }).toEqual({ id, ...was.get(id)! });
        expect([...again]).toEqual([...was]);
      }),
      { numRuns: 60 },
    );
  });

  it('moves nothing when rows come and go', () => {
    const scenes = [0, 1, 2, 3, 1, 0].map((n) => exampleScene({ rows: n }));
    for (const size of sizes) {
      let slots = reserveSlots(scenes);
      let first: string | null = null;
      for (const scene of scenes) {
        const l = layoutTopology(scene, size, { slots });
        slots = l.slots;
        first ??= JSON.stringify([...rects(l)]);
        expect(JSON.stringify([...rects(l)])).toBe(first);
      }
    }
  });

  it('gives a new object the place that one of its kind has left', () => {
    const before = exampleScene();
    const renamed: Scene = {
      objects: before.objects.map((o) =>
        o.id === 'kernel.obj.12' ? { ...o, id: 'kernel.obj.31', title: 'HWPT_NESTED 31' } : o,
      ),
    };
    const a = layoutTopology(before, laptop);
    const b = layoutTopology(renamed, laptop, { slots: a.slots });
    expect(rects(b).get('kernel.obj.31')).toEqual(rects(a).get('kernel.obj.12'));
  });

  it('keeps places free for scenes that are known to come', () => {
    const full = exampleScene();
    const bare = without(full, (id) => id.startsWith('kernel.obj.1') || id.startsWith('guest.cdtable'));
    const slots = reserveSlots([full, bare]);
    const a = rects(layoutTopology(bare, laptop, { slots }));
    const b = rects(layoutTopology(full, laptop, { slots }));
    for (const [id, r] of a) expect(b.get(id)).toEqual(r);
  });

  it('leaves a reserved object in its column when it changes hands', () => {
    const shared = exampleScene();
    const taken: Scene = {
      objects: shared.objects.map((o) => (o.id === 'kernel.obj.4' ? { ...o, device: 'nic0' } : o)),
    };
    const slots = reserveSlots([shared, taken, shared]);
    const a = rects(layoutTopology(shared, laptop, { slots }));
    const b = rects(layoutTopology(taken, laptop, { slots }));
    expect([...b]).toEqual([...a]);
  });

  it('forgets a device that has left, and nothing else', () => {
    const three = layoutTopology(exampleScene({ devices: ['a', 'b', 'c'] }), laptop);
    const two = layoutTopology(exampleScene({ devices: ['a', 'b'] }), laptop, { slots: three.slots });
    expect(two.columns.map((c) => c.device)).toEqual(['a', 'b']);
    expect(two.slots.groups.some((g) => g.device === 'c')).toBe(false);
  });
});

describe('rows', () => {
  it('always shows the touched ones, and says how many more there are', () => {
    const scene = exampleScene({ rows: 12 });
    const marks = new Map([
      [
        'hw.iotlb',
        {
          fates: new Map([[103, 'hit' as const]]),
          ghosts: [{ id: 50, cells: ['3', '1', '0x5000', '0x6000'] }],
          recent: [50, 103],
        },
      ],
    ]);
    const box = layoutTopology(scene, projector, { marks }).boxes.find((b) => b.id === 'hw.iotlb')!;
    expect(box.rows.map((r) => r.id)).toEqual(expect.arrayContaining([50, 103]));
    expect(box.rows[0]).toMatchObject({ id: 50, fate: 'removed' });
    expect(box.more!.text).toMatch(new RegExp(`^\\+${13 - box.rows.length}( more)?$`));
  });

  it('says how many entries of a listed object have no room', () => {
    const scene = exampleScene({ devices: ['a', 'b'] });
    const map = scene.objects.find((o) => o.id === 'vmm.devices')!;
    const lines = ['0x8 a → vDEVICE 7', '0x10 b → vDEVICE 8', '0x18 c → vDEVICE 9'];
    const boxOf = (listed: object, size: typeof laptop) =>
      layoutTopology(
        { objects: scene.objects.map((o) => (o === map ? { ...o, lines, ...listed } : o)) },
        size,
      ).boxes.find((b) => b.id === map.id)!;
    for (const size of [laptop, { width: 900, height: 420 }]) {
      const box = boxOf({ listed: true }, size);
      const hidden = lines.length - box.lines.length;
      expect(box.more?.text ?? '').toMatch(hidden === 0 ? /^$/ : new RegExp(`^\\+${hidden}( more)?$`));
      expect(boxOf({}, size).more).toBeNull();
    }
    expect(boxOf({ listed: true }, { width: 900, height: 420 }).lines.length).toBeLessThan(lines.length);
  });

  it('marks a stale row with its word', () => {
    const box = layoutTopology(exampleScene({ stale: true }), laptop).boxes.find((b) => b.id === 'hw.device.nic0')!;
    expect(box.rows[0]).toMatchObject({ stale: true, word: { text: 'stale' } });
    expect(box.rows[0]!.label).toBe('IOVA 0x1_0000, PA 0x1_4020_0000, stale');
  });
});
