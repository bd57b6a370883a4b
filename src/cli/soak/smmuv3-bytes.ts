import { runToEnd } from '../../engine/machine/index.ts';
import { Injector } from '../../engine/machine/inject.ts';
import { Memory } from '../../engine/memory/index.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { physicalFeatures, Smmu } from '../../engine/smmuv3/hardware/index.ts';
import { encodeCommand, opcodes, registers } from '../../engine/smmuv3/layout/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import type { ByteMachine } from './bytes.ts';
import type { Random } from './random.ts';

/** Words that make anything of tables, queues and registers under an SMMU that devices use all the while. */

const SIZE = 0x10_0000;

/** Three streams (nested, stage 1, stage 2) over identity maps of all memory. */
function build(memory: Memory): void {
  const put = (at: number, words: readonly bigint[]): void => {
    for (const [i, w] of words.entries()) memory.writeWord(at + 8 * i, w);
  };
  const s2 = [0x0444_1022_0000_0001n | (1n << 51n) | (5n << 48n), 0x8000n];
  put(0, [0x0800_0000_0000_100fn, 0x1000_0002n, ...s2]);
  put(64, [0x0800_0000_0000_100bn, 0x1000_0002n, 0n, 0n]);
  put(5 * 64, [0xdn, 0x1000_0000n, ...s2]);
  const cd = 0x0001_6205_c000_0019n;
  put(0x1000, [cd, 0x2000n]);
  put(0x1040, [cd + (1n << 48n), 0x2000n]);
  put(0x2000, [0x3003n]);
  put(0x3000, [0x4003n]);
  put(0x8000, [0x9003n]);
  for (let k = 0; k < SIZE / 4096; k++) {
    put(0x4000 + k * 8, [BigInt(k * 4096) | 0xf47n]);
    put(0x9000 + k * 8, [BigInt(k * 4096) | 0x7ffn]);
  }
}

export function smmuv3Machine(r: Random): ByteMachine {
  const memory = new Memory(SIZE);
  const trace = new Trace();
  if (r.once(2)) trace.listener = () => {};
  const devices = [0, 1, 5, 9].map(
    (rid) => new PciDevice({ name: `d${rid}`, rid, vrid: rid, pasidBits: 20, ats: true, pri: true, stall: true }),
  );
  const features = physicalFeatures({
    OAS: r.pick([32, 44, 48, 52]),
    VAX: r.once(2),
    HTTU: r.below(3),
    STALL_MODEL: r.below(3),
    TERM_MODEL: r.once(2),
    RIL: r.once(2),
    ASID16: r.once(2),
    VMID16: r.once(2),
    STT: r.once(4),
    FWB: r.once(4),
  });
  const smmu = new Smmu(memory, features, devices, trace, new Injector(trace), r.pick([0, 0, 3]));
  build(memory);
  for (const [name, value] of [
    ['STRTAB_BASE_CFG', 3n],
    ['CMDQ_BASE', 0x1_8002n],
    ['EVENTQ_BASE', 0x1_9002n],
    ['PRIQ_BASE', 0x1_a002n],
    ['CR2', 2n],
    ['IRQ_CTRL', 7n],
    ['CR0', 0x1fn],
  ] as const)
    runToEnd(smmu.writeRegister(name, value));
  return {
    memory,
    restore: () => {
      build(memory);
      for (const [name, value] of [
        ['GERRORN', smmu.readRegister('GERROR')],
        ['CR0', 0n],
        ['STRTAB_BASE', 0n],
        ['STRTAB_BASE_CFG', 3n],
        ['CMDQ_BASE', 0x1_8002n],
        ['EVENTQ_BASE', 0x1_9002n],
        ['CMDQ_PROD', 0n],
        ['CMDQ_CONS', 0n],
        ['CR0', 0x1fn],
      ] as const)
        runToEnd(smmu.writeRegister(name, value));
      smmu.executeLate(encodeCommand('CFGI_ALL', {}));
      smmu.executeLate(encodeCommand('TLBI_NSNH_ALL', {}));
    },
    register: () => void runToEnd(smmu.writeRegister(r.pick(registers).name, r.word())),
    command: () => {
      // Any bits behind a real opcode, in the queue and announced.
      const base = Number(smmu.readRegister('CMDQ_BASE') & 0xf_ffe0n);
      const prod = smmu.readRegister('CMDQ_PROD');
      const at = base + 16 * Number(prod & 3n);
      if (!memory.contains(at, 16)) return;
      memory.writeWord(at, (r.word() & ~0xffn) | BigInt(r.pick(Object.values(opcodes))));
      memory.writeWord(at + 8, r.word());
      runToEnd(smmu.writeRegister('CMDQ_PROD', (prod + 1n) & 7n));
    },
    wait: () => smmu.executeLate(encodeCommand('SYNC', {})),
    page: () => r.pick([0, 0, 1, 1, 2, 3, 4, 8, 9, r.below(SIZE / 4096)]),
    use: () => {
      const device = r.pick(devices);
      const pasid = r.pick([-1, -1, 0, 1, 64]);
      const iova = r.once(4) ? r.u64() : BigInt(r.below(SIZE));
      if (r.once(12)) device.atsEnabled = !device.atsEnabled;
      if (r.once(8)) return runToEnd(smmu.ats(device, pasid, iova, r.once(2))).ok;
      const how = { write: r.once(2), exec: r.once(4), priv: r.once(2), translated: r.once(3) };
      return runToEnd(smmu.dma({ device, pasid, iova, ...how })).ok;
    },
  };
}
