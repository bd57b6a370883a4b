import { runToEnd } from '../../engine/machine/index.ts';
import { Injector } from '../../engine/machine/inject.ts';
import { Memory } from '../../engine/memory/index.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import { physicalFeatures, VtdUnit } from '../../engine/vtd/hardware/index.ts';
import { descriptorTypes, encodeDescriptor, registers } from '../../engine/vtd/layout/index.ts';
import type { ByteMachine } from './bytes.ts';
import type { Random } from './random.ts';

/** Words that make anything of tables, queues and registers under a VT-d unit that devices use all the while. */

const SIZE = 0x10_0000;
const QUEUE = 0x1_8000;
const REQUESTS = 0x1_a000;
/** Slots of the smallest queue of 256-bit descriptors. */
const SLOTS = 128n;

/** RIDs and the PASIDs that have an entry: nested, first stage, second stage, pass-through. */
const RIDS = [0x8, 0x10, 0x90, 0x108];
const PASIDS = [-1, -1, 0, 1, 2, 3, 64];

/** Identity maps of all memory in both stages, behind every kind of entry. */
function build(memory: Memory): void {
  const put = (at: number, words: readonly bigint[]): void => {
    for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
  };
  put(0x0, [0x1001n, 0x2001n]);
  for (const at of [0x1100, 0x1200, 0x2200]) put(at, [0x301dn, 0n, 0n, 0n]);
  put(0x3000, [0x4001n]);
  // AW 2; DID 5, PWSNP; SRE.
  const types = [3n, 1n, 2n, 4n].map((pgtt) => [0x8009n | (pgtt << 6n), 0x80_0005n + pgtt, 0x6001n]);
  for (const [n, words] of types.entries()) put(0x4000 + 64 * n, [...words, 0n, 0n, 0n, 0n, 0n]);
  put(0x6000, [0x7027n]);
  put(0x7000, [0xa027n]);
  put(0xa000, [0xb027n]);
  put(0x8000, [0x9003n]);
  put(0x9000, [0xc003n]);
  put(0xc000, [0xd003n]);
  for (let k = 0; k < SIZE / 4096; k++) {
    put(0xb000 + k * 8, [BigInt(k * 4096) | 0x27n]);
    put(0xd000 + k * 8, [BigInt(k * 4096) | 0x3n]);
  }
}

const setUp: readonly (readonly [string, bigint])[] = [
  ['GCMD_REG', 0n],
  ['RTADDR_REG', 0x400n],
  ['GCMD_REG', 0x4000_0000n],
  ['IQA_REG', BigInt(QUEUE) | 0x800n],
  ['IQT_REG', 0n],
  ['PQA_REG', BigInt(REQUESTS)],
  ['PQH_REG', 0n],
  ['PRS_REG', 3n],
  ['FSTS_REG', 0xffn],
  ['FRCD_REG0_HI', 1n << 63n],
  ['FEADDR_REG', 0xfee0_0000n],
  ['FECTL_REG', 0n],
  ['GCMD_REG', 0x8400_0000n],
];

export function vtdMachine(r: Random): ByteMachine {
  const memory = new Memory(SIZE);
  const trace = new Trace();
  if (r.once(2)) trace.listener = () => {};
  const devices = RIDS.map(
    (rid) => new PciDevice({ name: `d${rid}`, rid, vrid: rid, pasidBits: 20, ats: true, pri: true }),
  );
  for (const d of devices) d.pasidEnabled = true;
  const features = physicalFeatures({
    SAGAW: r.pick([14, 14, 4, 2]),
    MGAW: r.pick([57, 48, 39]),
    haw: r.pick([36, 46, 52]),
    CM: r.once(3),
    SSLPS: r.below(4),
    NFR: r.pick([1, 1, 4, 40]),
    ERS: r.once(2),
    RPRIVS: r.once(2),
    ADMS: r.once(2),
    PSI: !r.once(4),
    SSADS: !r.once(4),
    SC: !r.once(4),
  });
  const unit = new VtdUnit(memory, features, devices, trace, new Injector(trace), r.pick([0, 0, 3]));
  const restore = (): void => {
    build(memory);
    for (const [name, value] of setUp) runToEnd(unit.writeRegister(name, value));
    unit.executeLate(encodeDescriptor('CC_INV', { G: 1 }));
    unit.executeLate(encodeDescriptor('PC_INV', { G: 3 }));
    unit.executeLate(encodeDescriptor('IOTLB_INV', { G: 1 }));
  };
  restore();
  return {
    memory,
    restore,
    register: () => void runToEnd(unit.writeRegister(r.pick(registers).name, r.word())),
    command: () => {
      const base = Number(unit.readRegister('IQA_REG') & 0xf_f000n);
      const tail = (unit.readRegister('IQT_REG') >> 5n) % SLOTS;
      const at = base + 32 * Number(tail);
      if (!memory.contains(at, 32)) return;
      memory.writeWord(at, (r.word() & ~0xe0fn) | BigInt(r.pick(Object.values(descriptorTypes))));
      memory.writeWord(at + 8, r.word());
      for (const more of [16, 24]) memory.writeWord(at + more, r.once(20) ? r.word() : 0n);
      runToEnd(unit.writeRegister('IQT_REG', ((tail + 1n) % SLOTS) << 5n));
    },
    wait: () => unit.executeLate(encodeDescriptor('INV_WAIT', { SW: 1, STADDR: 0x1_f000n })),
    page: () => r.pick([0, 1, 2, 3, 4, 4, 6, 8, 11, 13, r.below(SIZE / 4096)]),
    use: () => {
      const device = r.pick(devices);
      const pasid = r.pick(PASIDS);
      const iova = r.once(4) ? r.u64() : BigInt(r.below(SIZE));
      if (r.once(12)) device.atsEnabled = !device.atsEnabled;
      if (r.once(8)) return runToEnd(unit.ats(device, pasid, iova, r.once(2))).ok;
      if (r.once(16)) {
        const access = { read: r.once(2), write: r.once(2), exec: false, priv: false };
        return runToEnd(unit.pri(device, pasid, iova, access, r.below(512), r.once(2))).recorded;
      }
      const how = { write: r.once(2), exec: r.once(4), priv: r.once(2), translated: r.once(3) };
      return runToEnd(unit.dma({ device, pasid, iova, ...how })).ok;
    },
  };
}
