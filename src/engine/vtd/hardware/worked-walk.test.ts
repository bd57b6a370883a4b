import { describe, expect, it } from 'vitest';
import { A, B, IN_HI, IN_LO, inputOf, outputOf, SHIFT } from '../../cache/index.ts';
import { Injector, runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { type DmaOutcome, PciDevice } from '../../pci/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { physicalFeatures, VtdUnit } from './index.ts';

const RID = 0x3b00;
const PASID = 0x1234;
const IOVA = 0x7f0012345678n;

/** The nested walk worked out by hand from the specification's layouts: entries and where they lie. */
function machine(): { memory: Memory; unit: VtdUnit; trace: Trace; dma: (write?: boolean) => DmaOutcome } {
  const memory = new Memory(2 ** 40);
  const put = (at: number, ...words: bigint[]): void => {
    for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
  };
  put(0x1000003b0, 0x100001001n, 0n);
  put(0x100001000, 0x100100e1dn, 0n, 0n, 0n);
  put(0x100100240, 0x100200001n);
  put(0x100200d00, 0x1003000c9n, 0x1800005n, 0x104567000n);
  put(0x100300000, 0x100301003n);
  put(0x100301010, 0x100304003n, 0n, 0x100302003n);
  put(0x100302110, 0x100303003n);
  put(0x100303b38, 0x204567803n, 0x204568803n, 0x204569803n, 0x20456a803n);
  put(0x100304268, 0x100305003n);
  put(0x1003055e0, 0x189abc803n);
  put(0x2045677f0, 0x104568027n);
  put(0x204568000, 0x104569027n);
  put(0x204569488, 0x10456a027n);
  put(0x20456aa28, 0x89abc067n);
  const trace = new Trace();
  const device = new PciDevice({ name: 'A', rid: RID, vrid: 8, pasidBits: 20, ats: true, pri: true });
  device.pasidEnabled = true;
  const unit = new VtdUnit(memory, physicalFeatures({}), [device], trace, new Injector(trace));
  runToEnd(unit.writeRegister('RTADDR_REG', 0x100000400n));
  runToEnd(unit.writeRegister('GCMD_REG', 0x40000000n));
  runToEnd(unit.writeRegister('GCMD_REG', 0x80000000n));
  const dma = (write = false): DmaOutcome =>
    runToEnd(unit.dma({ device, pasid: PASID, iova: IOVA, write, translated: false }));
  return { memory, unit, trace, dma };
}

const SS_ROOT = [0x100300000, 0x100301003n] as const;
const SS_HIGH = [0x100301020, 0x100302003n] as const;
const SS_TABLES = [0x100302110, 0x100303003n] as const;

const reads: readonly (readonly [string, number, bigint])[] = [
  ['Root', 0x1000003b0, 0x100001001n],
  ['Context', 0x100001000, 0x100100e1dn],
  ['PASIDDir', 0x100100240, 0x100200001n],
  ['PASID', 0x100200d00, 0x1003000c9n],
  ['S2.4 for 4', ...SS_ROOT],
  ['S2.3 for 4', ...SS_HIGH],
  ['S2.2 for 4', ...SS_TABLES],
  ['S2.1 for 4', 0x100303b38, 0x204567803n],
  ['S1.4', 0x2045677f0, 0x104568027n],
  ['S2.4 for 3', ...SS_ROOT],
  ['S2.3 for 3', ...SS_HIGH],
  ['S2.2 for 3', ...SS_TABLES],
  ['S2.1 for 3', 0x100303b40, 0x204568803n],
  ['S1.3', 0x204568000, 0x104569027n],
  ['S2.4 for 2', ...SS_ROOT],
  ['S2.3 for 2', ...SS_HIGH],
  ['S2.2 for 2', ...SS_TABLES],
  ['S2.1 for 2', 0x100303b48, 0x204569803n],
  ['S1.2', 0x204569488, 0x10456a027n],
  ['S2.4 for 1', ...SS_ROOT],
  ['S2.3 for 1', ...SS_HIGH],
  ['S2.2 for 1', ...SS_TABLES],
  ['S2.1 for 1', 0x100303b50, 0x20456a803n],
  ['S1.1', 0x20456aa28, 0x89abc067n],
  ['S2.4 out', ...SS_ROOT],
  ['S2.3 out', 0x100301010, 0x100304003n],
  ['S2.2 out', 0x100304268, 0x100305003n],
  ['S2.1 out', 0x1003055e0, 0x189abc803n],
];

function read(e: TraceEvent): [string, number, bigint][] {
  if (e.kind !== 'memory.read') return [];
  const { what, level, purpose, s1Level } = e.step;
  const name =
    what === 'S2'
      ? `S2.${level} ${purpose === 'out' ? 'out' : `for ${s1Level}`}`
      : what === 'S1'
        ? `S1.${level}`
        : what;
  return [[name, e.address, e.words[0]!]];
}

describe('9.3: full nested walk, 4 x 4 levels, nothing cached', () => {
  it('makes the twenty-eight reads in order and arrives', () => {
    const m = machine();
    const seen: TraceEvent[] = [];
    m.trace.listener = (e) => seen.push(e);
    expect(m.dma()).toMatchObject({ ok: true, pa: 0x189abc678, hit: 'walk', reads: 28 });
    expect(seen.flatMap(read)).toEqual(reads);
    expect(seen.filter((e) => e.kind === 'table.write')).toEqual([]);
  });

  it('makes as many without a listener', () => {
    expect(machine().dma()).toMatchObject({ ok: true, pa: 0x189abc678, reads: 28 });
  });

  it('caches the page under domain id and PASID, and hits it', () => {
    const { unit, dma } = machine();
    dma();
    const c = unit.caches.iotlb;
    expect(c.size).toBe(1);
    c.forEach((i) => {
      expect([c.e[i + A], c.e[i + B], c.e[i + SHIFT]]).toEqual([5, PASID, 12]);
      expect([inputOf(c, i), outputOf(c, i)]).toEqual([0x7f0012345000n, 0x189abc000n]);
      expect([c.e[i + IN_HI], c.e[i + IN_LO]]).toEqual([0x7f00, 0x12345000]);
    });
    expect(dma(true)).toMatchObject({ ok: true, pa: 0x189abc678, hit: 'IOTLB', reads: 0 });
  });

  it('sets D of the leaf before a write, which the second stage must allow', () => {
    const m = machine();
    m.memory.writeWord(0x20456aa28, 0x89abc027n);
    const seen: TraceEvent[] = [];
    m.trace.listener = (e) => seen.push(e);
    expect(m.dma(true)).toMatchObject({ ok: true, pa: 0x189abc678, reads: 28 });
    expect(m.memory.readWord(0x20456aa28)).toBe(0x89abc067n);
    expect(seen.filter((e) => e.kind === 'table.write')).toMatchObject([
      { address: 0x20456aa28, words: [0x89abc067n], text: 'hardware sets D, FS level 1' },
    ]);

    const refused = machine();
    refused.memory.writeWord(0x20456aa28, 0x89abc027n);
    refused.memory.writeWord(0x100303b50, 0x20456a801n);
    expect(refused.dma(true).fault).toMatchObject({ name: 'SFS.8' });
    expect(refused.memory.readWord(0x20456aa28)).toBe(0x89abc027n);
  });

  it('keeps and drops the entry as each invalidation says', () => {
    const left = (act: (m: ReturnType<typeof machine>) => void): number => {
      const m = machine();
      m.dma();
      act(m);
      return m.unit.caches.iotlb.size;
    };
    const { caches } = machine().unit;
    expect(caches.iotlb.size).toBe(0);
    const run = (did: number) => (m: ReturnType<typeof machine>) =>
      m.unit.caches.iotlbPages(did, 0, 0x80000000 | 0, 9, false);
    expect(left((m) => m.unit.caches.pasidIotlbPages(5, PASID, 0x7f00, 0x12340000, 4, true))).toBe(0);
    expect(left(run(5))).toBe(0);
    expect(left(run(3))).toBe(1);
    expect(left((m) => m.unit.caches.iotlbDomain(3))).toBe(1);
    expect(left((m) => m.unit.caches.pasidIotlbPages(5, PASID + 1, 0x7f00, 0x12340000, 4, true))).toBe(1);
    expect(
      left((m) => {
        m.unit.caches.contextGlobal();
        m.unit.caches.contextDevice(0, RID, 3);
        m.unit.caches.pasidGlobal();
        m.unit.caches.pasidSelective(5, PASID);
      }),
    ).toBe(1);
  });
});
