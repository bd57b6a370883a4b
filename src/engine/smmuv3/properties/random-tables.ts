import type { Memory } from '../../memory/index.ts';
import { type Damage, damageWord } from '../../properties/damage.ts';
import { BIT } from '../../properties/words.ts';
import { lowestBit } from './plain-stage.ts';

/**
 * Random but working tables of one stream, written with shifts alone: stream table, STE, CD, stage 1 and stage 2 for one
 * address. Every word is remembered, so that it can be damaged afterwards.
 */

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
  readonly s2fwb: boolean;
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
    for (const d of form.damage) damageWord(memory, this.words, d);
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
    return granule === 16 && this.form.oas === 52 ? (a & (BIT(48) - 1n)) | ((a >> 48n) << 12n) : a;
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
          this.put(
            at,
            this.address(g, ((page + offset) >> BigInt(low)) << BigInt(low)) | attr2 | (level === 3 ? 3n : 1n),
          );
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
    const w1 = BigInt(f.dss) | (BigInt(f.eats) << 28n) | (BigInt(f.strw) << 30n) | (f.s2fwb ? BIT(25) : 0n);
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
}
