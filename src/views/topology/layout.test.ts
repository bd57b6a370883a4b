import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Scene } from '../../engine/machine/index.ts';
import { randomScene } from './fixtures/random.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { crosses } from './label.ts';
import { layoutTopology } from './layout.ts';
import { textWidth } from './measure.ts';
import { foldId, obstaclesOf } from './route.ts';
import { extendSlots, noSlots } from './slots.ts';
import type { ObjectBox, PlacedText, Point, Rect, TopologyLayout } from './types.ts';

const projector = { width: 720, height: 430 };
const laptop = { width: 806, height: 600 };
const sizes = [
  projector,
  { width: 720, height: 560 },
  laptop,
  { width: 1290, height: 850 },
  { width: 2600, height: 1700 },
];

const meet = (a: Rect, b: Rect): boolean =>
  Math.min(a.x + a.w, b.x + b.w) - Math.max(a.x, b.x) > 0.5 &&
  Math.min(a.y + a.h, b.y + b.h) - Math.max(a.y, b.y) > 0.5;
const inside = (a: Rect, b: Rect): boolean =>
  a.x >= b.x - 0.5 && a.y >= b.y - 0.5 && a.x + a.w <= b.x + b.w + 0.5 && a.y + a.h <= b.y + b.h + 0.5;

function extent(t: PlacedText): Rect {
  const w = t.pressed ?? textWidth(t.text, t.face, t.size);
  const x = t.anchor === 'end' ? t.x - w : t.anchor === 'middle' ? t.x - w / 2 : t.x;
  return { x, y: t.y - t.size * 0.74, w, h: t.size * 0.74 };
}

/** Everything that is wrong with a layout, in words. */
function faults(l: TopologyLayout): string[] {
  const out: string[] = [];
  const all: { name: string; rect: Rect }[] = l.boxes.map((b) => ({ name: b.id, rect: b }));
  for (const f of l.fold?.boxes ?? []) all.push({ name: foldId(f.band), rect: f });
  all.forEach((a, i) => {
    for (const b of all.slice(i + 1)) if (meet(a.rect, b.rect)) out.push(`${a.name} overlaps ${b.name}`);
  });
  for (const b of l.boxes) {
    const band = l.bands.find((x) => x.band === b.band)!;
    if (!inside(b, { ...band, y: band.y + band.lane.h, h: band.h - band.lane.h })) out.push(`${b.id} leaves its band`);
    out.push(...textFaults(b));
  }
  for (const f of l.fold?.boxes ?? [])
    for (const t of f.texts) if (!inside(extent(t), f)) out.push(`text of ${f.band} fold leaves it`);
  if (!l.bands.every((b, i) => b.y === (i === 0 ? 0 : l.bands[i - 1]!.y + l.bands[i - 1]!.h)))
    out.push('bands leave gaps');
  out.push(...arrowFaults(l));
  return out;
}

function textFaults(b: ObjectBox): string[] {
  const out: string[] = [];
  const texts = [b.title, ...b.lines, ...b.heads, ...b.rows.flatMap((r) => [...r.cells, ...(r.word ? [r.word] : [])])];
  if (b.more) texts.push(b.more);
  const seen = texts.filter((t) => t.text !== '').map((t) => ({ t, r: extent(t) }));
  seen.forEach(({ t, r }, i) => {
    if (!inside(r, b)) out.push(`"${t.text}" leaves ${b.id}`);
    if (t.size < 10.99) out.push(`"${t.text}" is smaller than 11 px`);
    for (const o of seen.slice(i + 1)) if (meet(r, o.r)) out.push(`"${t.text}" overlaps "${o.t.text}" in ${b.id}`);
  });
  for (const r of b.rows) if (!inside(r, b)) out.push(`row ${r.id} leaves ${b.id}`);
  for (const c of b.ring) if (!inside(c, b)) out.push(`ring leaves ${b.id}`);
  return out;
}

function arrowFaults(l: TopologyLayout): string[] {
  const out: string[] = [];
  const places = obstaclesOf(l.boxes, l.fold);
  const shrunk = (r: Rect): Rect => ({ x: r.x + 0.6, y: r.y + 0.6, w: r.w - 1.2, h: r.h - 1.2 });
  const onBorder = (p: Point, r: Rect): boolean =>
    inside({ ...p, w: 0, h: 0 }, r) &&
    (p.x <= r.x + 0.6 || p.x >= r.x + r.w - 0.6 || p.y <= r.y + 0.6 || p.y >= r.y + r.h - 0.6);
  for (const a of l.arrows) {
    for (let i = 1; i < a.points.length; i++) {
      const [p, q] = [a.points[i - 1]!, a.points[i]!];
      if (p.x !== q.x && p.y !== q.y) out.push(`${a.id} is not orthogonal`);
      for (const [id, r] of places) if (crosses(p, q, shrunk(r))) out.push(`${a.id} runs through ${id}`);
    }
    if (!onBorder(a.points[0]!, places.get(a.from)!)) out.push(`${a.id} does not begin at its box`);
    if (!onBorder(a.points[a.points.length - 1]!, places.get(a.to)!)) out.push(`${a.id} does not end at its box`);
  }
  return out;
}

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
    });
  }

  it('grows its text with the room, and never shrinks it below 11 px', () => {
    const scales = sizes.map((s) => layoutTopology(exampleScene(), s).scale);
    expect(scales[0]).toBe(1);
    expect([...scales].sort((a, b) => a - b)).toEqual(scales);
    expect(scales[4]).toBeGreaterThanOrEqual(2);
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

  it('moves nothing when rows come and go, while there is room for them', () => {
    const size = { width: 1290, height: 900 };
    let slots = layoutTopology(exampleScene({ rows: 0 }), size).slots;
    const first = rects(layoutTopology(exampleScene({ rows: 0 }), size, { slots }));
    for (const n of [1, 2, 3, 1, 0]) {
      const l = layoutTopology(exampleScene({ rows: n }), size, { slots });
      slots = l.slots;
      expect([...rects(l)]).toEqual([...first]);
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
    const slots = [full, bare].reduce(extendSlots, noSlots);
    const a = rects(layoutTopology(bare, laptop, { slots }));
    const b = rects(layoutTopology(full, laptop, { slots }));
    for (const [id, r] of a) expect(b.get(id)).toEqual(r);
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

  it('marks a stale row with its word', () => {
    const box = layoutTopology(exampleScene({ stale: true }), laptop).boxes.find((b) => b.id === 'hw.device.nic0')!;
    expect(box.rows[0]).toMatchObject({ stale: true, word: { text: 'stale' } });
    expect(box.rows[0]!.label).toBe('IOVA 0x1_0000, PA 0x1_4020_0000, stale');
  });
});
