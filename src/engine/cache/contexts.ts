import { A, B, GROUP, NEXT_GROUP, PREV_GROUP } from './entry.ts';

/**
 * The entries of each context (a, b) as a list, and the contexts of each `a` that have entries. Links lie in the entries;
 * small-integer keys and plain lists, so that nothing is boxed.
 */
export class Contexts {
  /** By the number of a context. */
  readonly b: number[] = [];
  readonly head: number[] = [];
  readonly count: number[] = [];
  private readonly next: number[] = [];
  private readonly previous: number[] = [];
  /** a, then b, to the number. */
  private readonly numbers = new Map<number, Map<number, number>>();
  /** First context with entries of an `a`, -1: none. */
  private readonly firsts = new Map<number, number>();

  /** Number of a context, or -1. */
  find(a: number, b: number): number {
    return this.numbers.get(a)?.get(b) ?? -1;
  }

  /** First context of `a` that has entries, or -1. */
  first(a: number): number {
    return this.firsts.get(a) ?? -1;
  }

  /** The one after it; ask before its entries are removed. */
  after(g: number): number {
    return this.next[g]!;
  }

  /** @param e the cache's entries; `i` the index of one that has its tag */
  add(e: Int32Array, i: number): void {
    const a = e[i + A]!;
    let g = this.find(a, e[i + B]!);
    if (g < 0) g = this.create(a, e[i + B]!);
    const head = this.head[g]!;
    e[i + GROUP] = g;
    e[i + PREV_GROUP] = -1;
    e[i + NEXT_GROUP] = head;
    if (head >= 0) e[head + PREV_GROUP] = i;
    this.head[g] = i;
    if (this.count[g]!++ > 0) return;
    const first = this.first(a);
    this.previous[g] = -1;
    this.next[g] = first;
    if (first >= 0) this.previous[first] = g;
    this.firsts.set(a, g);
  }

  remove(e: Int32Array, i: number): void {
    const g = e[i + GROUP]!;
    const before = e[i + PREV_GROUP]!;
    const after = e[i + NEXT_GROUP]!;
    if (before >= 0) e[before + NEXT_GROUP] = after;
    else this.head[g] = after;
    if (after >= 0) e[after + PREV_GROUP] = before;
    if (--this.count[g]! > 0) return;
    const previous = this.previous[g]!;
    const next = this.next[g]!;
    if (previous >= 0) this.next[previous] = next;
    else this.firsts.set(e[i + A]!, next);
    if (next >= 0) this.previous[next] = previous;
  }

  private create(a: number, b: number): number {
    let ofA = this.numbers.get(a);
    if (!ofA) this.numbers.set(a, (ofA = new Map()));
    const g = this.b.length;
    ofA.set(b, g);
    this.b.push(b);
    this.head.push(-1);
    this.count.push(0);
    this.next.push(-1);
    this.previous.push(-1);
    return g;
  }
}
