import { describe, expect, it } from 'vitest';
import { faultsOf } from './fixtures/layout-faults.ts';
import { armWorked, intelWorked } from './fixtures/worked.ts';
import { edge, layoutWalk, neighbour } from './layout.ts';
import { walksOf } from './model.ts';
import type { Walk } from './types.ts';

const walks: readonly (readonly [string, Walk])[] = (
  [
    ['Arm', armWorked],
    ['Intel', intelWorked],
  ] as const
).flatMap(([name, make]) => {
  const m = make();
  const cold = walksOf(m.dma())[0]!;
  const warm = walksOf(m.dma())[0]!;
  const bad = make();
  bad.memory.writeWord(name === 'Arm' ? 0x880040003018 : 0x100303b48, 0n);
  return [
    [`${name}, cold`, cold],
    [`${name}, warm`, warm],
    [`${name}, fault`, walksOf(bad.dma())[0]!],
  ] as const;
});

describe.each(walks)('%s', (_, walk) => {
  it.each([
    [744, false],
    [844, false],
    [1400, false],
    [360, true],
    [744, true],
  ])('fits at %i pixels, compact %s, at every position', (width, compact) => {
    let size = '';
    for (let event = 0; event <= walk.to + 1; event++) {
      const l = layoutWalk(walk, event, { width, compact });
      expect(faultsOf(l), `event ${event}`).toEqual([]);
      // Nothing moves while it is played.
      const now = `${l.width}x${l.height} ${l.cells.map((c) => `${c.x},${c.y}`)}`;
      if (event > 0) expect(now).toBe(size);
      size = now;
    }
  });

  it('what is short is not cut', () => {
    const l = layoutWalk(walk, walk.to, { width: 844, compact: false });
    for (const c of l.cells) {
      if (c.state !== 'read') continue;
      for (const t of c.lines.slice(0, -1)) expect(t.full).toBeUndefined();
      expect(c.lines.every((t) => t.x >= c.x + edge)).toBe(true);
    }
  });

  it('arrow keys reach every cell', () => {
    const l = layoutWalk(walk, walk.to, { width: 844, compact: true });
    const seen = new Set([l.cells[0]!.key]);
    const open = [l.cells[0]!.key];
    while (open.length > 0) {
      const key = open.pop()!;
      for (const [dx, dy] of [
        [1, 0],
        [-1, 0],
        [0, 1],
        [0, -1],
      ] as const) {
        const to = neighbour(l, key, dx, dy);
        if (to && !seen.has(to.key)) {
          seen.add(to.key);
          open.push(to.key);
        }
      }
    }
    expect(seen.size).toBe(l.cells.length);
  });
});
