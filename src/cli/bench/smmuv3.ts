import { Injector, runToEnd } from '../../engine/machine/index.ts';
import { Memory } from '../../engine/memory/index.ts';
import { OK, READ, type StageConfig, stageConfig, Vmsav8Walker, WRITE } from '../../engine/pagetable/vmsav8.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { DONE, physicalFeatures, Smmu, UNTRANSLATED } from '../../engine/smmuv3/hardware/index.ts';
import { encodeCommand } from '../../engine/smmuv3/layout/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import type { Benchmark } from '../bench.ts';
import { granuleBenchmarks } from './granules.ts';

const PAGES = 4096;
const IOVA = 0x1000_0000;

/** Nested tables of 4 KiB pages, both stages four levels deep, made with the plainest code. */
class Tables {
  readonly memory = new Memory(2 ** 32);
  private next = 0x1000;
  private nextIpa = 0x4000_0000;
  readonly s2 = this.page();
  readonly s1 = this.ipaPage();
  private readonly backing = new Map<number, number>();

  private page(): number {
    this.next += 4096;
    return this.next - 4096;
  }

  ipaPage(): number {
    const ipa = this.nextIpa;
    this.nextIpa += 4096;
    const pa = this.page();
    this.put(
      this.s2,
      ipa,
      BigInt(pa) | 0x7ffn,
      (x) => x,
      () => this.page(),
    );
    (this.backing ?? new Map()).set(ipa, pa);
    return ipa;
  }

  private put(root: number, input: number, leaf: bigint, pa: (table: number) => number, alloc: () => number): void {
    let table = root;
    for (let level = 0; level < 3; level++) {
      const at = pa(table) + (Math.floor(input / 2 ** (39 - 9 * level)) % 512) * 8;
      if (this.memory.readWord(at) === 0n) this.memory.writeWord(at, BigInt(alloc()) | 3n);
      table = Number(this.memory.readWord(at) & 0xfffffffff000n);
    }
    this.memory.writeWord(pa(table) + (Math.floor(input / 4096) % 512) * 8, leaf);
  }

  map(iova: number): void {
    const ipa = this.ipaPage();
    this.put(
      this.s1,
      iova,
      BigInt(ipa) | 0xf47n,
      (t) => this.paOf(t),
      () => this.ipaPage(),
    );
  }

  paOf(ipa: number): number {
    let t = this.s2;
    for (let level = 0; level < 4; level++)
      t = Number(this.memory.readWord(t + (Math.floor(ipa / 2 ** (39 - 9 * level)) % 512) * 8) & 0xfffffffff000n);
    return t;
  }
}

/** Page numbers in a scattered order that visits each once. */
const scattered = (i: number): number => Math.imul(i, 2654435761) & (PAGES - 1);

const stage = (base: number): StageConfig =>
  stageConfig({
    baseHi: 0,
    baseLo: base,
    granule: 12,
    startLevel: 0,
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

function coldWalk(): ReturnType<Benchmark['prepare']> {
  const t = new Tables();
  for (let i = 0; i < PAGES; i++) t.map(IOVA + i * 4096);
  const w = new Vmsav8Walker(t.memory);
  const s1 = stage(t.s1);
  const s2 = stage(t.s2);
  w.reads = 0;
  if (w.stage1(s1, s2, 0, IOVA, READ, false) !== OK || w.reads !== 24)
    throw new Error(`expected 24 reads, made ${w.reads}`);
  return {
    n: PAGES,
    run: () => {
      let sum = 0;
      for (let i = 0; i < PAGES; i++) {
        if (w.stage1(s1, s2, 0, IOVA + scattered(i) * 4096, READ | WRITE, false) !== OK) throw new Error('walk failed');
        sum += w.outLo;
      }
      return sum;
    },
  };
}

/** An SMMU in front of the tables, with STE and CD in place. */
function smmuOn(t: Tables): { smmu: Smmu; device: PciDevice } {
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
  const tables = new Tables();
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
  const tables = new Tables();
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
  { name: 'smmuv3.walk.nested.cold', prepare: coldWalk },
  ...granuleBenchmarks,
  { name: 'smmuv3.iotlb.hit', prepare: iotlbHit },
  { name: 'smmuv3.invalidate.va.1k', prepare: () => invalidateVa(1024) },
  { name: 'smmuv3.invalidate.va.64k', prepare: () => invalidateVa(65536) },
];
