import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode } from '../../bits/index.ts';
import { Injector, type Op } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { deviceActions, runWithin, Seen } from '../../pci/fixtures/device-actions.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { contextLayout, encodeDescriptor, pasidLayout, registerMap } from '../layout/index.ts';
import { physicalFeatures, VtdUnit } from './index.ts';

/**
 * Memory, queues and registers hold anything, and devices use it: nothing throws, every operation ends, and nothing grows
 * but what the requests themselves put into the caches. IOMMUSCOPE_RUNS makes it longer.
 */
const SIZE = 0x4_0000;
/** Pauses that one operation may make: no queue in this memory holds more descriptors. */
const PAUSES = 2 * (SIZE / 16) + 10;
/** The third is in the upper half, the last has no context table. */
const DEVICES = [0x08, 0x09, 0x88, 0x108];
const QUEUE = 0x1_8000;
const REQUESTS = 0x1_a000;

const any = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
/** Pages near the start, so that tables lead to tables, with the low bits of entries and records. */
const pointer = fc
  .tuple(
    fc.nat({ max: 15 }),
    fc.constantFrom(0n, 1n, 2n, 3n, 7n, 0x27n, 0x67n, 0x83n, 0xe7n, 0x803n, 0x49n, 0x89n, 0xc9n, 0x109n, 0xe1dn),
    fc.constantFrom(0n, 0n, 0n, 1n << 52n, 1n << 62n, 1n << 63n),
  )
  .map(([p, low, high]) => (BigInt(p) << 12n) | low | high);
const word = fc.oneof(
  { weight: 2, arbitrary: any },
  { weight: 5, arbitrary: pointer },
  { weight: 1, arbitrary: fc.nat({ max: 0xffff }).map(BigInt) },
  { weight: 1, arbitrary: fc.constant(0n) },
);
/** Records and the first entries of tables are met most often. */
const place = fc.oneof(
  fc.nat({ max: SIZE / 8 - 1 }).map((n) => n * 8),
  fc.tuple(fc.nat({ max: 15 }), fc.nat({ max: 31 })).map(([p, k]) => p * 4096 + k * 8),
);
const descriptor = fc.oneof(
  fc.tuple(any, any, fc.constant(0n), fc.constant(0n)),
  fc.tuple(fc.nat({ max: 10 }), any, any).map(([t, a, b]) => [(a & 0xf_ffff_ffff_00f0n) | BigInt(t), b, 0n, 0n]),
  fc.tuple(fc.nat({ max: 10 }), any).map(([t, a]) => [(a & 0xf_001f_001f_0030n) | BigInt(t), 0n, 0n, 0n]),
  fc.constantFrom(
    encodeDescriptor('INV_WAIT', { SW: 1, IF: 1, STADDR: 0x1_f000n }),
    encodeDescriptor('IOTLB_INV', { G: 1 }),
    encodeDescriptor('DEV_TLB_INV', { SID: 0x08, S: 1, ADDR: 0x7fff_ffff_ffff_f000n }),
    encodeDescriptor('PAGE_GRP_RESP', { RID: 0x09, PRGI: 1 }),
  ),
);
const value = fc.oneof(any, pointer, fc.constantFrom(0n, 1n, 0xffn, 0x400n, 0x8400_0000n, 0xc400_0000n, 0x8000_0000n));
const names = registerMap(physicalFeatures({}).cap, physicalFeatures({}).ecap).map((r) => r.name);
const pasid = fc.constantFrom(-1, -1, 0, 1, 2, 64, 0x1234, 0xfffff);
const iova = fc.oneof(any, fc.nat({ max: 0xffff }).map(BigInt), pointer, fc.constant(0xfee0_0000n));

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), at: place, word }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('register' as const), name: fc.constantFrom(...names), value }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('post' as const), list: fc.array(descriptor, { maxLength: 6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('late' as const), words: descriptor }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('event' as const), words: fc.tuple(any, any) }) },
  ...deviceActions(DEVICES.length, pasid, iova),
  { weight: 1, arbitrary: fc.record({ do: fc.constant('recover' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reload' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('audit' as const) }) },
);

const run = <T>(op: Op<T>): T => runWithin(op, PAUSES);

/** PASIDs 0 to 3 (nested, first stage, second stage, pass-through) over identical mappings of all memory, to be damaged. */
function build(memory: Memory): void {
  const put = (at: number, words: readonly bigint[]): void => {
    for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
  };
  put(0, [0x1001n, 0xd001n]);
  const context = encode(contextLayout, { P: 1, DTE: 1, PASIDE: 1, PRE: 1, PDTS: 7, PASIDDIRPTR: 0x2000n });
  for (const at of [0x1000 + 8 * 32, 0x1000 + 9 * 32, 0xd000 + 8 * 32]) put(at, context);
  put(0x2000, [0x3001n]);
  const common = { P: 1, AW: 2, SSPTPTR: 0x8000n, FSPTPTR: 0x4000n };
  for (const [n, PGTT] of [3, 1, 2, 4].entries())
    put(0x3000 + n * 64, encode(pasidLayout, { ...common, PGTT, DID: n + 2 }));
  for (const [at, to] of [
    [0x4000, 0x5027n],
    [0x5000, 0x6027n],
    [0x6000, 0x7027n],
    [0x8000, 0x9003n],
    [0x9000, 0xa003n],
    [0xa000, 0xb003n],
  ] as const)
    put(at, [to]);
  for (let k = 0; k < SIZE / 4096; k++) {
    put(0x7000 + k * 8, [BigInt(k * 4096) | 0x67n]);
    put(0xb000 + k * 8, [BigInt(k * 4096) | 3n]);
  }
}

const start = fc.record({
  features: fc.record({
    haw: fc.constantFrom(36, 46, 52),
    NFR: fc.constantFrom(1, 3),
    ESRTPS: fc.boolean(),
    CM: fc.boolean(),
    PSI: fc.boolean(),
    MAMV: fc.constantFrom(9, 63),
    DIT: fc.boolean(),
    ERS: fc.boolean(),
    FS5LP: fc.boolean(),
    PDS: fc.boolean(),
  }),
  narrow: fc.boolean(),
  listen: fc.boolean(),
  capacity: fc.constantFrom(0, 3),
});

describe('a unit with anything in memory, queues and registers', () => {
  it('neither throws nor hangs nor grows', () => {
    const all = new Seen();
    let executed = 0;
    fc.assert(
      fc.property(start, fc.array(action, { minLength: 10, maxLength: 200 }), (s, actions) => {
        const memory = new Memory(SIZE);
        const trace = new Trace();
        const devices = DEVICES.map(
          (rid, i) => new PciDevice({ name: `d${rid}`, rid, vrid: rid, pasidBits: 20, ats: true, pri: true }, 0, i),
        );
        const features = physicalFeatures(s.features);
        const unit = new VtdUnit(memory, features, devices, trace, new Injector(trace), s.capacity);
        if (s.listen) trace.listener = () => {};
        build(memory);
        const entry = s.narrow ? 16 : 32;
        const setUp = (): void => {
          for (const [name, v] of [
            ['RTADDR_REG', 0x400n],
            ['IQA_REG', BigInt(QUEUE) | (s.narrow ? 0n : 0x800n)],
            ['FSTS_REG', 0xffn],
            ['PRS_REG', 3n],
            ['PQA_REG', BigInt(REQUESTS)],
            ['FEADDR_REG', 0xfee0_0000n],
            ['GCMD_REG', 0n],
            ['IQT_REG', 0n],
            ['GCMD_REG', 0xc400_0000n],
          ] as const)
            run(unit.writeRegister(name, v));
        };
        setUp();
        const before = all.requests;
        for (const x of actions) {
          switch (x.do) {
            case 'write':
              memory.writeWord(x.at, x.word);
              break;
            case 'register':
              // With fewer records there are fewer registers.
              if (!x.name.startsWith('FRCD_')) run(unit.writeRegister(x.name, x.value));
              break;
            case 'post': {
              let tail = Number(unit.readRegister('IQT_REG'));
              for (const d of x.list) {
                for (let i = 0; i < entry / 8; i++) memory.writeWord(QUEUE + (tail % 4096) + 8 * i, d[i]!);
                tail = ((tail % 4096) + entry) % 4096;
              }
              const earlier = trace.commands;
              run(unit.writeRegister('IQT_REG', BigInt(tail)));
              executed += trace.commands - earlier;
              const stopped = (Number(unit.readRegister('FSTS_REG')) & 0x50) !== 0;
              const on = (Number(unit.readRegister('GSTS_REG')) & 0x0400_0000) !== 0;
              expect(stopped || !on || unit.readRegister('IQH_REG') === unit.readRegister('IQT_REG')).toBe(true);
              break;
            }
            case 'late':
              unit.executeLate(x.words);
              unit.deliverAtc(x.words);
              break;
            case 'event':
              unit.deliverEvent(x.words);
              break;
            case 'recover':
              setUp();
              break;
            case 'reload': {
              const state = unit.save();
              unit.load(structuredClone(state));
              expect(unit.save()).toEqual(state);
              break;
            }
            case 'audit':
              for (const c of unit.caches.translation()) c.forEach((i) => void unit.audit.verdict(c, i));
              for (const d of devices) d.atc.forEach((i) => void unit.audit.atc(d, i));
              for (const e of unit.caches.context.values()) unit.audit.config('Context', e);
              for (const of of unit.caches.pasid.values()) for (const e of of.values()) unit.audit.config('PASID', e);
              break;
            default:
              all.act(x, unit, devices, run, (pa) => (pa >= 0 && pa < SIZE) || pa >>> 20 === 0xfee);
          }
        }
        for (const r of registerMap(features.cap, features.ecap))
          expect(unit.readRegister(r.name)).toBeLessThan(1n << BigInt(r.width));
        const requests = all.requests - before;
        // A request fills one entry of the IOTLB, and at most a walk step for each of its reads.
        expect(unit.caches.iotlb.size).toBeLessThanOrEqual(s.capacity || 2 * requests);
        for (const c of unit.caches.translation()) expect(c.size).toBeLessThanOrEqual(64 * 2 * requests);
      }),
      { numRuns: Number(process.env['IOMMUSCOPE_RUNS'] ?? 200) },
    );
    // The runs were not all turned away at the door.
    expect(all.arrived).toBeGreaterThan(20);
    expect(all.faults.size).toBeGreaterThan(5);
    expect(executed).toBeGreaterThan(20);
    expect(all.recorded).toBeGreaterThan(20);
  });
});
