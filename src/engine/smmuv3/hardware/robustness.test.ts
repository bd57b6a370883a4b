import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode } from '../../bits/index.ts';
import { Injector, type Op } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { deviceActions, runWithin, Seen } from '../../pci/fixtures/device-actions.ts';
import { PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { cdLayout, encodeCommand, opcodes, registers, steLayout } from '../layout/index.ts';
import { physicalFeatures, Smmu } from './index.ts';

/**
 * Memory, queues and registers hold anything, and devices use it: nothing throws, every operation ends, and nothing grows
 * but what the requests themselves put into the caches. IOMMUSCOPE_RUNS makes it longer.
 */
const SIZE = 0x4_0000;
/** Pauses that one operation may make: no queue in this memory holds more commands. */
const PAUSES = 2 * (SIZE / 16) + 10;
/** The last is beyond the stream table. */
const DEVICES = [0, 1, 5, 9];

const any = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
/** Pages near the start, so that tables lead to tables, with the low bits of descriptors and records. */
const pointer = fc
  .tuple(
    fc.nat({ max: 15 }),
    fc.constantFrom(0n, 1n, 3n, 7n, 9n, 0xbn, 0xfn, 0x41n, 0x7fdn, 0x7ffn, 0xf45n, 0xf47n),
    fc.constantFrom(0n, 0n, 0n, 1n << 52n, 1n << 54n, 1n << 61n, 0xfn << 59n, 1n << 63n),
  )
  .map(([p, low, high]) => (BigInt(p) << 12n) | low | high);
/** Words 0 to 3 of working records, so that much gets through. */
const record = fc.constantFrom(
  0x0000_1000_0000_000fn,
  0x0800_0000_0000_200fn,
  0x0000_0000_1000_00d6n,
  0x044d_3590_0000_0001n,
  0x0001_e204_c000_3510n,
  0x0001_e205_8000_3510n,
);
const word = fc.oneof(
  { weight: 2, arbitrary: any },
  { weight: 5, arbitrary: pointer },
  { weight: 2, arbitrary: record },
  { weight: 1, arbitrary: fc.constant(0n) },
);
const address = fc.nat({ max: SIZE / 8 - 1 }).map((n) => n * 8);
/** Records and the first entries of tables are met most often. */
const place = fc.oneof(
  address,
  fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: 15 })).map(([p, k]) => p * 4096 + k * 8),
);
const command = fc.oneof(
  fc.tuple(any, any).map(([a, b]) => [a, b]),
  fc.tuple(fc.constantFrom(...Object.values(opcodes)), any, any).map(([op, a, b]) => [(a & ~0x7ffn) | BigInt(op), b]),
  fc.constantFrom(...['SYNC', 'TLBI_NSNH_ALL'].map((name) => encodeCommand(name, {}))),
);
const value = fc.oneof(any, pointer, fc.constantFrom(0n, 1n, 5n, 0xdn, 0x1dn, 0x8000_0000n, 0x10210n, 0x1000_0003n));

const pasid = fc.constantFrom(-1, -1, 0, 1, 64, 1023, 1024, 0xfffff);
const iova = fc.oneof(any, fc.nat({ max: 0xffff }).map(BigInt), pointer);

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), at: place, word }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('register' as const),
      name: fc.constantFrom(...registers.map((r) => r.name)),
      value,
    }),
  },
  ...deviceActions(DEVICES.length, pasid, iova),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('command' as const), words: command }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('event' as const), words: fc.tuple(any, any, any, any) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reload' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('audit' as const) }) },
);

const run = <T>(op: Op<T>): T => runWithin(op, PAUSES);

/** Three streams (nested, stage 1, stage 2) over identical mappings of all memory, to be damaged. */
function build(memory: Memory, stallModel: number): void {
  const put = (at: number, words: readonly bigint[]): void => {
    for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
  };
  const s2 = { S2VMID: 1, S2T0SZ: 34, S2SL0: 0, S2PS: 5, S2AA64: 1, S2PTW: 1, S2R: 1, S2TTB: 0x8000n };
  const s1 = { S1ContextPtr: 0x1000n, S1CDMax: 1, S1DSS: 2 };
  put(0, encode(steLayout, { V: 1, Config: 7, EATS: 1, ...s1, ...s2 }));
  put(64, encode(steLayout, { V: 1, Config: 5, EATS: 1, ...s1 }));
  const stall = stallModel === 1 ? 0 : 1;
  put(5 * 64, encode(steLayout, { V: 1, Config: 6, EATS: 1 - stall, ...s2, S2S: stall }));
  const cd = { T0SZ: 25, EPD1: 1, V: 1, IPS: 5, AA64: 1, R: 1, A: 1, ASID: 1, TTB0: 0x2000n };
  put(0x1000, encode(cdLayout, cd));
  put(0x1040, encode(cdLayout, { ...cd, ASID: 2, S: stall }));
  put(0x2000, [0x3003n]);
  put(0x3000, [0x4003n]);
  put(0x8000, [0x9003n]);
  for (let k = 0; k < SIZE / 4096; k++) {
    put(0x4000 + k * 8, [BigInt(k * 4096) | 0xf47n]);
    put(0x9000 + k * 8, [BigInt(k * 4096) | 0x7ffn]);
  }
}

const start = fc.record({
  features: fc.record({
    OAS: fc.constantFrom(32, 44, 48),
    RIL: fc.boolean(),
    HYP: fc.boolean(),
    MSI: fc.boolean(),
    ASID16: fc.boolean(),
    VMID16: fc.boolean(),
    S2P: fc.boolean(),
    STALL_MODEL: fc.constantFrom(0, 0, 1, 2),
    TERM_MODEL: fc.boolean(),
    PRI: fc.boolean(),
    SSIDSIZE: fc.constantFrom(0, 8, 20),
  }),
  listen: fc.boolean(),
  capacity: fc.constantFrom(0, 3),
});

describe('the SMMU with anything in memory, queues and registers', () => {
  it('neither throws nor hangs nor grows', () => {
    const all = new Seen();
    fc.assert(
      fc.property(start, fc.array(action, { minLength: 10, maxLength: 200 }), (s, actions) => {
        const memory = new Memory(SIZE);
        const trace = new Trace();
        const devices = DEVICES.map(
          (rid) =>
            new PciDevice({ name: `d${rid}`, rid, vrid: rid, pasidBits: 20, ats: true, pri: true, stall: rid < 5 }),
        );
        const features = physicalFeatures(s.features);
        const smmu = new Smmu(memory, features, devices, trace, new Injector(trace), s.capacity);
        if (s.listen) trace.listener = () => {};
        build(memory, features.stallModel);
        for (const [name, v] of [
          ['STRTAB_BASE_CFG', 3n],
          ['CMDQ_BASE', 0x1_8002n],
          ['EVENTQ_BASE', 0x1_9002n],
          ['CR2', 2n],
          ['IRQ_CTRL', 5n],
          ['CR0', 0x1dn],
        ] as const)
          run(smmu.writeRegister(name, v));
        const before = all.requests;
        for (const x of actions) {
          switch (x.do) {
            case 'write':
              memory.writeWord(x.at, x.word);
              break;
            case 'register':
              run(smmu.writeRegister(x.name, x.value));
              break;
            case 'command':
              smmu.executeLate(x.words);
              if (x.words[0]! & 1n) smmu.deliverAtc(x.words);
              break;
            case 'event':
              smmu.deliverEvent(x.words);
              break;
            case 'reload': {
              const state = smmu.save();
              smmu.load(structuredClone(state));
              expect(smmu.save()).toEqual(state);
              break;
            }
            case 'audit':
              for (const c of smmu.caches.translation()) c.forEach((i) => void smmu.audit.verdict(c, i));
              for (const d of devices) d.atc.forEach((i) => void smmu.audit.atc(d, i));
              for (const e of smmu.caches.ste.values()) smmu.audit.config('STE', e);
              for (const of of smmu.caches.cd.values()) for (const e of of.values()) smmu.audit.config('CD', e);
              for (const e of smmu.caches.l1std.values()) smmu.audit.config('L1STD', e);
              for (const e of smmu.caches.l1cd.values()) smmu.audit.config('L1CD', e);
              break;
            default:
              all.act(x, smmu, devices, run, (pa) => pa >= 0 && pa < SIZE);
          }
        }
        const requests = all.requests - before;
        // Everything that waits can be ended.
        expect(smmu.stalled().length).toBeLessThanOrEqual(requests);
        smmu.executeLate(encodeCommand('STALL_TERM', { SID: 0 }));
        run(smmu.writeRegister('CR0', 0n));
        expect(smmu.stalled()).toEqual([]);
        for (const r of registers) expect(smmu.readRegister(r.name)).toBeLessThan(1n << BigInt(r.width));
        // A request fills one entry of the IOTLB, and at most a walk step or leaf for each of its reads.
        const limit = s.capacity || 2 * requests;
        expect(smmu.caches.iotlb.size).toBeLessThanOrEqual(limit);
        for (const c of smmu.caches.translation()) expect(c.size).toBeLessThanOrEqual(64 * 2 * requests);
      }),
      { numRuns: Number(process.env['IOMMUSCOPE_RUNS'] ?? 300) },
    );
    // The runs were not all turned away at the door.
    expect(all.arrived).toBeGreaterThan(20);
    expect(all.faults.size).toBeGreaterThan(5);
    expect(all.stalled).toBeGreaterThan(5);
    expect(all.sent).toBeGreaterThan(20);
  });
});
