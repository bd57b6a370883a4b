import { Injector, type Op, pause, runToEnd } from '../../machine/index.ts';
import { type Bus, GuestMemory, Memory, PageAllocator, ProcessMemory } from '../../memory/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { commandText } from '../layout/index.ts';
import { GuestDriver } from './driver.ts';
import type { GuestDevice, VirtualSmmu } from './state.ts';

/** For tests: a vSMMU that accepts everything at once and keeps a list of what it was told. */
export class RecordingSmmu implements VirtualSmmu {
  readonly irq = { evtq: false, gerror: false };
  readonly registers: Record<string, bigint>;
  /** Register writes and commands in order: `CR0=0x8`, `CFGI_STE sid 0x8 leaf`. CMD_SYNC is `SYNC`. */
  readonly seen: string[] = [];
  /** Writes of CMDQ_PROD. */
  doorbells = 0;
  /** Raw commands, `word0 word1` in hex. */
  readonly words: string[] = [];
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
    if (reg === 'CMDQ_PROD' && (this.registers['CR0'] ?? 0n) & 8n) this.consume(Number(value));
  }

  private consume(prod: number): void {
    const base = this.registers['CMDQ_BASE']!;
    const log2 = Number(base & 31n);
    for (let at = Number(this.registers['CMDQ_CONS'] ?? 0n); at !== prod; at = (at + 1) % 2 ** (log2 + 1)) {
      const slot = Number(base & 0xfffffffffffe0n) + (at % 2 ** log2) * 16;
      const words = [this.memory.readWord(slot), this.memory.readWord(slot + 8)];
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

/** For tests: a guest of 256 MiB at 0x4000_0000 on a recording vSMMU. */
export function guestOnRecorder(
  o: { devices?: GuestDevice[]; ril?: boolean; ats?: boolean; deviations?: string[]; ssidBits?: number } = {},
) {
  const host = new Memory(2 ** 32);
  const process = new ProcessMemory();
  process.add({ uva: 0x7f0000000000, size: 2 ** 28, base: 0x80000000, chunk: 4096 });
  const memory = new GuestMemory(host, process);
  memory.addSlot({ gpa: 0x40000000, size: 2 ** 28, uva: 0x7f0000000000 });
  const idr = {
    IDR0: o.ats ? 0x0d44141an : 0x0d44101an,
    IDR1: 0x02730010n | (BigInt(o.ssidBits ?? 0) << 6n),
    IDR3: o.ril === false ? 0x1004n : 0x1404n,
    IDR5: 0x74n,
    AIDR: 1n,
  };
  const smmu = new RecordingSmmu(memory, idr);
  const trace = new Trace();
  const events: TraceEvent[] = [];
  const devices = o.devices ?? [{ name: 'nic0', vrid: 8, pasidBits: 0, atsCapable: true }];
  const driver = new GuestDriver({
    memory,
    pages: new PageAllocator(0x48000000, 0x50000000),
    smmu,
    devices,
    trace,
    injector: new Injector(trace),
    deviations: o.deviations,
  });
  const run = <T>(op: Op<T>): T => runToEnd(op);
  return { driver, smmu, memory, trace, events, run };
}
