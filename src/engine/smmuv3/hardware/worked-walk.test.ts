import { describe, expect, it } from 'vitest';
import { bytesToWords } from '../../bits/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { physicalFeatures, Smmu } from './index.ts';

/** The complete cold walk worked out by hand from the specification's layouts: every read, in order. */
function machine(): { memory: Memory; smmu: Smmu; trace: Trace; device: PciDevice } {
  const memory = new Memory(2 ** 48);
  const put = (at: number, ...words: bigint[]): void => {
    for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
  };
  put(0x880010000008, 0x880010100009n);
  put(0x880010100200, 0x000000004810000fn, 0x00001000000800d6n, 0x044d359000000001n, 0x0000880040000000n);
  put(0x880040000000, 0x880040001003n);
  put(0x880040001008, 0x880040002003n);
  put(0x880040002200, 0x8800450007fdn);
  put(0x880045100000, 0x0001e204c0003510n, 0x0000000048200000n, 0n, 0x00000000f404ff44n);
  put(0x880040002208, 0x880040003003n);
  put(0x880040003000, 0x8800460007ffn, 0x8800460017ffn, 0x8800460027ffn, 0x8800460037ffn);
  put(0x880040003800, 0x8800473007ffn);
  put(0x880046000000, 0x48201003n);
  put(0x880046001018, 0x48202003n);
  put(0x880046002ff8, 0x48203003n);
  put(0x880046003ff8, 0x48300f47n);
  const trace = new Trace();
  const device = new PciDevice({ name: 'nic0', rid: 0x108, vrid: 8, pasidBits: 0, ats: true, pri: false });
  const smmu = new Smmu(memory, physicalFeatures({}), [device], trace, new Injector(trace));
  for (const [reg, v] of [
    ['STRTAB_BASE', 0x880010000000n],
    ['STRTAB_BASE_CFG', 0x10210n],
    ['EVENTQ_BASE', 0x880020000005n],
    ['CR0', 5n],
  ] as const)
    runToEnd(smmu.writeRegister(reg, v));
  return { memory, smmu, trace, device };
}

const order = [
  0x880010000008, 0x880010100200, 0x880040000000, 0x880040001008, 0x880040002200, 0x880045100000, 0x880040000000,
  0x880040001008, 0x880040002208, 0x880040003000, 0x880046000000, 0x880040000000, 0x880040001008, 0x880040002208,
  0x880040003008, 0x880046001018, 0x880040000000, 0x880040001008, 0x880040002208, 0x880040003010, 0x880046002ff8,
  0x880040000000, 0x880040001008, 0x880040002208, 0x880040003018, 0x880046003ff8, 0x880040000000, 0x880040001008,
  0x880040002208, 0x880040003800,
];

describe('cold nested walk', () => {
  it('makes the thirty reads in order and arrives', () => {
    const { smmu, trace, device } = machine();
    const seen: TraceEvent[] = [];
    trace.listener = (e) => seen.push(e);
    const r = runToEnd(smmu.dma({ device, pasid: -1, iova: 0xfffff040n, write: false, translated: false }));
    expect(r).toMatchObject({ ok: true, pa: 0x880047300040, hit: 'walk' });
    const reads = seen.filter((e) => e.kind === 'memory.read').map((e) => (e.kind === 'memory.read' ? e.address : 0));
    expect(reads).toEqual(order);
    expect(r.reads).toBe(30);
  });

  it('answers the second access from the IOTLB without a read', () => {
    const { smmu, device } = machine();
    const dma = () => runToEnd(smmu.dma({ device, pasid: -1, iova: 0xfffff123n, write: true, translated: false }));
    dma();
    expect(dma()).toMatchObject({ ok: true, pa: 0x880047300123, hit: 'IOTLB', reads: 0 });
  });

  it('reports a stage-2 fault on the level-3 stage-1 table as event V2', () => {
    const { smmu, memory, device } = machine();
    memory.writeWord(0x880040003018, 0n);
    const r = runToEnd(smmu.dma({ device, pasid: -1, iova: 0xfffff040n, write: false, translated: false }));
    expect(r.fault?.words).toEqual([0x0000010800000010n, 0x0000018800000000n, 0xfffff040n, 0x48203000n]);
    expect(bytesToWords(memory.readBytes(0x880020000000, 32))).toEqual(r.fault?.words);
  });

  it('reports an unmapped page as event V1', () => {
    const { smmu, memory, device } = machine();
    memory.writeWord(0x880046003ff8, 0n);
    const r = runToEnd(smmu.dma({ device, pasid: -1, iova: 0xfffff040n, write: true, translated: false }));
    expect(r.fault?.words).toEqual([0x0000010800000010n, 0x0000020000000000n, 0xfffff040n, 0n]);
  });

  it('reports a read-only final page as event V3', () => {
    const { smmu, memory, device } = machine();
    memory.writeWord(0x880040003800, 0x88004730077fn);
    const r = runToEnd(smmu.dma({ device, pasid: -1, iova: 0xfffff040n, write: true, translated: false }));
    expect(r.fault?.words).toEqual([0x0000010800000013n, 0x0000028000000000n, 0xfffff040n, 0x48300000n]);
  });

  it('reports V = 0 as event V4', () => {
    const { smmu, memory, device } = machine();
    memory.writeWord(0x880010100200, 0n);
    const r = runToEnd(smmu.dma({ device, pasid: -1, iova: 0xfffff040n, write: true, translated: false }));
    expect(r.fault?.words).toEqual([0x0000010800000004n, 0n, 0n, 0n]);
  });
});
