import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { randomScene } from './fixtures/random.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { layoutTopology } from './layout.ts';
import { type Direction, inOrder, neighbour, type Stop, stopsOf } from './navigate.ts';

const directions: readonly Direction[] = ['left', 'right', 'up', 'down'];
const size = { width: 806, height: 600 };

describe('neighbour', () => {
  const stops = stopsOf(layoutTopology(exampleScene(), { width: 1290, height: 850 }));
  const go = (key: string, d: Direction): string | undefined =>
    neighbour(stops, stops.find((s) => s.key === key)!, d)?.key;

  it('goes where the eye would go', () => {
    expect(go('kernel.obj.1', 'right')).toBe('kernel.obj.2');
    expect(go('kernel.obj.2', 'right')).toBe('kernel.obj.3');
    expect(go('kernel.obj.3', 'left')).toBe('kernel.obj.2');
    expect(go('guest.device.nic0', 'down')).toBe('guest.ste.0x08');
    expect(go('guest.device.nic0', 'up')).toBeUndefined();
    expect(go('hw.iotlb', 'down')).toBe('hw.iotlb#100');
    expect(go('hw.iotlb#100', 'up')).toBe('hw.iotlb');
    expect(go('guest.cmdq', 'down')).toMatch(/^guest\.cmdq\[/);
  });

  const reached = (all: readonly Stop[]): Set<string> => {
    const seen = new Set([all[0]!.key]);
    const queue = [all[0]!];
    for (let s = queue.pop(); s; s = queue.pop())
      for (const d of directions) {
        const n = neighbour(all, s, d);
        if (n && !seen.has(n.key)) {
          seen.add(n.key);
          queue.push(n);
        }
      }
    return seen;
  };

  it('reaches everything in a usual picture', () => {
    for (const devices of [
      ['a', 'b'],
      ['a', 'b', 'c', 'd', 'e', 'f', 'g'],
    ])
      for (const s of [size, { width: 720, height: 430 }, { width: 1290, height: 850 }]) {
        const all = stopsOf(layoutTopology(exampleScene({ devices }), s));
        expect(all.filter((x) => !reached(all).has(x.key)).map((x) => x.key)).toEqual([]);
      }
  });

  it('has everything of any picture in its reading order', () => {
    fc.assert(
      fc.property(randomScene(2, 8), fc.boolean(), (scene, open) => {
        const layout = layoutTopology(scene, size, { open });
        const all = stopsOf(layout);
        const order = [all[0]!.key];
        for (let s = inOrder(all, all[0]!, 1); s; s = inOrder(all, s, 1)) order.push(s.key);
        expect(new Set(order).size).toBe(all.length);
        for (const b of layout.boxes) expect(order).toContain(b.id);
      }),
      { numRuns: 60 },
    );
  });
});
