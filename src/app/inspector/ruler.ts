import { type Explained, explain, hex, type Layout } from '../../engine/bits/index.ts';

/** A run of bits of one word: a field, or bits that no field describes. */
export interface Segment {
  readonly hi: number;
  readonly lo: number;
  /** Null for reserved bits. */
  readonly field: Explained | null;
  /** Reserved bits that are not zero. */
  readonly reserved: bigint;
}

/** The segments of each word from bit 63 down to 0, without gaps. */
export function segmentsOf(layout: Layout, words: readonly bigint[]): Segment[][] {
  const all = explain(layout, words);
  return Array.from({ length: layout.words }, (_, w) => {
    const fields = all.filter((f) => f.field.word === w).sort((a, b) => b.field.lo - a.field.lo);
    const out: Segment[] = [];
    let top = 63;
    const gap = (hi: number, lo: number): void => {
      if (hi < lo) return;
      const reserved = ((words[w] ?? 0n) >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
      out.push({ hi, lo, field: null, reserved });
    };
    for (const f of fields) {
      gap(top, f.field.hi + 1);
      out.push({ hi: f.field.hi, lo: f.field.lo, field: f, reserved: 0n });
      top = f.field.lo - 1;
    }
    gap(top, 0);
    return out;
  });
}

/** What stands inside a segment: a short form of the value, '' when it has none. */
export function shortValue(f: Explained): string {
  if (f.field.format === 'addr') return hex(f.value);
  return f.value < 10n ? String(f.value) : f.text;
}

/** The bytes of one word in memory order. */
export function bytesOf(word: bigint): string[] {
  return Array.from({ length: 8 }, (_, i) => ((word >> BigInt(i * 8)) & 0xffn).toString(16).padStart(2, '0'));
}

export const bitsText = (f: { readonly hi: number; readonly lo: number }): string =>
  f.hi === f.lo ? `${f.hi}` : `${f.hi}:${f.lo}`;
