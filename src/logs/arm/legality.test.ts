/** The rules here and the hardware model's, written apart, agree on what is illegal. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encode, fieldOf, type Layout, setField } from '../../engine/bits/index.ts';
import { decodeCd, decodeSte } from '../../engine/smmuv3/hardware/config.ts';
import { physicalFeatures, type SmmuFeatures } from '../../engine/smmuv3/hardware/features.ts';
import { cdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { type Breach, cdBreaches, steBreaches } from './legality.ts';

const halves = (words: readonly bigint[]): Uint32Array =>
  Uint32Array.from(words.flatMap((w) => [Number(w & 0xffffffffn), Number(w >> 32n)]));

const bad = (all: readonly Breach[], f: SmmuFeatures): boolean => all.some((b) => !b.need?.met(f));

const features = fc
  .record({
    OAS: fc.constantFrom(32, 36, 40, 42, 44, 48),
    CD2L: fc.boolean(),
    ATS: fc.boolean(),
    HYP: fc.boolean(),
    ASID16: fc.boolean(),
    VMID16: fc.boolean(),
    S2P: fc.boolean(),
    HTTU: fc.constantFrom(0, 1, 2),
    STALL_MODEL: fc.constantFrom(0, 1, 2),
    TERM_MODEL: fc.boolean(),
    SSIDSIZE: fc.constantFrom(0, 8, 16, 20),
    GRAN16K: fc.boolean(),
  })
  .map((f) => physicalFeatures(f));

/** A record near a good one: some fields random. */
const near = (layout: Layout, base: Readonly<Record<string, number | bigint>>, names: readonly string[]) =>
  fc.array(fc.tuple(fc.constantFrom(...names), fc.bigInt(0n, (1n << 64n) - 1n)), { maxLength: 4 }).map((changes) => {
    const words = encode(layout, base);
    for (const [name, v] of changes) {
      const f = fieldOf(layout, name);
      const raw = BigInt.asUintN(f.hi - f.lo + 1, v);
      setField(f, words, f.format === 'addr' ? raw << BigInt(f.lo) : raw);
    }
    return words;
  });

const nested = {
  V: 1,
  Config: 7,
  S1ContextPtr: 0x40000000n,
  S2VMID: 5,
  S2T0SZ: 24,
  S2SL0: 1,
  S2PS: 2,
  S2AA64: 1,
  S2R: 1,
  S2TTB: 0x50000000n,
};
const steNames = [
  'V', 'Config', 'S1Fmt', 'S1CDMax', 'S1ContextPtr', 'S1STALLD', 'EATS', 'STRW', 'S2VMID', 'S2T0SZ', 'S2SL0', 'S2TG',
  'S2PS', 'S2AA64', 'S2ENDI', 'S2HD', 'S2HA', 'S2S', 'S2TTB', 'S2R', 'S1DSS', 'MEV',
]; // biome-ignore format: a table

test('an STE is illegal here exactly where the hardware model records C_BAD_STE', () => {
  let illegal = 0;
  let total = 0;
  fc.assert(
    fc.property(near(steLayout, nested, steNames), features, (words, f) => {
      const model = decodeSte(halves(words), 8, 1, 0x1000, f).bad;
      total++;
      if (model) illegal++;
      expect(bad(steBreaches(words), f)).toBe(model);
    }),
    { numRuns: 4000 },
  );
  // Both kinds occur, or the comparison says nothing.
  expect(illegal).toBeGreaterThan(total / 10);
  expect(illegal).toBeLessThan((total * 95) / 100);
});

const cd = { T0SZ: 25, EPD1: 1, V: 1, IPS: 2, AA64: 1, R: 1, A: 1, ASET: 1, ASID: 3, TTB0: 0x60000000n };
const cdNames = [
  'V', 'T0SZ', 'TG0', 'EPD0', 'ENDI', 'T1SZ', 'TG1', 'EPD1', 'IPS', 'AA64', 'HD', 'HA', 'S', 'R', 'A', 'ASID', 'TTB0',
  'TTB1', 'MAIR', 'HAD0',
]; // biome-ignore format: a table

test('a CD is illegal here exactly where the hardware model records C_BAD_CD', () => {
  let illegal = 0;
  let total = 0;
  fc.assert(
    fc.property(near(cdLayout, cd, cdNames), features, fc.boolean(), (words, f, stalld) => {
      const model = decodeCd(halves(words), 8, 0, 1, 0x1000, f, stalld).bad;
      total++;
      if (model) illegal++;
      expect(bad(cdBreaches(words, stalld), f)).toBe(model);
    }),
    { numRuns: 4000 },
  );
  expect(illegal).toBeGreaterThan(total / 10);
  expect(illegal).toBeLessThan((total * 95) / 100);
});
