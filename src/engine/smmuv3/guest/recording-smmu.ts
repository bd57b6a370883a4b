import { succeeded } from '../../machine/fixtures/succeeded.ts';
import { Injector, type Op, type OpResult, pause, runToEnd } from '../../machine/index.ts';
import { guestRam } from '../../memory/fixtures/guest-ram.ts';
import { type Bus, PageAllocator } from '../../memory/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { commandText } from '../layout/index.ts';
import { GuestDriver } from './driver.ts';
import type { GuestCpu, GuestDevice, VirtualSmmu } from './state.ts';

/** For tests: a vSMMU that accepts everything at once and keeps a list of what it was told. */
export class RecordingSmmu implements VirtualSmmu {
  readonly irq = { evtq: false, gerror: false, priq: false };
  readonly registers: Record<string, bigint>;
  /** Register writes and commands in order: `CR0=0x8`, `CFGI_STE sid 0x8 leaf`. CMD_SYNC is `SYNC`. */
  readonly seen: string[] = [];
  /** Writes of CMDQ_PROD. */
  doorbells = 0;
  /** Raw commands, `word0 word1` in hex. */
  readonly words: string[] = [];
  /** Command errors to come: at the next command of that opcode consumption stops with that code. */
  readonly errors: { readonly opcode: number; readonly code: number }[] = [];
  /** Consumes nothing any more. */
  stuck = false;
  private readonly memory: Bus;

  constructor(memory: Bus, idr: Record<string, bigint>) {
    this.memory = memory;
    this.registers = { ...idr };
  }

  readVirtual(reg: string): bigint {
    return this.registers[reg] ?? 0n;
  }

  *writeVirtual(reg: string, value: bigint): Op<void> {
    yield pause('vmm', 'trap');
    this.registers[reg] = value;
    if (reg === 'CMDQ_PROD') this.doorbells++;
    else this.seen.push(`${reg}=0x${value.toString(16)}`);
    if (reg === 'CR0') this.registers['CR0ACK'] = value;
    if (reg === 'IRQ_CTRL') this.registers['IRQ_CTRLACK'] = value;
    if ((reg === 'CMDQ_PROD' || reg === 'GERRORN') && (this.registers['CR0'] ?? 0n) & 8n)
      this.consume(Number(this.registers['CMDQ_PROD'] ?? 0n));
  }

  private consume(prod: number): void {
    if (this.stuck) return;
    const base = this.registers['CMDQ_BASE']!;
    const log2 = Number(base & 31n);
    for (
      let at = Number((this.registers['CMDQ_CONS'] ?? 0n) & 0xfffffn);
      at !== prod;
      at = (at + 1) % 2 ** (log2 + 1)
    ) {
      const slot = Number(base & 0xfffffffffffe0n) + (at % 2 ** log2) * 16;
      const words = [this.memory.readWord(slot), this.memory.readWord(slot + 8)];
      const i = this.errors.findIndex((e) => BigInt(e.opcode) === (words[0]! & 0xffn));
      if (i >= 0) {
        this.registers['CMDQ_CONS'] = BigInt(at) | (BigInt(this.errors.splice(i, 1)[0]!.code) << 24n);
        this.registers['GERROR'] = (this.registers['GERROR'] ?? 0n) ^ 1n;
        this.irq.gerror = true;
        return;
      }
      this.seen.push(words[0] === 0x0fc02046n ? 'SYNC' : commandText(words).text);
      this.words.push(words.map((w) => w.toString(16).padStart(16, '0')).join(' '));
      this.registers['CMDQ_CONS'] = BigInt((at + 1) % 2 ** (log2 + 1));
    }
  }

  /** What was seen since the last call. */
  take(): string[] {
    return this.seen.splice(0);
  }
}

/** What the vSMMU of a test has; without options that of QEMU with range invalidation. */
export interface RecorderOptions {
  devices?: GuestDevice[];
  ril?: boolean;
  ats?: boolean;
  pri?: boolean;
  cd2l?: boolean;
  hyp?: boolean;
  override?: boolean;
  stallModel?: number;
  asid16?: boolean;
  coherent?: boolean;
  /** IDR5 */
  sizes?: bigint;
  deviations?: string[];
  ssidBits?: number;
  page?: 4096 | 16384 | 65536;
  cpu?: GuestCpu;
  /** Names of devices behind a second vSMMU; the scope is then `vm1`, the units `vsmmu0` and `vsmmu1`. */
  second?: string[];
}

function identification(o: RecorderOptions): Record<string, bigint> {
  const bit = (n: bigint, on: boolean | undefined): bigint => (on ? 1n << n : 0n);
  const idr0 =
    0x0c44000an |
    bit(4n, o.coherent ?? true) |
    bit(9n, o.hyp) |
    bit(10n, o.ats) |
    bit(12n, o.asid16 ?? true) |
    bit(16n, o.pri) |
    bit(19n, o.cd2l) |
    (BigInt(o.stallModel ?? 1) << 24n);
  return {
    IDR0: idr0,
    IDR1: 0x02730010n | (BigInt(o.ssidBits ?? 0) << 6n) | (o.pri ? 5n << 11n : 0n) | bit(27n, o.override),
    IDR3: o.ril === false ? 0x1004n : 0x1404n,
    IDR5: o.sizes ?? 0x74n,
    AIDR: 1n,
  };
}

/** For tests: a guest of 256 MiB at 0x4000_0000 on a recording vSMMU. */
export function guestOnRecorder(o: RecorderOptions = {}) {
  const { memory } = guestRam(2 ** 32);
  const smmu = new RecordingSmmu(memory, identification(o));
  const smmu1 = new RecordingSmmu(memory, identification(o));
  const trace = new Trace();
  const events: TraceEvent[] = [];
  const devices = o.devices ?? [{ name: 'nic0', vrid: 8, pasidBits: 0, atsCapable: true }];
  const { second } = o;
  const units = second && [
    { name: 'vsmmu0', smmu, devices: devices.flatMap((d) => (second.includes(d.name) ? [] : [d.name])) },
    { name: 'vsmmu1', smmu: smmu1, devices: second },
  ];
  const pages = new PageAllocator(0x48000000, 0x50000000);
  const driver = new GuestDriver({
    memory,
    pages,
    ...(units ? { units, scope: 'vm1' } : { smmu }),
    devices,
    trace,
    injector: new Injector(trace),
    deviations: o.deviations,
    page: o.page,
    cpu: o.cpu,
  });
  const run = <T>(op: Op<T>): T => runToEnd(op);
  /** Runs an operation that must succeed. */
  const ok = (op: Op<OpResult>): OpResult => succeeded(runToEnd(op));
  /** The same; the commands it sent, without CMD_SYNC when `all` is false. */
  const sent = (op: Op<OpResult>, all = true): string[] => {
    smmu.take();
    ok(op);
    return smmu.take().filter((s) => all || s !== 'SYNC');
  };
  return { driver, smmu, smmu1, memory, pages, trace, events, run, ok, sent };
}
