import { runToEnd } from '../../engine/machine/index.ts';
import { Injector } from '../../engine/machine/inject.ts';
import { Memory } from '../../engine/memory/index.ts';
import { PciDevice } from '../../engine/pci/index.ts';
import { physicalFeatures, Smmu } from '../../engine/smmuv3/hardware/index.ts';
import { encodeCommand, opcodes, registers } from '../../engine/smmuv3/layout/index.ts';
import { Trace } from '../../engine/trace/index.ts';
import type { Random } from './random.ts';

/** Words that make anything of tables, queues and registers under an SMMU that devices use all the while. */

const SIZE = 0x10_0000;
const EPISODE = 20_000;

interface Machine {
  readonly memory: Memory;
  readonly smmu: Smmu;
  readonly devices: readonly PciDevice[];
}

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

function machine(r: Random): Machine {
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
  return { memory, smmu, devices };
}

/** One word somewhere. */
function scribble(r: Random, m: Machine): void {
  const { memory, smmu } = m;
  switch (r.below(8)) {
    case 0: {
      const { name } = r.pick(registers);
      runToEnd(smmu.writeRegister(name, r.word()));
      return;
    }
    case 1: {
      // A command: any bits behind a real opcode, in the queue and announced.
      const base = Number(smmu.readRegister('CMDQ_BASE') & 0xf_ffe0n);
      const prod = smmu.readRegister('CMDQ_PROD');
      const at = base + 16 * Number(prod & 3n);
      if (!memory.contains(at, 16)) return;
      const op = BigInt(r.pick(Object.values(opcodes)));
      memory.writeWord(at, (r.word() & ~0xffn) | op);
      memory.writeWord(at + 8, r.word());
      runToEnd(smmu.writeRegister('CMDQ_PROD', (prod + 1n) & 7n));
      return;
    }
    case 2: {
      const words = encodeCommand('SYNC', {});
      smmu.executeLate(words);
      return;
    }
    default: {
      const page = r.pick([0, 0, 1, 1, 2, 3, 4, 8, 9, r.below(SIZE / 4096)]);
      const at = page * 4096 + 8 * r.below(r.once(3) ? 512 : 16);
      memory.writeWord(at, r.once(3) ? memory.readWord(at) ^ (1n << BigInt(r.below(64))) : r.word());
    }
  }
}

function use(r: Random, m: Machine): boolean {
  const device = r.pick(m.devices);
  const pasid = r.pick([-1, -1, 0, 1, 64]);
  const iova = r.once(4) ? r.u64() : BigInt(r.below(SIZE));
  if (r.once(12)) device.atsEnabled = !device.atsEnabled;
  if (r.once(8)) return runToEnd(m.smmu.ats(device, pasid, iova, r.once(2))).ok;
  const how = { write: r.once(2), exec: r.once(4), priv: r.once(2), translated: r.once(3) };
  return runToEnd(m.smmu.dma({ device, pasid, iova, ...how })).ok;
}

/** Writes `n` words, each followed by an access. @returns how many accesses arrived */
export function soakBytes(r: Random, n: number, progress: (done: number) => void): number {
  let arrived = 0;
  let m = machine(r);
  for (let i = 0; i < n; i++) {
    if (i % EPISODE === EPISODE - 1) m = machine(r);
    else if (r.once(200)) {
      // Otherwise all that is left after a while is wreckage.
      build(m.memory);
      for (const [name, value] of [
        ['GERRORN', m.smmu.readRegister('GERROR')],
        ['CR0', 0n],
        ['STRTAB_BASE', 0n],
        ['STRTAB_BASE_CFG', 3n],
        ['CMDQ_BASE', 0x1_8002n],
        ['EVENTQ_BASE', 0x1_9002n],
        ['CMDQ_PROD', 0n],
        ['CMDQ_CONS', 0n],
        ['CR0', 0x1fn],
      ] as const)
        runToEnd(m.smmu.writeRegister(name, value));
      m.smmu.executeLate(encodeCommand('CFGI_ALL', {}));
      m.smmu.executeLate(encodeCommand('TLBI_NSNH_ALL', {}));
    }
    scribble(r, m);
    if (use(r, m)) arrived++;
    progress(i + 1);
  }
  return arrived;
}
