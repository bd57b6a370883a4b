import fc from 'fast-check';
import type { Memory } from '../../memory/index.ts';
import { lowestBit } from './plain-stage.ts';

/**
 * Random but working tables of one stream, written with shifts alone: stream table, STE, CD, stage 1 and stage 2 for one
 * address. Every word is remembered, so that it can be damaged afterwards.
 */

export const BIT = (n: number): bigint => 1n << BigInt(n);

export interface Damage {
  /** Which of the words that matter, modulo their number. */
  readonly word: number;
  readonly how: 'flip' | 'flip two' | 'type' | 'any';
  readonly a: number;
  readonly b: number;
  readonly value: bigint;
}

export interface Form {
  readonly config: number;
  readonly oas: number;
  readonly memoryBits: number;
  readonly offset: bigint;
  readonly hostBase: bigint;
  readonly sid: number;
  readonly splitLog2: 0 | 6 | 8 | 10;
  readonly ssid: number;
  readonly cdMax: number;
  readonly cdFmt: number;
  readonly dss: number;
  readonly strw: number;
  readonly granule1: number;
  readonly bits1: number;
  readonly leaf1: number;
  readonly upper: boolean;
  readonly ips: number;
  readonly granule2: number;
  readonly bits2: number;
  readonly start2: number;
  readonly leaf2: number;
  readonly ps: number;
  readonly low: bigint;
  readonly topByte: number;
  /** Flags of the STE: S2AFFD, S2PTW, S2HD, S2HA, S2S, S2R in this order; then EATS. */
  readonly steFlags: number;
  readonly eats: number;
  /** Flags of the CD: AFFD, WXN, TBI0, TBI1, PAN, HD, HA, S, R, A. */
  readonly cdFlags: number;
  readonly had: number;
  /** Low attribute bits and DBM, XN of the leaves; what the table descriptors of stage 1 forbid. */
  readonly attr1: bigint;
  readonly attr2: bigint;
  readonly tables1: bigint;
  readonly damage: readonly Damage[];
}

/** First level of an input size. */
const startOf = (granule: number, bits: number): number => {
  let s = 3;
  while (lowestBit(granule, s) + granule - 3 < bits) s--;
  return s;
};

export class TableWriter {
  readonly memory: Memory;
  readonly form: Form;
  /** Physical addresses of the words that decide. */
  readonly words: number[] = [];
  readonly strtabBase: bigint;
  readonly strtabCfg: bigint;
  readonly va: bigint;
  private host: bigint;
  private ipa = 0x20_0000n;
  private readonly s2base: bigint = 0n;

  constructor(memory: Memory, form: Form) {
    this.memory = memory;
    this.form = form;
    this.host = form.hostBase;
    if (form.config >= 6)
      this.s2base = this.hostPages(8n << BigInt(form.bits2 - lowestBit(form.granule2, form.start2)));
    const cdPointer = form.config === 5 || form.config === 7 ? this.writeCds() : 0n;
    this.va = this.chooseVa();
    [this.strtabBase, this.strtabCfg] = this.writeStreamTable(this.ste(cdPointer));
    for (const d of form.damage) this.damage(d);
  }

  private put(at: bigint, word: bigint): void {
    const n = Number(at);
    if (!this.memory.contains(n)) return;
    this.memory.writeWord(n, word);
    if (!this.words.includes(n)) this.words.push(n);
  }

  private hostPages(size: bigint): bigint {
    const align = size > 0x1_0000n ? size : 0x1_0000n;
    const at = (this.host + align - 1n) & ~(align - 1n);
    this.host = at + align;
    return at;
  }

  private ipaPages(size: bigint): bigint {
    const align = size > 0x1_0000n ? size : 0x1_0000n;
    const at = (this.ipa + align - 1n) & ~(align - 1n);
    this.ipa = at + align;
    this.mapIpa(at);
    return at;
  }

  /** Where a guest structure lies. */
  private pa(ipa: bigint): bigint {
    return this.form.config === 7 ? ipa + this.form.offset : ipa;
  }

  private address(granule: number, a: bigint): bigint {
    return granule === 16 && this.form.oas === 52
      ? (a & (BIT(48) - 1n)) | ((a >> 48n) << 12n)
      : a;
  }

  /** Stage 2 for all pages of the granule around an IPA; a block if the form asks for it and the level has none yet. */
  private mapIpa(ipa: bigint): void {
    const { config, granule2: g, start2, bits2, leaf2, offset, attr2 } = this.form;
    if (config < 6 || ipa >> BigInt(bits2) !== 0n) return;
    let table = this.s2base;
    for (let level = start2; level <= 3; level++) {
      const low = lowestBit(g, level);
      const high = level === start2 ? bits2 : low + g - 3;
      const at = table + 8n * ((ipa >> BigInt(low)) & (BIT(high - low) - 1n));
      const old = this.memory.contains(Number(at)) ? this.memory.readWord(Number(at)) : 0n;
      if (level === 3 || (old === 0n && level === leaf2)) {
        const page = (ipa >> BigInt(low)) << BigInt(low);
        if (level === 3 || old === 0n)
          this.put(at, this.address(g, ((page + offset) >> BigInt(low)) << BigInt(low)) | attr2 | (level === 3 ? 3n : 1n));
        return;
      }
      if (old !== 0n && (old & 2n) === 0n) return;
      if (old === 0n) {
        const next = this.hostPages(BIT(g));
        this.put(at, this.address(g, next) | 3n);
        table = next;
      } else {
        table = old & (BIT(48) - 1n) & ~(BIT(g) - 1n);
        if (g === 16 && this.form.oas === 52) table |= ((old >> 12n) & 15n) << 48n;
      }
    }
  }

  private chooseVa(): bigint {
    const { config, bits1, upper, topByte, low, bits2, oas } = this.form;
    if (config !== 5 && config !== 7) {
      const size = config === 6 ? bits2 : oas;
      const ipa = low & (BIT(size) - 1n);
      this.mapIpa(ipa);
      return ipa;
    }
    let va = low & (BIT(bits1) - 1n);
    if (upper) va |= (BIT(64) - 1n) & ~(BIT(bits1) - 1n);
    if (topByte >= 0) va = (va & (BIT(56) - 1n)) | (BigInt(topByte) << 56n);
    if (this.form.dss === 1 && this.form.ssid < 0) this.mapIpa(va & (BIT(bits2) - 1n));
    return va;
  }

  /** Stage-1 tables from the root down to the leaf. */
  private stage1(): bigint {
    const { granule1: g, bits1, leaf1, attr1, tables1, low } = this.form;
    const start = startOf(g, bits1);
    const input = low & (BIT(bits1) - 1n);
    const root = this.ipaPages(8n << BigInt(bits1 - lowestBit(g, start)));
    let table = root;
    for (let level = start; level <= 3; level++) {
      const lo = lowestBit(g, level);
      const high = level === start ? bits1 : lo + g - 3;
      const at = table + 8n * ((input >> BigInt(lo)) & (BIT(high - lo) - 1n));
      // A first table of many pages: the page of this entry needs stage 2 too.
      this.mapIpa(at);
      if (level === 3 || level === leaf1) {
        const data = this.ipaPages(0x1_0000n);
        const block = (data >> BigInt(lo)) << BigInt(lo);
        this.put(this.pa(at), this.address(g, block) | attr1 | (level === 3 ? 3n : 1n));
        this.mapIpa(block | (input & (BIT(lo) - 1n)));
        break;
      }
      const next = this.ipaPages(BIT(g));
      this.put(this.pa(at), this.address(g, next) | tables1 | 3n);
      table = next;
    }
    return root;
  }

  private writeCds(): bigint {
    const f = this.form;
    const ttb = this.stage1();
    const fl = (n: number): bigint => BigInt((f.cdFlags >> n) & 1);
    const size = BigInt(64 - f.bits1);
    const tg0 = { 12: 0n, 14: 2n, 16: 1n }[f.granule1]!;
    const tg1 = { 12: 2n, 14: 1n, 16: 3n }[f.granule1]!;
    let w0 = BIT(31) | BIT(41) | (BigInt(f.ips) << 32n) | (1n << 48n);
    w0 |= f.upper ? BIT(14) | (size << 16n) | (tg1 << 22n) : BIT(30) | size | (tg0 << 6n);
    for (const [n, at] of [35, 36, 38, 39, 40, 42, 43, 44, 45, 46].entries()) w0 |= fl(n) << BigInt(at);
    const had = f.had ? 2n : 0n;
    const words = [w0, f.upper ? 0n : ttb | had, f.upper ? ttb | had : 0n, 0xf404ff44n];
    const ssid = Math.max(f.ssid, 0);
    const two = f.cdMax > 0 && (f.cdFmt === 1 || f.cdFmt === 2);
    const split = f.cdFmt === 1 ? 6 : 10;
    const tableBits = two ? Math.min(split, f.cdMax) : f.cdMax;
    const table = this.ipaPages(64n << BigInt(tableBits));
    const at = table + 64n * BigInt(two ? ssid % 2 ** split : ssid);
    this.mapIpa(at);
    for (const [i, w] of words.entries()) this.put(this.pa(at) + 8n * BigInt(i), w);
    if (!two) return table;
    const l1 = this.ipaPages(8n << BigInt(Math.max(f.cdMax - split, 0)));
    this.put(this.pa(l1 + 8n * BigInt(Math.floor(ssid / 2 ** split))), table | 1n);
    return l1;
  }

  private ste(cdPointer: bigint): bigint[] {
    const f = this.form;
    const fl = (n: number): bigint => BigInt((f.steFlags >> n) & 1);
    const w0 = 1n | (BigInt(f.config) << 1n) | (BigInt(f.cdFmt) << 4n) | cdPointer | (BigInt(f.cdMax) << 59n);
    const w1 = BigInt(f.dss) | (BigInt(f.eats) << 28n) | (BigInt(f.strw) << 30n);
    if (f.config < 6) return [w0, w1, 0n, 0n];
    const sl0 = f.granule2 === 12 ? (f.start2 === 3 ? 3 : 2 - f.start2) : 3 - f.start2;
    const tg = { 12: 0n, 14: 2n, 16: 1n }[f.granule2]!;
    let w2 = 1n | (BigInt(64 - f.bits2) << 32n) | (BigInt(sl0) << 38n) | (tg << 46n) | (BigInt(f.ps) << 48n) | BIT(51);
    for (const [n, at] of [53, 54, 55, 56, 57, 58].entries()) w2 |= fl(n) << BigInt(at);
    return [w0, w1, w2, this.s2base];
  }

  private writeStreamTable(ste: readonly bigint[]): [bigint, bigint] {
    const { sid, splitLog2: split } = this.form;
    if (split === 0) {
      const base = this.hostPages(64n << 10n);
      for (const [i, w] of ste.entries()) this.put(base + 64n * BigInt(sid) + 8n * BigInt(i), w);
      return [base, 10n];
    }
    const l1 = this.hostPages(0x1000n);
    const l2 = this.hostPages(64n << BigInt(split));
    this.put(l1 + 8n * BigInt(sid >> split), l2 | BigInt(split + 1));
    for (const [i, w] of ste.entries()) this.put(l2 + 64n * BigInt(sid % 2 ** split) + 8n * BigInt(i), w);
    return [l1, 10n | (BigInt(split) << 6n) | BIT(16)];
  }

  private damage(d: Damage): void {
    const at = this.words[d.word % this.words.length]!;
    const w = this.memory.readWord(at);
    let to = d.value;
    if (d.how === 'flip') to = w ^ BIT(d.a);
    else if (d.how === 'flip two') to = w ^ BIT(d.a) ^ BIT(d.b);
    else if (d.how === 'type') to = (w & ~3n) | BigInt(d.a % 4);
    this.memory.writeWord(at, to & (BIT(64) - 1n));
  }
}

const damage: fc.Arbitrary<Damage> = fc.record({
  word: fc.nat({ max: 60 }),
  how: fc.constantFrom('flip', 'flip', 'flip', 'flip two', 'type', 'any'),
  a: fc.nat({ max: 63 }),
  b: fc.nat({ max: 63 }),
  value: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
});

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
      bits1: fc.nat({ max: 0xffff }),
      bits2: fc.nat({ max: 0xffff }),
      tables: fc.constantFrom(0n, 0n, 0n, 1n, 2n, 4n, 8n, 15n),
      damage: fc.oneof({ weight: 1, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: fc.array(damage, { minLength: 1, maxLength: 3 }) }),
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
      const enough = codes.filter((c) => c === 7 || c >= [32, 36, 40, 42, 44, 48, 52].indexOf(r.oas) || r.place % 7 === 0);
      const mapped1 = (r.bits1 & 7) === 0 ? BigInt(r.bits1 >> 3) : 0xf40n;
      // AttrIndx, NS, AP, SH, AF, nG at [11:2]; DBM at 51; PXN, XN at 54:53.
      const attr1 =
        ((0x440n | ((mapped1 & 0x3ffn) << 2n)) & 0xffcn) ^
        (r.bits1 & 16 ? 0x80n : 0n) ^
        (r.bits1 & 32 && r.bits1 & 64 ? 0x400n : 0n) ^
        (r.bits1 & 128 && r.bits1 & 256 ? 0x40n : 0n);
      const high = (n: number): bigint => (BigInt(n & 1) << 51n) | (BigInt((n >> 1) & 3) << 53n) | (BigInt((n >> 3) & 1) << 52n);
      const attr2 =
        (0x7fcn ^
          (r.bits2 & 16 ? 0x80n : 0n) ^
          (r.bits2 & 32 && r.bits2 & 64 ? 0x400n : 0n) ^
          (r.bits2 & 128 && r.bits2 & 256 ? 0x40n : 0n) ^
          (r.bits2 & 512 && r.bits2 & 1024 && r.bits2 & 2048 ? 0x30n : 0n)) |
        high(r.bits2 & 4 ? r.bits2 >> 12 : 0);
      const cdMax = r.cdMax;
      const ssid = cdMax === 0 ? (r.pasid % 9 === 0 ? 1 : -1) : r.pasid % 3 === 0 ? -1 : r.pasid % (2 ** cdMax + (r.pasid % 5 === 0 ? 3 : 0));
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
        cdFlags: noStall(noHttu((r.cd & 0x7f) | (r.cd & 0x80) | 0x300, 0b0001100000), 0b0010000000) & ~(r.cd % 11 === 0 ? 0x100 : 0) & ~(l.stall ? r.cd & 0x200 : 0),
        eats: r.config >= 6 && r.eats === 2 ? 0 : r.eats === 2 ? 1 : r.eats,
        had: r.had,
        attr1: attr1 | high(r.bits1 & 8 ? r.bits1 >> 12 : 0),
        attr2,
        tables1: r.tables << 59n,
        damage: r.damage,
      };
    });
}
