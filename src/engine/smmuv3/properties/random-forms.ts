import fc from 'fast-check';
import { damage } from '../../properties/damage.ts';
import { BIT } from '../../properties/words.ts';
import { lowestBit } from './plain-stage.ts';
import type { Form } from './random-tables.ts';

/** Random forms of a stream's tables, within what an SMMU has. */

/** Sizes and levels that a granule has. */
export interface Limits {
  readonly oas: readonly number[];
  readonly granules: readonly number[];
  readonly vax: boolean;
  /** Hardware updates: HA, HD may be set. */
  readonly httu: boolean;
  readonly stall: boolean;
}

const subset = (r: number, list: readonly number[]): number => list[r % list.length]!;

/** Levels that stage 2 may start at, for an input size. */
const starts2 = (g: number, bits: number, oas: number): number[] =>
  [0, 1, 2, 3].filter((s) => {
    const decoded = bits - lowestBit(g, s);
    if (decoded < 1 || decoded > g + 1) return false;
    if (g === 12) return s === 0 ? oas >= 44 : s < 3;
    if (g === 14) return s === 1 ? oas >= 42 : s > 1;
    return s === 1 ? oas >= 44 : s > 1;
  });

/** All forms within limits. A raw record of numbers is folded into what goes together, so that shrinking works. */
export function forms(l: Limits): fc.Arbitrary<Form> {
  const n = fc.nat({ max: 0xffff });
  return fc
    .record({
      config: fc.constantFrom(7, 7, 7, 7, 5, 5, 6, 6, 4),
      oas: fc.constantFrom(...l.oas),
      place: n,
      sid: fc.nat({ max: 1023 }),
      split: fc.constantFrom(0 as const, 0 as const, 6 as const, 8 as const, 10 as const),
      pasid: n,
      cdMax: fc.constantFrom(0, 0, 0, 1, 4, 8, 12, 16),
      cdFmt: fc.nat({ max: 3 }),
      dss: fc.constantFrom(2, 2, 2, 1, 0, 3),
      strw: fc.constantFrom(0, 0, 0, 2),
      g1: n,
      b1: n,
      l1: n,
      upper: fc.boolean(),
      g2: n,
      b2: n,
      l2: n,
      s2: n,
      sizes: n,
      low: fc.bigInt({ min: 0n, max: (1n << 52n) - 1n }),
      top: fc.constantFrom(-1, -1, -1, 0, 0xab, 0xff),
      ste: fc.nat({ max: 63 }).map((x) => (x % 5 === 0 ? x : x | 32)),
      cd: fc.nat({ max: 1023 }),
      eats: fc.constantFrom(0, 0, 1, 2, 3),
      had: fc.constantFrom(0, 0, 1),
      s2fwb: fc.constantFrom(false, false, true),
      bits1: fc.nat({ max: 0xffff }),
      bits2: fc.nat({ max: 0xffff }),
      tables: fc.constantFrom(0n, 0n, 0n, 1n, 2n, 4n, 8n, 15n),
      damage: fc.oneof(
        { weight: 1, arbitrary: fc.constant([]) },
        { weight: 2, arbitrary: fc.array(damage, { minLength: 1, maxLength: 3 }) },
      ),
    })
    .map((r) => {
      const wide = r.oas === 52;
      const granule1 = subset(r.g1, l.granules);
      const granule2 = subset(r.g2, l.granules);
      const most1 = granule1 === 16 && l.vax ? 52 : 48;
      const bits1 = 25 + (r.b1 % (most1 - 24));
      const most2 = Math.min(r.oas, granule2 === 16 && wide ? 52 : 48);
      // Small input sizes are only of interest now and then.
      const bits2 = Math.max(26, r.b2 % 3 === 0 ? most2 : 26 + (r.b2 % (most2 - 25)));
      const possible = starts2(granule2, bits2, r.oas);
      // A table at least as large as the memory that the tables need.
      const codes = [0, 1, 2, 3, 4, 5, 6, 7];
      const enough = codes.filter(
        (c) => c === 7 || c >= [32, 36, 40, 42, 44, 48, 52].indexOf(r.oas) || r.place % 7 === 0,
      );
      const mapped1 = (r.bits1 & 7) === 0 ? BigInt(r.bits1 >> 3) : 0xf40n;
      // AttrIndx, NS, AP, SH, AF, nG at [11:2]; DBM at 51; PXN, XN at 54:53.
      const attr1 =
        ((0x440n | ((mapped1 & 0x3ffn) << 2n)) & 0xffcn) ^
        (r.bits1 & 16 ? 0x80n : 0n) ^
        (r.bits1 & 32 && r.bits1 & 64 ? 0x400n : 0n) ^
        (r.bits1 & 128 && r.bits1 & 256 ? 0x40n : 0n);
      const high = (n: number): bigint =>
        (BigInt(n & 1) << 51n) | (BigInt((n >> 1) & 3) << 53n) | (BigInt((n >> 3) & 1) << 52n);
      const attr2 =
        (0x7fcn ^
          (r.bits2 & 16 ? 0x80n : 0n) ^
          (r.bits2 & 32 && r.bits2 & 64 ? 0x400n : 0n) ^
          (r.bits2 & 128 && r.bits2 & 256 ? 0x40n : 0n) ^
          (r.bits2 & 512 && r.bits2 & 1024 && r.bits2 & 2048 ? 0x30n : 0n)) |
        high(r.bits2 & 4 ? r.bits2 >> 12 : 0);
      const cdMax = r.cdMax;
      const ssid =
        cdMax === 0
          ? r.pasid % 9 === 0
            ? 1
            : -1
          : r.pasid % 3 === 0
            ? -1
            : r.pasid % (2 ** cdMax + (r.pasid % 5 === 0 ? 3 : 0));
      const noHttu = (flags: number, mask: number): number => (l.httu ? flags : flags & ~mask);
      const noStall = (flags: number, mask: number): number => (l.stall ? flags : flags & ~mask);
      return {
        config: r.config,
        oas: r.oas,
        memoryBits: Math.min(r.oas, r.place % 5 === 0 ? 52 : r.oas === 32 ? 32 : 33),
        offset: r.place % 3 === 0 ? 0n : BIT(30),
        hostBase: wide && r.place % 5 === 0 && r.place % 2 === 0 && granule2 === 16 ? BIT(51) : BIT(31),
        sid: r.sid,
        splitLog2: r.split,
        ssid,
        cdMax,
        cdFmt: r.cdFmt,
        dss: r.dss,
        strw: r.config === 5 ? r.strw : 0,
        granule1,
        bits1,
        leaf1: 1 + (r.l1 % 4),
        upper: r.upper && !(r.config === 5 && r.strw === 2),
        ips: subset(r.sizes, enough),
        granule2,
        bits2,
        start2: subset(r.s2, possible),
        leaf2: 1 + (r.l2 % 4),
        ps: subset(r.sizes >> 3, enough),
        low: r.low,
        topByte: r.top,
        steFlags: noStall(noHttu(r.ste, 0b001100), 0b010000),
        // A is mostly 1, as TERM_MODEL asks; R too.
        cdFlags:
          noStall(noHttu((r.cd & 0x7f) | (r.cd & 0x80) | 0x300, 0b0001100000), 0b0010000000) &
          ~(r.cd % 11 === 0 ? 0x100 : 0) &
          ~(l.stall ? r.cd & 0x200 : 0),
        eats: r.config >= 6 && r.eats === 2 ? 0 : r.eats === 2 ? 1 : r.eats,
        had: r.had,
        s2fwb: r.s2fwb,
        attr1: attr1 | high(r.bits1 & 8 ? r.bits1 >> 12 : 0),
        attr2,
        tables1: r.tables << 59n,
        damage: r.damage,
      };
    });
}
