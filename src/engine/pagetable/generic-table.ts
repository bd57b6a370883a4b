import type { Bus, PageAllocator } from '../memory/index.ts';
import {
  type Entry,
  type GenericTableConfig,
  type GenericTableStep,
  layoutOf,
  type Mapped,
  type TableFormat,
  type Unmapped,
} from './generic-table-format.ts';
import { bestPageSize, pageCount, sizeText } from './page-sizes.ts';
import { allocTable, unlessFull } from './table-pages.ts';
import { FIRST_WORDS, RunOfWrites, type TableWrite } from './table-steps.ts';

/**
 * Page tables as Linux's generic_pt keeps them (drivers/iommu/generic_pt/iommu_pt.h, 7.1): which entries are written, in which
 * order, which tables go. For formats of 4 KiB tables with 512 entries of 64 bits. Levels count as in the VT-d and x86
 * specifications: 1 is the table of 4 KiB pages.
 */

export type * from './generic-table-format.ts';

const ENTRIES = 512;
const TABLE_BYTES = 4096;
/** Above this many leaves in one call, tables made on the way are counted in the summary instead of reported one by one. */
const BULK = 1024;

export class GenericTable {
  readonly format: TableFormat;
  readonly cfg: GenericTableConfig;
  private readonly bus: Bus;
  private readonly pages: PageAllocator;
  private readonly sizes: bigint;
  private rootAddress: number;
  /** High half of the entry that `read` read last. */
  private high = 0;

  /**
   * @param root address of a top table that exists already; a new one is made when left out
   * @throws RangeError when there is no page for the top table
   */
  constructor(bus: Bus, pages: PageAllocator, format: TableFormat, cfg: GenericTableConfig, root?: number) {
    this.bus = bus;
    this.pages = pages;
    this.format = format;
    this.cfg = cfg;
    this.sizes = cfg.pageSizes.reduce((mask, s) => mask | BigInt(s), 0n);
    this.rootAddress = root ?? allocTable(bus, pages, TABLE_BYTES);
  }

  /** Physical address of the top table. */
  get root(): number {
    return this.rootAddress;
  }

  get levels(): number {
    return this.cfg.levels;
  }

  /** Input addresses from 0 up to this one, exclusive. */
  get end(): number {
    return 2 ** (this.cfg.inputBits - (this.cfg.signExtend ? 1 : 0));
  }

  /** Maps one contiguous stretch, as iommu_map. */
  map(iova: number, oa: number, size: number, prot: number): Generator<GenericTableStep, Mapped, void> {
    return this.mapRuns(iova, [{ oa, size }], prot);
  }

  /**
   * Maps consecutive input addresses to several physical stretches, one iommu_map each.
   * @param iova page-aligned, exact as a number up to 2^64
   * Errors: EINVAL (alignment, no access, what the format refuses), ERANGE (beyond the table's widths), EADDRINUSE, ENOMEM.
   */
  *mapRuns(
    iova: number,
    runs: readonly { readonly oa: number; readonly size: number }[],
    prot: number,
  ): Generator<GenericTableStep, Mapped, void> {
    const leaves = runs.reduce((n, r) => n + r.size / this.cfg.pageSizes[0]!, 0);
    const run = new RunOfWrites(this.names, leaves > BULK);
    let at = iova;
    let errno = '0';
    for (const r of runs) {
      const freed: Freed = { tables: [], from: Infinity, to: 0 };
      const done = yield* this.mapOne(at, r.oa, r.size, prot, run, freed);
      errno = done.errno;
      at += done.mapped;
      if (run.count && (freed.tables.length || errno !== '0')) yield run.take();
      if (freed.tables.length) {
        yield { kind: 'flush', iova: freed.from, size: freed.to - freed.from, freed: true };
        this.release(freed.tables);
      }
      if (errno !== '0') break;
    }
    if (run.count) yield run.take();
    if (errno === '0' || at === iova) return { errno, mapped: at - iova };
    const undone = yield* this.unmap(iova, at - iova);
    yield { kind: 'flush', iova, size: undone.unmapped, freed: undone.freed.length > 0 };
    this.release(undone.freed);
    return { errno, mapped: 0 };
  }

  /** NS(map_range). What it has mapped when it fails stays. */
  private *mapOne(
    iova: number,
    oa: number,
    size: number,
    prot: number,
    run: RunOfWrites,
    freed: Freed,
  ): Generator<GenericTableStep, Mapped, void> {
    const refused = this.mapProblem(iova, oa, size, prot);
    if (refused) return { errno: refused, mapped: 0 };
    let errno = '0';
    let done = 0;
    while (done < size && errno === '0') {
      const [at, to, left] = [iova + done, oa + done, size - done];
      // One smallest page, which is what scattered memory comes in, needs no choice.
      const one = left === this.cfg.pageSizes[0];
      const lg2 = one
        ? Math.log2(left)
        : bestPageSize(this.sizes, BigInt(at), BigInt(at) + BigInt(left) - 1n, BigInt(to));
      const count = one ? 1 : pageCount(this.sizes, at, left, to, lg2);
      const r = yield* this.mapLeaves(at, to, (lg2 - 3) / 9, count, prot, run, freed);
      errno = r.errno;
      done += r.mapped;
    }
    return { errno, mapped: done };
  }

  private mapProblem(iova: number, oa: number, size: number, prot: number): string | null {
    const page = this.cfg.pageSizes[0]!;
    if (iova % page || oa % page || size % page || size <= 0 || !(prot & 3)) return 'EINVAL';
    if (oa >= 2 ** (this.cfg.outputBits ?? 52)) return 'ERANGE';
    const refused = this.format.prot(prot);
    if (refused !== '0') return refused;
    return iova < 0 || iova + size > this.end ? 'ERANGE' : null;
  }

  /** So many leaves of one level, up to the end of one table. */
  private *mapLeaves(
    iova: number,
    oa: number,
    level: number,
    count: number,
    prot: number,
    run: RunOfWrites,
    freed: Freed,
  ): Generator<GenericTableStep, Mapped, void> {
    let table = this.rootAddress;
    for (let l = this.cfg.levels; l > level; l--) {
      const slot = table + this.index(iova, l) * 8;
      const lo = this.read(slot);
      const kind = this.format.kind(lo, this.high, l);
      if (kind === 'leaf') return { errno: 'EADDRINUSE', mapped: 0 };
      if (kind === 'table') {
        table = this.address(lo);
        continue;
      }
      const made = unlessFull(() => allocTable(this.bus, this.pages, TABLE_BYTES));
      if (made === null) return { errno: 'ENOMEM', mapped: 0 };
      const entry = this.format.table(made);
      this.write(slot, entry.lo, entry.hi);
      if (run.absorbsTables) run.tables++;
      else {
        if (run.count) yield run.take();
        yield this.tableWritten(slot, iova, l);
      }
      table = made;
    }
    const span = this.span(level);
    const first = this.index(iova, level);
    const n = Math.min(count, ENTRIES - first);
    const bits = this.format.leaf(prot, level);
    for (let i = 0; i < n; i++) {
      const slot = table + (first + i) * 8;
      const at = iova + i * span;
      const old = this.read(slot);
      const kind = this.format.kind(old, this.high, level);
      if (kind === 'leaf') return { errno: 'EADDRINUSE', mapped: i * span };
      if (kind === 'table') {
        const next = this.address(old);
        const below: number[] = [];
        if (!this.collectEmpty(next, level - 1, below)) return { errno: 'EADDRINUSE', mapped: i * span };
        if (run.count) yield run.take();
        this.write(slot, 0, 0);
        yield this.cleared(slot, 1, at, level, 'table');
        freed.tables.push(...below, next);
        freed.from = Math.min(freed.from, at);
        freed.to = Math.max(freed.to, at + span);
      }
      const [lo, hi] = this.withAddress(bits, oa + i * span);
      this.write(slot, lo, hi);
      if (run.count && !run.continues(slot, at, span)) yield run.take();
      run.add(slot, at, span, level, run.wantsWord(slot) ? this.bus.readWord(slot) : null);
    }
    return { errno: '0', mapped: n * span };
  }

  /**
   * NS(unmap_range): clears what lies in the range up to the first hole; a range that begins inside a larger leaf clears nothing
   * there, one that ends inside takes the whole leaf. A table whose span lies in the range goes with what it held. Nothing is
   * invalidated or released: that is the owner's.
   */
  *unmap(iova: number, size: number): Generator<TableWrite, Unmapped, void> {
    const page = this.cfg.pageSizes[0]!;
    const u = { unmapped: 0, freed: [] };
    if (iova % page || size % page || size <= 0 || iova < 0 || iova + size > this.end) return u;
    yield* this.unmapTable(this.rootAddress, this.cfg.levels, 0, iova, iova + size, u);
    return u;
  }

  /** @param base input address of the table's first entry. @returns false at a hole */
  private *unmapTable(
    table: number,
    level: number,
    base: number,
    from: number,
    to: number,
    u: { unmapped: number; freed: number[] },
  ): Generator<TableWrite, boolean, void> {
    const span = this.span(level);
    const first = Math.max(0, Math.floor((from - base) / span));
    const end = Math.min(ENTRIES, Math.ceil((to - base) / span));
    let good = true;
    let leaves = 0;
    for (let i = first; i < end; i++) {
      const slot = table + i * 8;
      const at = base + i * span;
      const lo = this.read(slot);
      const kind = this.format.kind(lo, this.high, level);
      if (kind === 'leaf' && at >= from) {
        this.write(slot, 0, 0);
        u.unmapped += span;
        leaves++;
        continue;
      }
      if (leaves) yield this.cleared(slot - leaves * 8, leaves, at - leaves * span, level, 'page');
      leaves = 0;
      good = false;
      if (kind !== 'table') break;
      const next = this.address(lo);
      good = yield* this.unmapTable(next, level - 1, at, from, to, u);
      if (!good) break;
      if (at < from || at + span > to) continue;
      this.write(slot, 0, 0);
      u.freed.push(next);
      yield this.cleared(slot, 1, at, level, 'table');
    }
    if (leaves) yield this.cleared(table + (end - leaves) * 8, leaves, base + (end - leaves) * span, level, 'page');
    return good;
  }

  /** Gives table pages back. */
  release(tables: readonly number[]): void {
    for (const t of tables) this.pages.release(t, TABLE_BYTES);
  }

  /** The leaf that an input address hits, rights not looked at; null where there is none. `oa` includes the offset. */
  lookup(iova: number): { oa: number; size: number; level: number; address: number; entry: bigint } | null {
    if (iova < 0 || iova >= this.end) return null;
    let table = this.rootAddress;
    for (let level = this.cfg.levels; level > 0; level--) {
      const address = table + this.index(iova, level) * 8;
      const lo = this.read(address);
      const kind = this.format.kind(lo, this.high, level);
      if (kind === 'empty') return null;
      if (kind === 'leaf') {
        const size = this.span(level);
        const base = this.address(lo);
        return { oa: base - (base % size) + (iova % size), size, level, address, entry: this.bus.readWord(address) };
      }
      table = this.address(lo);
    }
    return null;
  }

  /** Bytes from an input address that hits no leaf to the end of what the empty entry covers. */
  hole(iova: number): number {
    let table = this.rootAddress;
    for (let level = this.cfg.levels; level > 0; level--) {
      const lo = this.read(table + this.index(iova, level) * 8);
      if (this.format.kind(lo, this.high, level) !== 'table') return this.span(level) - (iova % this.span(level));
      table = this.address(lo);
    }
    return this.span(1);
  }

  /** Gives all table pages back; the table must not be used afterwards. */
  free(): void {
    this.freeBelow(this.rootAddress, this.cfg.levels);
  }

  save(): { root: number } {
    return { root: this.rootAddress };
  }

  load(s: { root: number }): void {
    this.rootAddress = s.root;
  }

  private freeBelow(table: number, level: number): void {
    if (!this.pages.has(table)) return;
    const below: number[] = [];
    for (let i = 0; i < ENTRIES && level > 1; i++) {
      const lo = this.read(table + i * 8);
      if (this.format.kind(lo, this.high, level) === 'table') below.push(this.address(lo));
    }
    this.pages.release(table, TABLE_BYTES);
    for (const next of below) this.freeBelow(next, level - 1);
  }

  /** Tables below one that must hold no leaf. @returns false when it does */
  private collectEmpty(table: number, level: number, out: number[]): boolean {
    for (let i = 0; i < ENTRIES; i++) {
      const lo = this.read(table + i * 8);
      const kind = this.format.kind(lo, this.high, level);
      if (kind === 'leaf') return false;
      if (kind === 'empty') continue;
      const next = this.address(lo);
      if (!this.collectEmpty(next, level - 1, out)) return false;
      out.push(next);
    }
    return true;
  }

  /** Bytes that one entry of the level covers. */
  private span(level: number): number {
    return 2 ** (3 + 9 * level);
  }

  private index(iova: number, level: number): number {
    return Math.floor(iova / this.span(level)) % ENTRIES;
  }

  /** Low half of an entry; the high half stays in `high`. */
  private read(address: number): number {
    this.high = this.bus.read32(address + 4);
    return this.bus.read32(address);
  }

  /** Address in the entry that was read last, bits 51:12. */
  private address(lo: number): number {
    return (this.high & 0xfffff) * 2 ** 32 + ((lo & 0xfffff000) >>> 0);
  }

  private withAddress(bits: Entry, oa: number): readonly [number, number] {
    return [(bits.lo | (oa % 2 ** 32)) >>> 0, (bits.hi | Math.floor(oa / 2 ** 32)) >>> 0];
  }

  private write(address: number, lo: number, hi: number): void {
    this.bus.write32(address + 4, hi);
    this.bus.write32(address, lo);
  }

  private get names(): { layout(level: number, leaf: boolean): string; leafName(level: number): string } {
    return { layout: (level, leaf) => layoutOf(this.format, level, leaf), leafName: () => 'page' };
  }

  private tableWritten(address: number, iova: number, level: number): TableWrite {
    const size = this.span(level);
    const start = iova - (iova % size);
    const text = `level ${level} table for 0x${start.toString(16)}`;
    return this.written(address, [this.bus.readWord(address)], 1, level, false, start, text);
  }

  private cleared(address: number, count: number, iova: number, level: number, what: 'page' | 'table'): TableWrite {
    const words = new Array<bigint>(Math.min(count, FIRST_WORDS)).fill(0n);
    const size = sizeText(this.span(level));
    const items = count === 1 ? `${what} of ${size}` : `${count} ${what}s of ${size}`;
    const text = `${items} at 0x${iova.toString(16)} cleared`;
    return this.written(address, words, count, level, what === 'page', iova, text);
  }

  private written(
    address: number,
    words: readonly bigint[],
    count: number,
    level: number,
    leaf: boolean,
    iova: number,
    text: string,
  ): TableWrite {
    const layout = layoutOf(this.format, level, leaf);
    return { kind: 'write', address, words, count, level, leaf, size: this.span(level), iova, layout, text };
  }
}

/** Tables that a map unlinked, and the input addresses that they covered. */
interface Freed {
  readonly tables: number[];
  from: number;
  to: number;
}
