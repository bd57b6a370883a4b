export interface QwordWrite { readonly index: number; readonly value: bigint }
const F = (hi: number, lo: number): bigint => ((1n << BigInt(hi - lo + 1)) - 1n) << BigInt(lo);
function used(kind: 'ste' | 'cd', e: readonly bigint[]): bigint[] {
  const u = new Array<bigint>(8).fill(0n);
  const w0 = e[0]!;
  if (kind === 'cd') {
    const v = (w0 >> 31n) & 1n;
    if (!v) { u[0] = 1n << 31n; return u; }
    u.fill(2n ** 64n - 1n);
    if (w0 & (1n << 14n)) { u[0] &= ~(F(5, 0) | F(7, 6) | F(13, 8)); u[1] &= ~F(51, 4); }
    return u;
  }
  u[0] = 1n;
  if (!(w0 & 1n)) return u;
  u[0] |= F(3, 1);
  const cfg = Number((w0 >> 1n) & 7n);
  const meV = 1n << 19n, eats = F(29, 28), shcfg = F(45, 44);
  if (cfg & 4 && cfg & 1) {
    u[0] |= F(5, 4) | F(51, 6) | F(63, 59);
    u[1] |= F(1, 0) | F(7, 2) | (1n << 27n) | F(31, 30) | eats | meV;
    if ((e[1]! & 3n) === 1n) u[1] |= shcfg;
    u[2] |= F(15, 0);
  }
  if (cfg & 4 && cfg & 2) {
    u[1] |= (1n << 25n) | eats | shcfg | meV;
    u[2] |= F(15, 0) | F(50, 32) | (1n << 51n) | (1n << 52n) | (1n << 54n) | (1n << 57n) | (1n << 58n);
    u[3] |= F(51, 4);
  }
  if (cfg === 4) u[1] |= shcfg;
  return u;
}
export function entrySteps(kind: 'ste' | 'cd', cur: readonly bigint[], target: readonly bigint[]): QwordWrite[][] {
  const uc = used(kind, cur), ut = used(kind, target);
  const safe = new Array<bigint>(8).fill(0n);
  if (kind === 'ste') {
    safe[1] = 1n << 19n;
    if (!((cur[1]! | target[1]!) & (2n << 28n)) && !((cur[2]! | target[2]!) & (1n << 57n))) safe[1] |= 1n << 28n;
    safe[1] &= uc[1]! & ut[1]!;
  }
  const mem = [...cur];
  const uu = cur.map((c, i) => { const m = uc[i]! & ~safe[i]!; return (c & m) | (target[i]! & ~m); });
  const diff = uu.flatMap((w, i) => ((w & ut[i]!) !== (target[i]! & ut[i]!) ? [i] : []));
  const out: QwordWrite[][] = [];
  const set = (vals: readonly bigint[], idx: number[]): void => {
    const s = idx.filter((i) => mem[i] !== vals[i]).map((i) => ({ index: i, value: vals[i]! }));
    for (const w of s) mem[w.index] = w.value;
    if (s.length) out.push(s);
  };
  const all = [0, 1, 2, 3, 4, 5, 6, 7];
  if (diff.length === 1) {
    set(uu, all.filter((i) => i !== diff[0]));
    set(target, [diff[0]!]);
    set(target, all);
  } else if (diff.length) {
    set([0n, ...mem.slice(1)], [0]);
    set(target, all.slice(1));
    set(target, [0]);
  } else set(target, all);
  return out;
}
