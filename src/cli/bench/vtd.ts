import { encode } from '../../engine/bits/index.ts';
import { Injector, runToEnd } from '../../engine/machine/index.ts';
import { firstStage, OK, READ, secondStage, WRITE, X86Walker } from '../../engine/pagetable/x86-64.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import { DONE, physicalFeatures, UNTRANSLATED, VtdUnit } from '../../engine/vtd/hardware/index.ts';
import { contextLayout, encodeDescriptor, pasidLayout } from '../../engine/vtd/layout/index.ts';
import type { Benchmark } from '../bench.ts';
import { IOVA, NestedTables, PAGES, scattered } from './nested-walk.ts';

/** Both stages four levels deep, 4 KiB pages, accessed and dirty bits set as Linux presets them. */
const fourLevels = {
  granule: 12,
  start1: 0,
  start2: 0,
  bits: { table1: 0x27n, page1: 0x67n, table2: 3n, page2: 3n },
} as const;

const RID = 8;
const DID = 5;

function tables(pages: number): NestedTables {
  const t = new NestedTables(fourLevels);
  for (let i = 0; i < pages; i++) t.map(IOVA + i * 4096);
  return t;
}

function coldWalk(): ReturnType<Benchmark['prepare']> {
  const t = tables(PAGES);
  const f = physicalFeatures({});
  const w = new X86Walker(t.memory);
  const fs = firstStage({ baseHi: 0, baseLo: t.s1, levels: 4 }, f);
  const ss = secondStage({ baseHi: 0, baseLo: t.s2, levels: 4 }, f);
  if (w.first(fs, ss, 0, IOVA, READ, false) !== OK || w.reads !== 24)
    throw new Error(`expected 24 reads, made ${w.reads}`);
  return {
    n: PAGES,
    run: () => {
      let sum = 0;
      for (let i = 0; i < PAGES; i++) {
        if (w.first(fs, ss, 0, (IOVA + scattered(i) * 4096) | 0, READ | WRITE, false) !== OK)
          throw new Error('walk failed');
        sum += w.outLo;
      }
      return sum;
    },
  };
}

/** A unit in front of the tables, all pages in its IOTLB. */
function filledUnit(pages: number): VtdUnit {
  const t = tables(pages);
  const put = (at: number, words: readonly bigint[]): void => {
    for (const [i, w] of words.entries()) t.memory.writeWord(at + 8 * i, w);
  };
  put(0x8000_0000, [0x8000_1001n, 0n]);
  put(0x8000_1000 + RID * 32, encode(contextLayout, { P: 1, PASIDDIRPTR: 0x8000_2000n }));
  put(0x8000_2000, [0x8000_3001n]);
  put(
    0x8000_3000,
    encode(pasidLayout, {
      P: 1,
      PGTT: 3,
      AW: 2,
      DID,
      PWSNP: 1,
      FSPTPTR: BigInt(t.s1),
      SSPTPTR: BigInt(t.s2),
    }),
  );
  const trace = new Trace();
  const device = new PciDevice({ name: 'd', rid: RID, vrid: RID, pasidBits: 0, ats: false, pri: false });
  const unit = new VtdUnit(t.memory, physicalFeatures({}), [device], trace, new Injector(trace));
  for (const [reg, v] of [
    ['RTADDR_REG', 0x8000_0400n],
    ['GCMD_REG', 0x4000_0000n],
    ['GCMD_REG', 0x8000_0000n],
  ] as const)
    runToEnd(unit.writeRegister(reg, v));
  for (let i = 0; i < pages; i++) translate(unit, IOVA + i * 4096);
  return unit;
}

function translate(unit: VtdUnit, iova: number): void {
  const t = unit.translator;
  if (t.translate(RID, -1, 0, iova | 0, READ, false, UNTRANSLATED) !== DONE)
    throw new Error(`0x${iova.toString(16)}: reason ${t.event}`);
}

function iotlbHit(): ReturnType<Benchmark['prepare']> {
  const unit = filledUnit(PAGES);
  const t = unit.translator;
  return {
    n: PAGES,
    run: () => {
      let sum = 0;
      for (let i = 0; i < PAGES; i++) {
        translate(unit, IOVA + scattered(i) * 4096);
        if (t.answeredBy !== 1) throw new Error('miss');
        sum += t.outLo;
      }
      return sum;
    },
  };
}

/** One page invalidated out of `entries` by P_IOTLB_INV; a cold cache is what makes the larger one slower, if anything. */
function invalidatePage(entries: number): ReturnType<Benchmark['prepare']> {
  const unit = filledUnit(entries);
  // Few enough that the small cache stays nearly full.
  const rounds = 256;
  const pages = Array.from({ length: rounds }, (_, i) => IOVA + ((Math.imul(i, 2654435761) >>> 0) % entries) * 4096);
  const halves = pages.map((page) => {
    const words = encodeDescriptor('P_IOTLB_INV', { G: 3, DID, PASID: 0, IH: 1, ADDR: BigInt(page) });
    return words.flatMap((w) => [Number(w & 0xffffffffn) | 0, Number(w >> 32n) | 0]);
  });
  return {
    n: rounds,
    run: () => {
      const before = unit.caches.iotlb.size;
      for (let i = 0; i < rounds; i++) {
        const h = halves[i]!;
        unit.execute(h[0]!, h[1]!, h[2]!, h[3]!);
      }
      return before - unit.caches.iotlb.size;
    },
    reset: () => {
      for (const page of pages) translate(unit, page);
    },
  };
}

export const vtdBenchmarks: readonly Benchmark[] = [
  { name: 'vtd.walk.nested.cold', prepare: coldWalk },
  { name: 'vtd.iotlb.hit', prepare: iotlbHit },
  { name: 'vtd.invalidate.page.1k', prepare: () => invalidatePage(1024) },
  { name: 'vtd.invalidate.page.64k', prepare: () => invalidatePage(65536) },
];
