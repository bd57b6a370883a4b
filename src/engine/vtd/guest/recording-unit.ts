import { succeeded } from '../../machine/fixtures/succeeded.ts';
import { Injector, type Op, type OpResult, pause, runToEnd } from '../../machine/index.ts';
import { guestRam } from '../../memory/fixtures/guest-ram.ts';
import { type Bus, PageAllocator } from '../../memory/index.ts';
import { Trace, type TraceEvent } from '../../trace/index.ts';
import { descriptorText, encodeFault, encodePageRequest } from '../layout/index.ts';
import { GuestDriver } from './driver.ts';
import type { GuestDevice, VirtualUnit } from './state.ts';

/** GSTS_REG follows GCMD_REG in these bits; SRTP and WBF are one-shot. */
const STICKY = 0x80000000n | 0x04000000n | 0x02000000n;
const SRTP = 0x40000000n;
const IQE = 0x10n;

/** For tests: a virtual unit that accepts everything at once and keeps a list of what it was told. */
export class RecordingUnit implements VirtualUnit {
  readonly irq = { fault: false, prq: false, inv: false };
  readonly registers: Record<string, bigint>;
  /** Register writes and descriptors in order: `GCMD_REG=0x80000000`, `PC_INV ...`. The driver's own wait is `WAIT`. */
  readonly seen: string[] = [];
  /** Raw descriptors but waits, `qw0 qw1` in hex. */
  readonly words: string[] = [];
  /** Writes of IQT_REG. */
  doorbells = 0;
  /** Refuses the next descriptor of that type (IQE, reason 3). */
  refuses = 0;
  /** GSTS_REG follows nothing. */
  deaf = false;
  /** Refuses P_IOTLB_INV with an address mask above it, as QEMU does. */
  largestMask = 63;
  private readonly memory: Bus;

  constructor(memory: Bus, cap: bigint, ecap: bigint) {
    this.memory = memory;
    this.registers = { CAP_REG: cap, ECAP_REG: ecap, VER_REG: 0x50n };
  }

  readVirtual(reg: string): bigint {
    return this.registers[reg] ?? 0n;
  }

  *writeVirtual(reg: string, value: bigint): Op<void> {
    yield pause('vmm', 'trap');
    const r = this.registers;
    if (reg === 'IQT_REG') this.doorbells++;
    else this.seen.push(`${reg}=0x${value.toString(16)}`);
    if (reg === 'GCMD_REG' && this.deaf) return;
    if (reg === 'GCMD_REG') r['GSTS_REG'] = (value & STICKY) | (value & SRTP ? SRTP : (r['GSTS_REG'] ?? 0n) & SRTP);
    else if (reg === 'FSTS_REG') r[reg] = (r[reg] ?? 0n) & ~(value & 0xf1n);
    else if (reg === 'PRS_REG') r[reg] = (r[reg] ?? 0n) & ~value;
    else if (/^FRCD_REG0_HI/.test(reg)) {
      if (value >> 63n) r[reg] = (r[reg] ?? 0n) & ~(1n << 63n);
      r['FSTS_REG'] = (r['FSTS_REG'] ?? 0n) & ~2n;
    } else r[reg] = value;
    if (reg === 'IQT_REG' || reg === 'FSTS_REG') this.consume();
  }

  private consume(): void {
    const r = this.registers;
    const base = (r['IQA_REG'] ?? 0n) & ~0xfffn;
    if (base === 0n || (r['FSTS_REG'] ?? 0n) & IQE) return;
    for (;;) {
      const head = Number(r['IQH_REG'] ?? 0n);
      if (head === Number(r['IQT_REG'] ?? 0n)) return;
      const words = [0, 1, 2, 3].map((i) => this.memory.readWord(Number(base) + head + i * 8));
      const type = Number(words[0]! & 0xfn);
      const wide = type === 6 && (words[0]! & 0x30n) === 0x30n && Number(words[1]! & 0x3fn) > this.largestMask;
      if (type === this.refuses || wide) {
        this.refuses = 0;
        r['FSTS_REG'] = (r['FSTS_REG'] ?? 0n) | IQE;
        r['IQERCD_REG'] = 3n;
        return;
      }
      this.take(type, words);
      r['IQH_REG'] = BigInt((head + 32) % 8192);
    }
  }

  private take(type: number, words: bigint[]): void {
    const hex = (w: bigint): string => w.toString(16).padStart(16, '0');
    const status = (words[0]! >> 5n) & 1n;
    if (type === 5 && status) this.memory.write32(Number(words[1]!), Number(words[0]! >> 32n));
    this.seen.push(
      type === 5 && status ? ((words[0]! >> 7n) & 1n ? 'WAIT drain' : 'WAIT') : descriptorText(words).text,
    );
    if (type !== 5 || !status) this.words.push(`${hex(words[0]!)} ${hex(words[1]!)}`);
  }

  /** What was seen since the last call. */
  takeSeen(): string[] {
    return this.seen.splice(0);
  }

  takeWords(): string[] {
    return this.words.splice(0);
  }

  /** A fault is recorded and announced. */
  fault(code: string, fields: Readonly<Record<string, number | bigint | boolean>>): void {
    const words = encodeFault(code, fields);
    this.registers['FRCD_REG0_LO'] = words[0]!;
    this.registers['FRCD_REG0_HI'] = words[1]!;
    this.registers['FSTS_REG'] = (this.registers['FSTS_REG'] ?? 0n) | 2n;
    this.irq.fault = true;
  }

  /** A page request arrives in the queue in guest memory. */
  pageRequest(q: Parameters<typeof encodePageRequest>[0]): void {
    const base = Number((this.registers['PQA_REG'] ?? 0n) & ~0xfffn);
    const tail = Number(this.registers['PQT_REG'] ?? 0n);
    for (const [i, w] of encodePageRequest(q).entries()) this.memory.writeWord(base + tail + i * 8, w);
    this.registers['PQT_REG'] = BigInt((tail + 32) & 0xffe0);
    this.registers['PRS_REG'] = (this.registers['PRS_REG'] ?? 0n) | 1n;
    this.irq.prq = true;
  }
}

/** QEMU's vIOMMU with caching mode and FS1GP; with device TLBs, 20-bit PASIDs and page requests. */
export const QEMU_CAP = 0x81d2008c222f0686n;
export const QEMU_ECAP = 0x00008d9a20000f46n;

export interface RecorderOptions {
  devices?: GuestDevice[];
  cap?: bigint;
  ecap?: bigint;
  deviations?: string[];
  /** Names of devices behind a second unit; the scope is then `vm1`, the units `vdmar0` and `vdmar1`. */
  second?: string[];
}

/** 00:03.0 with everything. */
export const nic: GuestDevice = { name: 'nic0', vrid: 0x18, pasidBits: 20, atsCapable: true, priCapable: true };

/** For tests: a guest of 256 MiB at 0x4000_0000 on a recording unit. */
export function guestOnRecorder(o: RecorderOptions = {}) {
  const { memory } = guestRam(2 ** 32);
  const make = (): RecordingUnit => new RecordingUnit(memory, o.cap ?? QEMU_CAP, o.ecap ?? QEMU_ECAP);
  const [unit, unit1] = [make(), make()];
  const trace = new Trace();
  const events: TraceEvent[] = [];
  const devices = o.devices ?? [nic];
  const { second } = o;
  const first = devices.map((d) => d.name).filter((n) => !second?.includes(n));
  const pages = new PageAllocator(0x48000000, 0x50000000);
  const driver = new GuestDriver({
    memory,
    pages,
    units: [
      { name: 'vdmar0', iommu: unit, devices: first },
      ...(second ? [{ name: 'vdmar1', iommu: unit1, devices: second }] : []),
    ],
    ...(second ? { scope: 'vm1' } : {}),
    devices,
    trace,
    injector: new Injector(trace),
    deviations: o.deviations,
  });
  const run = <T>(op: Op<T>): T => runToEnd(op);
  /** Runs an operation that must succeed. */
  const ok = (op: Op<OpResult>): OpResult => succeeded(runToEnd(op));
  /** The same; the descriptors it sent as raw words, waits of the driver left out. */
  const sent = (op: Op<OpResult>): string[] => {
    unit.takeWords();
    ok(op);
    return unit.takeWords();
  };
  /** The same in order with register writes and waits, as text. */
  const steps = (op: Op<OpResult>): string[] => {
    unit.takeSeen();
    ok(op);
    return unit.takeSeen();
  };
  return { driver, unit, unit1, memory, pages, trace, events, run, ok, sent, steps };
}

/** Booted, `nic0` attached to `d0`. */
export function attached(o: RecorderOptions = {}) {
  const g = guestOnRecorder(o);
  g.ok(g.driver.boot());
  g.ok(g.driver.attach({ device: 'nic0', domain: 'd0' }));
  g.unit.takeWords();
  g.unit.takeSeen();
  return g;
}
