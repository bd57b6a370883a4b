import { Memory } from '../../engine/memory/index.ts';
import { OK, READ, type StageConfig, stageConfig, Vmsav8Walker, WRITE } from '../../engine/pagetable/vmsav8.ts';
import type { Benchmark } from '../bench.ts';

/** Nested tables in the sizes that Linux makes of 48 bits, and cold walks of them. */

export const PAGES = 4096;
export const IOVA = 0x1000_0000;

/** Page numbers in a scattered order that visits each once. */
export const scattered = (i: number): number => Math.imul(i, 2654435761) & (PAGES - 1);

/** Low bits of the entries of both stages. */
interface Bits {
  readonly table1: bigint;
  readonly page1: bigint;
  readonly table2: bigint;
  readonly page2: bigint;
}

const vmsav8: Bits = { table1: 3n, page1: 0xf47n, table2: 3n, page2: 0x7ffn };

interface Shape {
  readonly bits?: Bits;
  /** Log2. */
  readonly granule: 12 | 14 | 16;
  /** Start levels: stage 2 of 16 KiB begins with two tables at level 1 side by side. */
  readonly start1: number;
  readonly start2: number;
}

/** 4 KiB pages, both stages four levels deep. */
export const pages4k: Shape = { granule: 12, start1: 0, start2: 0 };

const stage = (granule: number, startLevel: number, base: number): StageConfig =>
  stageConfig({
    baseHi: 0,
    baseLo: base,
    granule,
    startLevel,
    inputBits: 48,
    outputBits: 48,
    affd: false,
    had: false,
    wxn: false,
    pan: false,
    single: false,
    xnx: true,
    ptw: true,
  });

/** Tables of both stages, made with the plainest code. Everything lies below 4 GiB. */
export class NestedTables {
  readonly memory = new Memory(2 ** 32);
  readonly s1: number;
  readonly s2: number;
  private readonly shape: Shape;
  private readonly bits: Bits;
  private readonly page: number;
  private next: number;
  private nextIpa = 0x4000_0000;

  constructor(shape: Shape) {
    this.shape = shape;
    this.bits = shape.bits ?? vmsav8;
    this.page = 2 ** shape.granule;
    this.next = this.page * 4;
    // Two pages for concatenated start tables.
    this.s2 = this.next;
    this.next += 2 * this.page;
    this.s1 = this.ipaPage();
  }

  private alloc(): number {
    this.next += this.page;
    return this.next - this.page;
  }

  /** A page of memory and its place in stage 2. */
  ipaPage(): number {
    const ipa = this.nextIpa;
    this.nextIpa += this.page;
    this.memory.writeWord(this.slot(2, ipa), BigInt(this.alloc()) | this.bits.page2);
    return ipa;
  }

  /** Physical address of the level-3 descriptor of an input address; tables on the way are made. */
  private slot(of: 1 | 2, input: number): number {
    const { granule } = this.shape;
    const first = of === 1 ? this.shape.start1 : this.shape.start2;
    let table = of === 1 ? this.paOf(this.s1) : this.s2;
    for (let level = first; ; level++) {
      const index = Math.floor(input / 2 ** (granule + (3 - level) * (granule - 3)));
      const at = table + 8 * (level === first ? index : index % 2 ** (granule - 3));
      if (level === 3) return at;
      if (this.memory.readWord(at) === 0n)
        this.memory.writeWord(
          at,
          of === 1 ? BigInt(this.ipaPage()) | this.bits.table1 : BigInt(this.alloc()) | this.bits.table2,
        );
      const next = Number(this.memory.readWord(at) & 0xffff_ffff_f000n);
      table = of === 1 ? this.paOf(next) : next;
    }
  }

  /** Host physical address of a page of intermediate memory. */
  paOf(ipa: number): number {
    return Number(this.memory.readWord(this.slot(2, ipa)) & 0xffff_ffff_f000n);
  }

  map(iova: number): void {
    const ipa = this.ipaPage();
    this.memory.writeWord(this.slot(1, iova), BigInt(ipa) | this.bits.page1);
  }
}

function coldWalk(shape: Shape): ReturnType<Benchmark['prepare']> {
  const t = new NestedTables(shape);
  const page = 2 ** shape.granule;
  for (let i = 0; i < PAGES; i++) t.map(IOVA + i * page);
  const w = new Vmsav8Walker(t.memory);
  const s1 = stage(shape.granule, shape.start1, t.s1);
  const s2 = stage(shape.granule, shape.start2, t.s2);
  const reads = (5 - shape.start1) * (5 - shape.start2) - 1;
  if (w.stage1(s1, s2, 0, IOVA, READ, false) !== OK || w.reads !== reads)
    throw new Error(`expected ${reads} reads, made ${w.reads}`);
  return {
    n: PAGES,
    run: () => {
      let sum = 0;
      for (let i = 0; i < PAGES; i++) {
        if (w.stage1(s1, s2, 0, (IOVA + scattered(i) * page) | 0, READ | WRITE, false) !== OK)
          throw new Error('walk failed');
        sum += w.outLo;
      }
      return sum;
    },
  };
}

export const walkBenchmarks: readonly Benchmark[] = [
  { name: 'smmuv3.walk.nested.cold', prepare: () => coldWalk(pages4k) },
  { name: 'smmuv3.walk.nested.16k.cold', prepare: () => coldWalk({ granule: 14, start1: 0, start2: 1 }) },
  { name: 'smmuv3.walk.nested.64k.cold', prepare: () => coldWalk({ granule: 16, start1: 1, start2: 1 }) },
];
