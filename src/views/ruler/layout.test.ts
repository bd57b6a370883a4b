import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Field, Layout } from '../../engine/bits/index.ts';
import { cdLayout, commandLayout, encodeCommand, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { textWidth } from '../topology/measure.ts';
import { layoutRuler, type RulerLayout } from './layout.ts';

const size = 11;

/** Everything that is wrong with a ruler, in words. */
function faults(r: RulerLayout): string[] {
  const out: string[] = [];
  let low = 0;
  for (const w of r.words) {
    if (w.y < low - 0.01) out.push(`word ${w.word} overlaps the one before`);
    let bit = 63;
    for (const row of w.rows) {
      let x = 0;
      for (const s of row.segments) {
        if (s.hi !== bit) out.push(`word ${w.word}: bit ${bit} is missing or doubled`);
        bit = s.lo - 1;
        if (Math.abs(s.x - x) > 0.01) out.push(`word ${w.word}: a gap before bit ${s.hi}`);
        x = s.x + s.w;
        if (s.value !== '' && textWidth(s.value, 'mono', size) > s.w) out.push(`${s.value} leaves its segment`);
      }
      if (Math.abs(x - r.width) > 0.01) out.push(`word ${w.word}: row ends at ${x}`);
      const names = row.segments.flatMap((s) => (s.name ? [s.name] : []));
      const of = (n: (typeof names)[number]): [number, number] => {
        const half = textWidth(n.text, 'text', size) / 2;
        return [n.x - half, n.x + half];
      };
      names.forEach((n, i) => {
        const [a, b] = of(n);
        if (a < -0.01 || b > r.width + 0.01) out.push(`${n.text} leaves the ruler`);
        if (n.y > r.height) out.push(`${n.text} is below the ruler`);
        for (const m of names.slice(i + 1)) {
          const [c, d] = of(m);
          if (n.y === m.y && Math.min(b, d) - Math.max(a, c) > 0) out.push(`${n.text} overlaps ${m.text}`);
        }
      });
      const ticks = row.ticks.map((t) => {
        const w = textWidth(t.text, 'text', size);
        return { t, a: t.anchor === 'end' ? t.x - w : t.anchor === 'middle' ? t.x - w / 2 : t.x, w };
      });
      ticks.forEach((t, i) => {
        const next = ticks[i + 1];
        if (next && t.a + t.w > next.a) out.push(`bit numbers ${t.t.text} and ${next.t.text} overlap`);
      });
      low = Math.max(row.y + row.h, ...names.map((n) => n.y));
    }
    if (bit !== -1) out.push(`word ${w.word} ends at bit ${bit + 1}`);
  }
  return out;
}

const anyField = (word: number, hi: number, lo: number, i: number, name: string): Field => ({
  name: `${name}${i}`,
  word,
  hi,
  lo,
  format: lo % 3 === 0 ? 'hex' : 'dec',
  meaning: 'A field.',
});

/** Layouts of one or two words with any cuts between fields, some of them reserved. */
const anyLayout = fc
  .tuple(
    fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 63 }), { maxLength: 40 }), { minLength: 1, maxLength: 2 }),
    fc.stringMatching(/^[A-Z][A-Za-z0-9_]{0,11}$/),
    fc.nat(),
  )
  .map(([cuts, name, seed]): Layout => {
    const fields = cuts.flatMap((c, word) => {
      const edges = [...new Set([...c, 0])].sort((a, b) => a - b);
      return edges.flatMap((lo, i) =>
        (lo + seed) % 5 === 0 ? [] : [anyField(word, (edges[i + 1] ?? 64) - 1, lo, i, name)],
      );
    });
    return { id: 'test.any', name: 'ANY', title: 'Any record', words: cuts.length, fields, source: 'test' };
  });

describe('layoutRuler', () => {
  it('shows every bit once, in order, without overlaps, for any layout and width', () => {
    fc.assert(
      fc.property(
        anyLayout,
        fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { minLength: 2, maxLength: 2 }),
        fc.integer({ min: 240, max: 1400 }),
        (layout, words, width) => {
          expect(faults(layoutRuler(layout, words, { width })).join('; ')).toBe('');
        },
      ),
      { numRuns: 300 },
    );
  });

  it('puts 64 bits on one scale where there is room, and two rows of 32 into the inspector', () => {
    const wide = layoutRuler(steLayout, new Array<bigint>(8).fill(0n), { width: 768 });
    for (const w of wide.words) {
      expect(w.rows).toHaveLength(1);
      for (const s of w.rows[0]!.segments) expect(s.w).toBeCloseTo((s.hi - s.lo + 1) * 12, 6);
    }
    const narrow = layoutRuler(cdLayout, new Array<bigint>(8).fill(0n), { width: 290 });
    expect(narrow.words.map((w) => w.rows.map((r) => [r.hi, r.lo]))).toEqual(
      new Array(8).fill([
        [63, 32],
        [31, 0],
      ]),
    );
    expect(faults(narrow)).toEqual([]);
  });

  it('names and shows each field once, in the widest of its parts', () => {
    const words = encodeCommand('TLBI_NH_VA', { VMID: 3, ASID: 1, Address: 0x10000, Leaf: 1 });
    const r = layoutRuler(commandLayout(words), words, { width: 290 });
    const named = r.words.flatMap((w) => w.rows.flatMap((x) => x.segments)).filter((s) => s.name);
    const value = (n: string): string | undefined => named.find((s) => s.name!.text === n)?.value;
    expect([value('VMID'), value('ASID'), value('Opcode'), value('Address')]).toEqual(['3', '1', '0x12', '0x1_0000']);
    expect(named.filter((s) => s.field?.field.name === 'Address')).toHaveLength(1);
    // Bytes as they lie in memory: opcode first, VMID in byte 4, ASID in byte 6.
    expect(r.words[0]!.bytes.map((b) => b.text).join(' ')).toBe('12 00 00 00 03 00 01 00');
    expect(r.words[1]!.bytes.map((b) => b.text).join(' ')).toBe('01 00 01 00 00 00 00 00');
  });

  it('marks reserved bits that are set', () => {
    const layout: Layout = {
      id: 'test.one',
      name: 'ONE',
      title: 'One field',
      words: 1,
      fields: [anyField(0, 7, 0, 0, 'F')],
      source: 'test',
    };
    const r = layoutRuler(layout, [0x8000_0000_0000_0012n], { width: 290 });
    const segments = r.words[0]!.rows.flatMap((x) => x.segments);
    expect(segments.filter((s) => s.wrong).map((s) => [s.hi, s.lo, s.value, s.label])).toEqual([
      [63, 32, '0x8000_0000', 'bits 63:32, reserved, but 0x8000_0000'],
    ]);
    expect(segments.find((s) => s.field)!.label).toBe('F0, bits 7:0: 0x12. A field.');
  });

  it('leaves out zero words on demand, but never all of a short record', () => {
    const zero = new Array<bigint>(8).fill(0n);
    expect(layoutRuler(steLayout, zero, { width: 290, skipZero: true }).words).toHaveLength(0);
    expect(
      layoutRuler(steLayout, [1n, ...zero.slice(1)], { width: 290, skipZero: true }).words.map((w) => w.word),
    ).toEqual([0]);
    const words = encodeCommand('SYNC', {});
    expect(layoutRuler(commandLayout(words), words, { width: 290, skipZero: true }).words).toHaveLength(2);
  });
});
