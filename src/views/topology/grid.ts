import type { Point, Rect } from './types.ts';

/**
 * Finds paths of horizontal and vertical lines between boxes that never run through a box. The lines lie in the gaps: two
 * in each wide gap, so that two paths can run beside each other. What has been routed is remembered, later paths avoid
 * crossing it or lying on it; paths to one target may share their last part.
 */
export interface Router {
  /**
   * @param owner  paths with the same owner may lie on each other
   * @param keep  remember the path, so that later ones avoid it
   * @returns corner points from border to border; null when there is no way
   */
  route(from: Rect, to: Rect, owner: number, keep: boolean): Point[] | null;
}

export interface GridSpace {
  readonly obstacles: readonly Rect[];
  readonly bounds: Rect;
  /** Distance of the lines from a box. */
  readonly offsetX: number;
  readonly offsetY: number;
  /** Further horizontal lines: the bands' lanes. */
  readonly lanes: readonly number[];
  /** Regions that cost extra to cross: texts that stand on the ground. */
  readonly soft: readonly Rect[];
}

const bendCost = 14;
const crossCost = 40;
const shareCost = 6;
const softCost = 3;
const gateCost = 30;
/** Free space that a path keeps from boxes that it passes. */
const clearance = 1.5;

const sorted = (xs: Iterable<number>, low: number, high: number): number[] =>
  [...new Set([...xs].map((x) => Math.round(x * 2) / 2))].filter((x) => x >= low && x <= high).sort((a, b) => a - b);

/** Where a path may touch a box: in the middle of a short side, at three places of a long one. */
export function ports(start: number, length: number): number[] {
  const at = (f: number): number => Math.round((start + length * f) * 2) / 2;
  return length < 26
    ? [at(0.5)]
    : length < 60
      ? [at(0.5), at(0.28), at(0.72)]
      : [at(0.5), at(0.18), at(0.34), at(0.66), at(0.82)];
}

/** dx, dy of the four directions: right, down, left, up. */
const dx = [1, 0, -1, 0] as const;
const dy = [0, 1, 0, -1] as const;

export function makeRouter(space: GridSpace): Router {
  const { bounds } = space;
  const xs = sorted(
    space.obstacles.flatMap((o) => [o.x - space.offsetX, o.x + o.w + space.offsetX, ...ports(o.x, o.w)]),
    bounds.x + 2,
    bounds.x + bounds.w - 2,
  );
  const ys = sorted(
    [
      ...space.obstacles.flatMap((o) => [o.y - space.offsetY, o.y + o.h + space.offsetY, ...ports(o.y, o.h)]),
      ...space.lanes,
    ],
    bounds.y + 2,
    bounds.y + bounds.h - 2,
  );
  const nx = xs.length;
  const ny = ys.length;
  const xOf = new Map(xs.map((x, i) => [x, i]));
  const yOf = new Map(ys.map((y, i) => [y, i]));
  const snap = (v: number): number => Math.round(v * 2) / 2;
  const size = nx * ny;
  const blocked = new Uint8Array(size);
  const weight = new Float32Array(size).fill(1);
  const mark = (r: Rect, pad: number, f: (n: number) => void): void => {
    for (let j = 0; j < ny; j++) {
      if (ys[j]! <= r.y - pad || ys[j]! >= r.y + r.h + pad) continue;
      for (let i = 0; i < nx; i++) if (xs[i]! > r.x - pad && xs[i]! < r.x + r.w + pad) f(j * nx + i);
    }
  };
  for (const o of space.obstacles) mark(o, clearance, (n) => (blocked[n] = 1));
  for (const s of space.soft) mark(s, 0, (n) => (weight[n] = softCost));
  // Owner of the line from a node to the right, and down: 0 none, -1 several.
  const right = new Int32Array(size);
  const down = new Int32Array(size);

  // Who leaves or enters a box at a node, by node.
  const gates = new Int32Array(size);

  const cost = new Float64Array(size * 4);
  const from = new Int32Array(size * 4);
  const seen = new Int32Array(size * 4);
  let turn = 0;

  const others = (a: number, b: number, owner: number): boolean => a !== 0 && b !== 0 && (a !== owner || b !== owner);

  function search(a: Rect, b: Rect, owner: number, pad: number): Point[] | null {
    turn++;
    const heap = new Heap();
    const lowX = Math.min(a.x, b.x) - pad;
    const highX = Math.max(a.x + a.w, b.x + b.w) + pad;
    const lowY = Math.min(a.y, b.y) - pad;
    const highY = Math.max(a.y + a.h, b.y + b.h) + pad;
    const guess = (n: number): number => {
      const x = xs[n % nx]!;
      const y = ys[(n / nx) | 0]!;
      const gx = Math.max(0, b.x - space.offsetX - x, x - (b.x + b.w + space.offsetX));
      const gy = Math.max(0, b.y - space.offsetY - y, y - (b.y + b.h + space.offsetY));
      return gx + gy;
    };
    const reach = (n: number, dir: number, g: number, parent: number): void => {
      const s = n * 4 + dir;
      if (seen[s] === turn && cost[s]! <= g) return;
      seen[s] = turn;
      cost[s] = g;
      from[s] = parent;
      heap.push(g + guess(n), s);
    };
    for (const p of sides(a, owner)) reach(p.node, p.dir, p.bias, -1);
    // A path ends by running against the direction that leaves the target's port.
    const goals = new Map<number, number>();
    for (const p of sides(b, owner)) {
      const s = p.node * 4 + ((p.dir + 2) & 3);
      goals.set(s, Math.min(goals.get(s) ?? Number.POSITIVE_INFINITY, p.bias));
    }
    let best = -1;
    let bestCost = Number.POSITIVE_INFINITY;
    for (let s = heap.pop(); s >= 0; s = heap.pop()) {
      const g = cost[s]!;
      if (heap.last >= bestCost) break;
      const n = s >> 2;
      const dir = s & 3;
      const goal = goals.get(s);
      if (goal !== undefined && g + goal < bestCost) {
        bestCost = g + goal;
        best = s;
      }
      const i = n % nx;
      const j = (n / nx) | 0;
      for (let d = 0; d < 4; d++) {
        if (((d + 2) & 3) === dir) continue;
        const i2 = i + dx[d]!;
        const j2 = j + dy[d]!;
        if (i2 < 0 || j2 < 0 || i2 >= nx || j2 >= ny) continue;
        const n2 = j2 * nx + i2;
        if (blocked[n2]) continue;
        const x2 = xs[i2]!;
        const y2 = ys[j2]!;
        if (x2 < lowX || x2 > highX || y2 < lowY || y2 > highY) continue;
        const length = Math.abs(x2 - xs[i]!) + Math.abs(y2 - ys[j]!);
        const edge = d === 0 ? right[n]! : d === 2 ? right[n2]! : d === 1 ? down[n]! : down[n2]!;
        let step = length * Math.max(weight[n]!, weight[n2]!);
        if (edge !== 0) step = edge === owner ? step * 0.8 : step + length * shareCost + bendCost;
        if (d !== dir) step += bendCost;
        const horizontal = d === 0 || d === 2;
        if (
          horizontal
            ? others(j2 > 0 ? down[n2 - nx]! : 0, down[n2]!, owner)
            : others(i2 > 0 ? right[n2 - 1]! : 0, right[n2]!, owner)
        )
          step += crossCost;
        reach(n2, d, g + step, s);
      }
    }
    if (best < 0) return null;
    const nodes: number[] = [];
    for (let s = best; s >= 0; s = from[s]!) nodes.push(s);
    nodes.reverse();
    const at = (s: number): Point => ({ x: xs[(s >> 2) % nx]!, y: ys[((s >> 2) / nx) | 0]! });
    const first = at(nodes[0]!);
    const firstDir = nodes[0]! & 3;
    const lastPoint = at(best);
    const points = [border(a, first, firstDir), ...nodes.map(at), border(b, lastPoint, ((best & 3) + 2) & 3)];
    lastNodes = nodes;
    return simplify(points);
  }
  let lastNodes: number[] = [];

  function remember(owner: number): void {
    for (const s of [lastNodes[0]!, lastNodes[lastNodes.length - 1]!]) {
      const n = s >> 2;
      gates[n] = gates[n] === 0 || gates[n] === owner ? owner : -1;
    }
    for (let k = 1; k < lastNodes.length; k++) {
      const a = lastNodes[k - 1]! >> 2;
      const b = lastNodes[k]! >> 2;
      const low = Math.min(a, b);
      const list = Math.abs(a - b) === 1 ? right : down;
      list[low] = list[low] === 0 || list[low] === owner ? owner : -1;
    }
  }

  function sides(r: Rect, owner: number): { node: number; dir: number; bias: number }[] {
    const out: { node: number; dir: number; bias: number }[] = [];
    const add = (x: number, y: number, dir: number, bias: number): void => {
      const i = xOf.get(snap(x));
      const j = yOf.get(snap(y));
      if (i === undefined || j === undefined || blocked[j * nx + i]) return;
      const gate = gates[j * nx + i]!;
      out.push({ node: j * nx + i, dir, bias: bias + (gate !== 0 && gate !== owner ? gateCost : 0) });
    };
    ports(r.y, r.h).forEach((y, k) => {
      add(r.x + r.w + space.offsetX, y, 0, k * 1.5);
      add(r.x - space.offsetX, y, 2, k * 1.5);
    });
    ports(r.x, r.w).forEach((x, k) => {
      add(x, r.y + r.h + space.offsetY, 1, k * 1.5);
      add(x, r.y - space.offsetY, 3, k * 1.5);
    });
    return out;
  }

  return {
    route(a, b, owner, keep) {
      const near = Math.max(space.offsetX, space.offsetY) * 8;
      const points = search(a, b, owner, near) ?? search(a, b, owner, Number.POSITIVE_INFINITY);
      if (points && keep) remember(owner);
      return points;
    },
  };
}

const border = (r: Rect, p: Point, dir: number): Point =>
  dir === 0
    ? { x: r.x + r.w, y: p.y }
    : dir === 2
      ? { x: r.x, y: p.y }
      : dir === 1
        ? { x: p.x, y: r.y + r.h }
        : { x: p.x, y: r.y };

/** Leaves out points in the middle of straight parts. */
export function simplify(points: readonly Point[]): Point[] {
  const out: Point[] = [];
  for (const p of points) {
    const a = out[out.length - 2];
    const b = out[out.length - 1];
    if (b && b.x === p.x && b.y === p.y) continue;
    if (a && b && ((a.x === b.x && b.x === p.x) || (a.y === b.y && b.y === p.y))) out.pop();
    out.push(p);
  }
  return out;
}

/** A binary heap of numbered states; the same order of pushes gives the same order of pops. */
class Heap {
  private keys: number[] = [];
  private items: number[] = [];
  /** Key of what was popped last. */
  last = 0;

  push(key: number, item: number): void {
    let i = this.keys.length;
    this.keys.push(key);
    this.items.push(item);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (this.keys[up]! <= key) break;
      this.keys[i] = this.keys[up]!;
      this.items[i] = this.items[up]!;
      i = up;
    }
    this.keys[i] = key;
    this.items[i] = item;
  }

  pop(): number {
    const n = this.keys.length;
    if (n === 0) return -1;
    const top = this.items[0]!;
    this.last = this.keys[0]!;
    const key = this.keys.pop()!;
    const item = this.items.pop()!;
    if (n === 1) return top;
    let i = 0;
    for (;;) {
      let c = 2 * i + 1;
      if (c >= n - 1) break;
      if (c + 1 < n - 1 && this.keys[c + 1]! < this.keys[c]!) c++;
      if (this.keys[c]! >= key) break;
      this.keys[i] = this.keys[c]!;
      this.items[i] = this.items[c]!;
      i = c;
    }
    this.keys[i] = key;
    this.items[i] = item;
    return top;
  }
}
