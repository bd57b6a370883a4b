import { Injector, runToEnd } from '../../engine/machine/index.ts';
import { READ } from '../../engine/pagetable/vmsav8.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { DONE, physicalFeatures, Smmu, UNTRANSLATED } from '../../engine/smmuv3/hardware/index.ts';
import { encodeCommand } from '../../engine/smmuv3/layout/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import type { Benchmark } from '../bench.ts';
import { IOVA, NestedTables, PAGES, pages4k, scattered, walkBenchmarks } from './nested-walk.ts';

/** An SMMU in front of the tables, with STE and CD in place. */
function smmuOn(t: NestedTables): { smmu: Smmu; device: PciDevice } {
  const trace = new Trace();
  const device = new PciDevice({ name: 'd', rid: 8, vrid: 8, pasidBits: 0, ats: false, pri: false });
  const smmu = new Smmu(t.memory, physicalFeatures({}), [device], trace, new Injector(trace));
  const put = (at: number, words: bigint[]): void => {
    for (const [i, w] of words.entries()) t.memory.writeWord(at + 8 * i, w);
  };
  const cd = t.ipaPage();
  put(0x8000_0000 + 8 * 64, [BigInt(cd) | 0xfn, 0x0000_1000_0008_00d6n, 0x044d_3590_0000_0001n, BigInt(t.s2)]);
  put(t.paOf(cd), [0x0001_e204_c000_3510n, BigInt(t.s1), 0n, 0xf404_ff44n]);
  for (const [reg, v] of [
    ['STRTAB_BASE', 0x8000_0000n],
    ['STRTAB_BASE_CFG', 5n],
    ['CMDQ_BASE', 0x9000_0004n],
    ['CR0', 9n],
  ] as const)
    runToEnd(smmu.writeRegister(reg, v));
  return { smmu, device };
}

function fill(smmu: Smmu, pages: number): void {
  const t = smmu.translator;
  for (let i = 0; i < pages; i++)
    if (t.translate(8, -1, 0, IOVA + i * 4096, READ, false, UNTRANSLATED) !== DONE)
      throw new Error(`page ${i}: event ${t.event}`);
}

function iotlbHit(): ReturnType<Benchmark['prepare']> {
  const tables = new NestedTables(pages4k);
  for (let i = 0; i < PAGES; i++) tables.map(IOVA + i * 4096);
  const { smmu } = smmuOn(tables);
  fill(smmu, PAGES);
  const t = smmu.translator;
  return {
    n: PAGES,
    run: () => {
      let sum = 0;
      for (let i = 0; i < PAGES; i++) {
        if (t.translate(8, -1, 0, IOVA + scattered(i) * 4096, READ, false, UNTRANSLATED) !== DONE || t.answeredBy !== 1)
          throw new Error('miss');
        sum += t.outLo;
      }
      return sum;
    },
  };
}

/** One page invalidated out of `entries` by TLBI_NH_VA; a cold cache is what makes the larger one slower, if anything. */
function invalidateVa(entries: number): ReturnType<Benchmark['prepare']> {
  const tables = new NestedTables(pages4k);
  for (let i = 0; i < entries; i++) tables.map(IOVA + i * 4096);
  const { smmu } = smmuOn(tables);
  fill(smmu, entries);
  // Few enough that the small cache stays nearly full.
  const rounds = 256;
  const halves = Array.from({ length: rounds }, (_, i) => {
    const page = (Math.imul(i, 2654435761) >>> 0) % entries;
    const words = encodeCommand('TLBI_NH_VA', {
      VMID: 1,
      ASID: 1,
      TG: 1,
      TTL: 3,
      Leaf: 1,
      Address: BigInt(IOVA + page * 4096),
    });
    return [
      Number(words[0]! & 0xffffffffn) | 0,
      Number(words[0]! >> 32n) | 0,
      Number(words[1]! & 0xffffffffn) | 0,
      Number(words[1]! >> 32n) | 0,
    ] as const;
  });
  return {
    n: rounds,
    run: () => {
      const before = smmu.caches.iotlb.size;
      for (let i = 0; i < rounds; i++) {
        const h = halves[i]!;
        smmu.execute(h[0], h[1], h[2], h[3]);
      }
      return before - smmu.caches.iotlb.size;
    },
    reset: () => {
      for (let i = 0; i < rounds; i++)
        smmu.translator.translate(8, -1, 0, (halves[i]![2] & -4096) | 0, READ, false, UNTRANSLATED);
    },
  };
}

export const smmuv3Benchmarks: readonly Benchmark[] = [
  ...walkBenchmarks,
  { name: 'smmuv3.iotlb.hit', prepare: iotlbHit },
  { name: 'smmuv3.invalidate.va.1k', prepare: () => invalidateVa(1024) },
  { name: 'smmuv3.invalidate.va.64k', prepare: () => invalidateVa(65536) },
];
