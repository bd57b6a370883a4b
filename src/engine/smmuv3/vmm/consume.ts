import { type Op, pause } from '../../machine/index.ts';
import { commandName, commandText, opcodes } from '../layout/index.ts';
import { installRange, installSte } from './install.ts';
import { CR0, GERROR, IRQ, ringOf } from './registers.ts';
import { ioctl, outputOf, report, type UnitContext, type VmmDevice } from './state.ts';

const ENTRY = 16;
const IDR0_ATS = 1n << 10n;
const IDR0_S2P = 1n;
const SSEC = 1n << 10n;
/** IOMMU_VIOMMU_INVALIDATE_DATA_ARM_SMMUV3 */
const INVALIDATE_ARM_SMMUV3 = 1;
/** CMDQ_CONS.ERR. */
const ILL = 1;
const ABT = 2;

/** Commands that may go to the host (arm-smmuv3.md 8.4). */
const forwardable = new Set(
  [
    'CFGI_CD',
    'CFGI_CD_ALL',
    'TLBI_NH_ALL',
    'TLBI_NH_ASID',
    'TLBI_NH_VA',
    'TLBI_NH_VAA',
    'TLBI_NSNH_ALL',
    'ATC_INV',
  ].map((n) => opcodes[n]),
);
/** Commands that the model names and drops. */
const ignored = new Set(
  [
    'PREFETCH_CONFIG',
    'PREFETCH_ADDR',
    'SYNC',
    'TLBI_EL3_ALL',
    'TLBI_EL3_VA',
    'TLBI_EL2_ALL',
    'TLBI_EL2_ASID',
    'TLBI_EL2_VA',
    'TLBI_EL2_VAA',
    'PRI_RESP',
    'RESUME',
    'STALL_TERM',
  ].map((n) => opcodes[n]),
);

interface Pending {
  /** Position of the command in the queue. */
  readonly at: number;
  readonly words: bigint[];
}

/** Where the loop must stop: the failing command and its CERROR code. */
interface Stop {
  readonly at: number;
  readonly error: number;
}

/**
 * The command loop (smmuv3_cmdq_consume): takes commands from guest memory until CONS reaches PROD, an error is pending or one
 * occurs. CONS never passes a command that is still in a batch.
 */
export function* consume(u: UnitContext): Op<void> {
  const s = u.state;
  const r = s.registers;
  if (s.consuming || !((r['CR0'] ?? 0n) & CR0.cmdqen)) return;
  s.consuming = true;
  const q = ringOf(r, 'CMDQ');
  const span = 2 ** (q.log2size + 1);
  const pending: Pending[] = [];
  let at = Number(r['CMDQ_CONS'] ?? 0n) % span;
  let stop: Stop | null = null;
  let last = '';
  // PROD may hold anything: no more than a full queue is consumed in one go.
  for (let left = span / 2; !stop && left > 0 && at !== Number(r['CMDQ_PROD'] ?? 0n) % span; left--) {
    if (((r['GERROR'] ?? 0n) ^ (r['GERRORN'] ?? 0n)) & GERROR.cmdq) break;
    const index = at % 2 ** q.log2size;
    const address = q.base + index * ENTRY;
    if (!u.vmm.memory.contains(address, ENTRY)) {
      stop = { at, error: ABT };
      break;
    }
    const words = [u.vmm.memory.readWord(address), u.vmm.memory.readWord(address + 8)];
    last = commandName(words);
    u.vmm.trace.listener?.({
      kind: 'command.fetch',
      actor: 'vmm',
      at: u.ids.vsmmu,
      queue: 'virtual',
      index,
      command: commandText(words),
    });
    yield pause('vmm', 'command.fetch');
    stop = yield* handle(u, words, at, pending);
    at = (at + 1) % span;
    if (!stop && pending.length === 0) setCons(u, q.log2size, at);
  }
  if (!stop) stop = yield* flush(u, pending);
  setCons(u, q.log2size, stop ? stop.at : at);
  if (stop) raiseError(u, stop, last, q.log2size);
  s.consuming = false;
}

/** deposit32: index and wrap bit change, ERR stays what it was. */
function setCons(u: UnitContext, log2size: number, position: number): void {
  const r = u.state.registers;
  const mask = (1n << BigInt(log2size + 1)) - 1n;
  r['CMDQ_CONS'] = ((r['CMDQ_CONS'] ?? 0n) & ~mask) | BigInt(position);
}

/** One command. Forwarded ones are collected; any other command first sends what was collected. */
function* handle(u: UnitContext, words: bigint[], at: number, pending: Pending[]): Op<Stop | null> {
  const opcode = Number(words[0]! & 0xffn);
  if (forwardable.has(opcode)) return yield* forward(u, opcode, words, at, pending);
  const failed = yield* flush(u, pending);
  if (failed) return failed;
  if (ignored.has(opcode)) return null;
  const ill: Stop = { at, error: ILL };
  const sid = Number(words[0]! >> 32n);
  switch (opcode) {
    case opcodes['CFGI_STE']: {
      if (words[0]! & SSEC) return ill;
      const d = deviceOf(u, sid);
      return !d || (yield* installSte(u, d)) ? null : ill;
    }
    case opcodes['CFGI_STE_RANGE']: {
      if (words[0]! & SSEC) return ill;
      const { start, end } = u.vmm.rules.steRange(sid, Number(words[1]! & 31n));
      return (yield* installRange(u, start, end)) ? null : ill;
    }
    default:
      // Stage-2 commands of a stage-1 SMMU, CFGI_VMS_PIDM, Secure and reserved opcodes.
      return ill;
  }
}

function* forward(u: UnitContext, opcode: number, words: bigint[], at: number, pending: Pending[]): Op<Stop | null> {
  const { registers, viommu } = u.state;
  const cfgi = opcode === opcodes['CFGI_CD'] || opcode === opcodes['CFGI_CD_ALL'];
  if (cfgi && words[0]! & SSEC) return { at, error: ILL };
  // With stage 2 the model handles NH_ALL itself; without it the command goes the way of NSNH_ALL.
  if (opcode === opcodes['TLBI_NH_ALL'] && (registers['IDR0'] ?? 0n) & IDR0_S2P) return null;
  if (!viommu) return null;
  const d = deviceOf(u, Number(words[0]! >> 32n));
  const what = u.vmm.rules.forward({
    opcode,
    ats: ((registers['IDR0'] ?? 0n) & IDR0_ATS) !== 0n,
    known: d !== undefined,
    vdevice: (d?.vdevice ?? 0) !== 0,
  });
  if (what === 'illegal') return { at, error: ILL };
  if (what === 'consume') return null;
  for (const w of u.vmm.injector.pass('vmm.forward', words, u.ids.vsmmu)) pending.push({ at, words: w });
  return pending.length >= u.vmm.batch ? yield* flush(u, pending) : null;
}

/** One IOMMU_HWPT_INVALIDATE on the vIOMMU with all that was collected. `entry_num` comes back as the number done. */
function* flush(u: UnitContext, pending: Pending[]): Op<Stop | null> {
  if (pending.length === 0) return null;
  const batch = pending.splice(0);
  const r = yield* ioctl(u, 'IOMMU_HWPT_INVALIDATE', {
    hwpt_id: u.state.viommu,
    data_type: INVALIDATE_ARM_SMMUV3,
    entry_len: ENTRY,
    entry_num: batch.length,
    entries: batch.map((p) => ({ cmd: p.words })),
  });
  if (r.errno === '0') return null;
  const done = Math.min(outputOf(r.out, 'entry_num'), batch.length - 1);
  report(u, `IOMMU_HWPT_INVALIDATE failed: ${r.errno}, ${done} of ${batch.length} done`);
  return { at: batch[done]!.at, error: ILL };
}

/** A held-back message of the injection point `vmm.forward` arrives: an ioctl of its own. */
export function* deliverForward(u: UnitContext, words: bigint[]): Op<void> {
  if (u.state.viommu) yield* flush(u, [{ at: 0, words }]);
}

/** smmu_write_cmdq_err and the global error interrupt. */
function raiseError(u: UnitContext, stop: Stop, name: string, log2size: number): void {
  const r = u.state.registers;
  r['CMDQ_CONS'] = ((r['CMDQ_CONS'] ?? 0n) & ~(0x7fn << 24n)) | (BigInt(stop.error) << 24n);
  const error = stop.error === ABT ? 'CERROR_ABT' : 'CERROR_ILL';
  u.vmm.trace.listener?.({
    kind: 'command.error',
    actor: 'vmm',
    at: u.ids.vsmmu,
    queue: 'virtual',
    index: stop.at % 2 ** log2size,
    error,
    text: stop.error === ABT ? 'command fetch outside guest memory' : `${name} refused: ${error}`,
  });
  raiseGerror(u, GERROR.cmdq);
}

/** smmuv3_trigger_irq for GERROR: a bit that is already pending is not toggled again. */
export function raiseGerror(u: UnitContext, bit: bigint): void {
  const r = u.state.registers;
  const gerror = r['GERROR'] ?? 0n;
  if ((gerror ^ (r['GERRORN'] ?? 0n)) & bit) return;
  r['GERROR'] = gerror ^ bit;
  if ((r['IRQ_CTRL'] ?? 0n) & IRQ.gerror) u.irq.gerror = true;
}

const deviceOf = (u: UnitContext, sid: number): VmmDevice | undefined => u.state.devices.find((d) => d.vsid === sid);
