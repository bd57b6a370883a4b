import type { Bus, PageAllocator } from '../memory/index.ts';
import { allocTable, unlessFull } from './table-pages.ts';
import {
  choosePages,
  entryNames,
  layoutId,
  leafAttributes,
  Prot,
  sizeText,
  type TableConfig,
  type TableGeometry,
  tableGeometry,
  type WalkParameters,
  walkParameters,
} from './vmsav8-table-format.ts';
import { FIRST_WORDS, Gather, RunOfWrites, type TableStep, type TableWrite } from './vmsav8-table-steps.ts';

export { readAndClearDirty } from './vmsav8-table-dirty.ts';
export * from './vmsav8-table-format.ts';
export type { TableFlush, TableStep, TableWrite } from './vmsav8-table-steps.ts';

export interface MapResult {
  /** '0' or the kernel's name. On an error nothing of the call stays mapped. */
  readonly errno: string;
  /** Bytes mapped. */
  readonly mapped: number;
}

/** Above this many leaves in one call, tables made on the way are counted in the summary instead of reported one by one. */
const BULK = 1024;

/**
 * A VMSAv8-64 page table as Linux keeps it (drivers/iommu/io-pgtable-arm.c and iommu_map/iommu_unmap above it): which
 * descriptors are written, in which order, and what must be invalidated. All content lies in the bus's memory; the object
 * holds the address of the start table only.
 *
 * Use, for a guest's stage 1 (bus = guest memory) or a host's stage 2 (bus = host memory):
 *
 *     const table = new Vmsav8Table(bus, pages, { stage: 1, inputBits: 48, outputBits: 44 });
 *     const it = table.map(0x10000, 0x40200000, 4096, protReadWriteCached);
 *     let r = it.next();
 *     for (; !r.done; r = it.next()) {
 *       emit(r.value);               // `write` -> a table.write event, then yield a pause
 *     }                              // `walk` and `leaf` -> send the invalidation before resuming
 *     r.value.errno                  // '0', 'EEXIST', 'ERANGE', 'EINVAL', 'ENOMEM'
 *
 * CD or STE fields come from `table.walk` (tsz, tg, irgn, orgn, sh, ps, sl0, vtcr) and `table.root`.
 */
export class Vmsav8Table {
  readonly cfg: TableConfig;
  readonly geometry: TableGeometry;
  readonly walk: WalkParameters;
  private readonly bus: Bus;
  private readonly pages: PageAllocator;
  private rootAddress: number;
  /** High half of the descriptor that `read` read last. */
  private high = 0;

  /**
   * @param root address of a start table that exists already; a new one is made when left out
   * @throws RangeError when there are no pages for the start table
   */
  constructor(bus: Bus, pages: PageAllocator, cfg: TableConfig, root?: number) {
    this.bus = bus;
    this.pages = pages;
    this.cfg = cfg;
    this.geometry = tableGeometry(cfg);
    this.walk = walkParameters(cfg);
    this.rootAddress = root ?? allocTable(bus, pages, this.rootBytes);
  }

  /** Physical address of the start table: TTB0 or S2TTB. */
  get root(): number {
    return this.rootAddress;
  }

  private get rootBytes(): number {
    return Math.max(this.geometry.rootBytes, 64);
  }

  /** Maps one contiguous stretch, as iommu_map. Addresses and size are multiples of the granule (else EINVAL). */
  map(iova: number, oa: number, size: number, prot: number): Generator<TableStep, MapResult, void> {
    return this.mapRuns(iova, [{ oa, size }], prot);
  }

  /**
   * Maps consecutive IOVAs to several physical stretches, one iommu_map each; page sizes never cross a stretch.
   * Errors as the kernel's: EINVAL (alignment, no access), ERANGE (address beyond the table's widths), EEXIST, ENOMEM.
   */
  *mapRuns(
    iova: number,
    runs: readonly { readonly oa: number; readonly size: number }[],
    prot: number,
  ): Generator<TableStep, MapResult, void> {
    const { pageSizes, granule } = this.geometry;
    const { low, high } = leafAttributes(this.cfg, prot);
    let leaves = 0;
    for (const r of runs) leaves += Math.ceil(r.size / granule);
    const run = new RunOfWrites(entryNames(this.cfg), leaves > BULK);
    let at = iova;
    let errno = '0';
    outer: for (const r of runs) {
      let oa = r.oa;
      if (at % granule || oa % granule || r.size % granule || r.size <= 0) errno = 'EINVAL';
      for (let left = errno === '0' ? r.size : 0; left > 0; ) {
        const p = choosePages(pageSizes, at, oa, left)!;
        if (at >= 2 ** this.cfg.inputBits || oa >= 2 ** this.cfg.outputBits) errno = 'ERANGE';
        else if (!(prot & (Prot.read | Prot.write))) errno = 'EINVAL';
        if (errno !== '0') break outer;
        const level = this.leafLevel(p.size);
        for (let count = p.count; count > 0; ) {
          let table = this.rootAddress;
          for (let l = this.geometry.startLevel; l < level; l++) {
            const slot = table + this.index(at, l) * 8;
            const lo = this.read(slot);
            if (!(lo & 1)) {
              const made = unlessFull(() => allocTable(this.bus, this.pages, this.geometry.granule));
              if (made === null) {
                errno = 'ENOMEM';
                break outer;
              }
              this.writeDescriptor(slot, made, 3, 0);
              if (run.absorbsTables) run.tables++;
              else {
                if (run.count) yield run.take();
                yield this.tableWritten(slot, at, l);
              }
              table = made;
            } else if (!(lo & 2)) {
              errno = 'EEXIST';
              break outer;
            } else table = this.address(lo);
          }
          const first = this.index(at, level);
          const n = Math.min(count, this.entries(level) - first);
          const slot = table + first * 8;
          for (let i = 0; i < n; i++) {
            const lo = this.read(slot + i * 8);
            if (!(lo & 1)) continue;
            if (level === 3 || !(lo & 2)) {
              errno = 'EEXIST';
              break outer;
            }
            if (run.count) yield run.take();
            yield* this.unmapPages(table, level, at + i * p.size, p.size, 1, null);
          }
          const type = level === 3 ? 3 : 1;
          for (let i = 0; i < n; i++) {
            const address = slot + i * 8;
            this.writeDescriptor(address, oa, low | type, high);
            if (run.count && !run.continues(address, at, p.size)) yield run.take();
            run.add(address, at, p.size, level, run.wantsWord(address) ? this.word(low | type, high, oa) : null);
            at += p.size;
            oa += p.size;
          }
          count -= n;
          left -= n * p.size;
        }
      }
      if (errno !== '0') break;
    }
    if (run.count) yield run.take();
    if (errno !== '0' && at > iova) yield* this.unmap(iova, at - iova);
    return { errno, mapped: errno === '0' ? at - iova : 0 };
  }

  /**
   * Removes what lies in the range, as iommu_unmap: stops at a hole or at a block that is larger than what is left of the
   * range. With `queued` (the lazy flush of dma-iommu) leaf flushes are left to the caller; walk flushes never are.
   * @returns bytes removed
   */
  *unmap(iova: number, size: number, queued = false): Generator<TableStep, number, void> {
    const gather: Gather | null = queued ? null : new Gather();
    let done = 0;
    while (done < size) {
      const at = iova + done;
      const p = choosePages(this.geometry.pageSizes, at, at, size - done);
      if (!p || at >= 2 ** this.cfg.inputBits) break;
      const n = yield* this.unmapPages(this.rootAddress, this.geometry.startLevel, at, p.size, p.count, gather);
      if (n === 0) break;
      done += n;
    }
    if (gather?.granule) yield gather.take();
    return done;
  }

  /** __arm_lpae_unmap: up to the end of one table. */
  private *unmapPages(
    table: number,
    level: number,
    iova: number,
    size: number,
    count: number,
    gather: Gather | null,
  ): Generator<TableStep, number, void> {
    let l = level;
    let at = table;
    const target = this.leafLevel(size);
    for (; l < target; l++) {
      const lo = this.read(at + this.index(iova, l) * 8);
      if (!(lo & 1) || !(lo & 2)) return 0;
      at = this.address(lo);
    }
    const first = this.index(iova, l);
    const slot = at + first * 8;
    const max = Math.min(count, this.entries(l) - first);
    let n = 0;
    let cleared = 0;
    for (; n < max; n++) {
      const lo = this.read(slot + n * 8);
      if (!(lo & 1)) break;
      if (l === 3 || !(lo & 2)) continue;
      const next = this.address(lo);
      this.writeDescriptor(slot + n * 8, 0, 0, 0);
      cleared++;
      yield this.cleared(slot + n * 8, 1, iova + n * size, size, l, 'table');
      yield { kind: 'walk', iova: iova + n * size, size, granule: this.geometry.granule };
      this.freeTable(next, l + 1);
    }
    for (let i = 0; i < n; i++) this.writeDescriptor(slot + i * 8, 0, 0, 0);
    if (n > cleared) yield this.cleared(slot, n, iova, size, l, l === 3 ? 'page' : 'block');
    if (n > 0 && gather) {
      if (gather.breaks(iova, size)) yield gather.take();
      gather.add(iova, n * size, size);
    }
    return n * size;
  }

  /** The leaf that an input address hits, permissions not looked at; null where there is none. `oa` includes the offset. */
  lookup(iova: number): { oa: number; size: number; level: number; address: number; descriptor: bigint } | null {
    if (iova < 0 || iova >= 2 ** this.cfg.inputBits) return null;
    let table = this.rootAddress;
    for (let l = this.geometry.startLevel; l < 4; l++) {
      const address = table + this.index(iova, l) * 8;
      const lo = this.read(address);
      if (!(lo & 1) || (l === 3 && !(lo & 2))) return null;
      const next = this.address(lo);
      if (l === 3 || !(lo & 2)) {
        const size = this.span(l);
        return { oa: next + (iova % size), size, level: l, address, descriptor: this.bus.readWord(address) };
      }
      table = next;
    }
    return null;
  }

  /** Gives all table pages back; the table must not be used afterwards. */
  free(): void {
    this.freeTable(this.rootAddress, this.geometry.startLevel);
  }

  save(): { root: number } {
    return { root: this.rootAddress };
  }

  load(s: { root: number }): void {
    this.rootAddress = s.root;
  }

  /** Follows only pages that the allocator gave out: a table may have been overwritten with anything. */
  private freeTable(table: number, level: number): void {
    if (!this.pages.has(table)) return;
    const below: number[] = [];
    if (level < 3)
      for (let i = 0; i < this.entries(level); i++) {
        const lo = this.read(table + i * 8);
        if ((lo & 3) === 3) below.push(this.address(lo));
      }
    this.pages.release(table, level === this.geometry.startLevel ? this.rootBytes : this.geometry.granule);
    for (const next of below) this.freeTable(next, level + 1);
  }

  private shift(level: number): number {
    return this.geometry.granuleLg2 + (3 - level) * this.geometry.bitsPerLevel;
  }

  /** Bytes that one entry of the level covers. */
  private span(level: number): number {
    return 2 ** this.shift(level);
  }

  private entries(level: number): number {
    return level === this.geometry.startLevel ? this.geometry.rootEntries : 2 ** this.geometry.bitsPerLevel;
  }

  private index(iova: number, level: number): number {
    return Math.floor(iova / this.span(level)) % this.entries(level);
  }

  private leafLevel(size: number): number {
    return 3 - (Math.log2(size) - this.geometry.granuleLg2) / this.geometry.bitsPerLevel;
  }

  /** Low half of a descriptor; the high half stays in `high`. */
  private read(address: number): number {
    this.high = this.bus.read32(address + 4);
    return this.bus.read32(address);
  }

  /** Output or next-table address of the descriptor that was read last. */
  private address(lo: number): number {
    const { granule } = this.geometry;
    const top = granule === 65536 ? ((lo >>> 12) & 15) * 2 ** 48 : 0;
    return top + (this.high & 0xffff) * 2 ** 32 + (lo >>> 0) - ((lo >>> 0) % granule);
  }

  /** 64K tables carry address bits 51:48 in bits 15:12. */
  private lowHalf(attributes: number, oa: number): number {
    const packed = this.geometry.granule === 65536 ? Math.floor(oa / 2 ** 48) << 12 : 0;
    return (attributes | packed | (oa % 2 ** 32)) >>> 0;
  }

  private word(attributes: number, high: number, oa: number): bigint {
    const top = (high | (Math.floor(oa / 2 ** 32) & 0xffff)) >>> 0;
    return (BigInt(top) << 32n) | BigInt(this.lowHalf(attributes, oa));
  }

  private writeDescriptor(address: number, oa: number, attributes: number, high: number): void {
    this.bus.write32(address + 4, (high | (Math.floor(oa / 2 ** 32) & 0xffff)) >>> 0);
    this.bus.write32(address, this.lowHalf(attributes, oa));
  }

  private tableWritten(address: number, iova: number, level: number): TableWrite {
    const size = this.span(level);
    const layout = layoutId(this.cfg, level, false);
    const text = `level ${level} table for 0x${(iova - (iova % size)).toString(16)}`;
    const words = [this.bus.readWord(address)];
    return {
      kind: 'write',
      address,
      words,
      count: 1,
      level,
      leaf: false,
      size,
      iova: iova - (iova % size),
      layout,
      text,
    };
  }

  private cleared(address: number, n: number, iova: number, size: number, level: number, what: string): TableWrite {
    const layout = layoutId(this.cfg, level, what !== 'table');
    const words = new Array<bigint>(Math.min(n, FIRST_WORDS)).fill(0n);
    const items = n === 1 ? `${what} of ${sizeText(size)}` : `${n} ${what}s of ${sizeText(size)}`;
    const text = `${items} at 0x${iova.toString(16)} cleared`;
    return { kind: 'write', address, words, count: n, level, leaf: what !== 'table', size, iova, layout, text };
  }
}
