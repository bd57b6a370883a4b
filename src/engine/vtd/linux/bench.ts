import { Injector, type Op, runToEnd } from '../../machine/index.ts';
import { Memory, PageAllocator } from '../../memory/index.ts';
import { Trace } from '../../trace/index.ts';
import { linuxRulesWith } from './deviations.ts';
import type { DeviceInfo } from './device-info.ts';
import { type Domain, type DomainOptions, IDENTITY } from './domain.ts';
import {
  attachDevice,
  createKernel,
  deviceOf,
  domainOf,
  enableTranslation,
  finalizeDevice,
  type Kernel,
  type LinuxPciDevice,
  newDomain,
  probeDevice,
  startUnits,
} from './index.ts';
import { RecordingUnit } from './recording-unit.ts';

/** A booted kernel on recording units, for tests. */

/** Capability words of the reference: a host of the Sapphire Rapids class without DIT, and QEMU's vIOMMU. */
export const HOST = { cap: 0x19ed008c40780c66n, ecap: 0x003ef9ea6f050dfn & ~(1n << 41n) };
export const GUEST = { cap: 0x81d2008c222f0686n, ecap: 0x00008d9a20000f46n };

type DeviceOptions = Partial<LinuxPciDevice> & { readonly name: string; readonly unit?: number };

/** Devices of the reference. */
export const A: DeviceOptions = { name: '0000:3b:00.0', rid: 0x3b00 };
export const B: DeviceOptions = { name: '0000:5e:02.0', rid: 0x5e10 };

export interface BenchOptions {
  readonly actor?: 'driver' | 'guest';
  readonly words?: { readonly cap: bigint; readonly ecap: bigint };
  readonly units?: number;
  readonly devices?: readonly DeviceOptions[];
  readonly deviations?: readonly string[];
  /** Domain that every device gets before its capabilities are enabled; pass-through when left out, null: blocked. */
  readonly initial?: DomainOptions | 'identity' | null;
  /** The units remember the register writes of the boot. */
  readonly keepWritten?: boolean;
  /** Receives the ftrace lines of the boot. */
  readonly onLine?: (line: string) => void;
}

export interface Bench {
  readonly k: Kernel;
  readonly memory: Memory;
  readonly units: readonly RecordingUnit[];
  readonly unit: RecordingUnit;
  readonly trace: Trace;
  /** ftrace lines. */
  readonly lines: string[];
  device(name: string): DeviceInfo;
  run<T>(op: Op<T>): T;
  domain(o: DomainOptions): Domain;
}

/** @throws Error when a device cannot be attached to its first domain */
export function bench(o: BenchOptions = {}): Bench {
  const memory = new Memory(2 ** 30);
  const actor = o.actor ?? 'driver';
  const words = o.words ?? (actor === 'driver' ? HOST : GUEST);
  const trace = new Trace();
  const units = Array.from({ length: o.units ?? 1 }, () => new RecordingUnit(memory, words.cap, words.ecap));
  const k = createKernel({
    actor,
    bus: memory,
    pages: new PageAllocator(0x1000_0000, 0x4000_0000),
    trace,
    injector: new Injector(trace),
    rules: linuxRulesWith(actor, o.deviations ?? []),
    units: units.map((port, i) => ({ name: `dmar${i}`, port, ids: ids(`u${i}`) })),
    devices: (o.devices ?? [A, B]).map((d: DeviceOptions) => ({ pci: pciDevice(d), unit: d.unit ?? 0 })),
  });
  const lines: string[] = [];
  k.tracepoints = (line) => {
    lines.push(line);
    o.onLine?.(line);
  };
  runToEnd(startUnits(k));
  const initial = o.initial === undefined ? 'identity' : o.initial;
  for (const name of k.pci.keys()) {
    runToEnd(probeDevice(k, name));
    if (initial !== null) {
      const domain = initial === 'identity' ? domainOf(k, IDENTITY) : newDomain(k, initial);
      const errno = runToEnd(attachDevice(k, deviceOf(k, name), domain));
      if (errno !== '0') throw new Error(`${name}: ${errno}`);
    }
    runToEnd(finalizeDevice(k, name));
  }
  runToEnd(enableTranslation(k));
  if (!o.keepWritten) for (const u of units) u.clear();
  lines.length = 0;
  return {
    k,
    memory,
    units,
    unit: units[0]!,
    trace,
    lines,
    device: (name) => deviceOf(k, name),
    run: runToEnd,
    domain: (options) => newDomain(k, options),
  };
}

const pciDevice = (d: DeviceOptions): LinuxPciDevice => ({
  rid: 0x3b00,
  pasidBits: 20,
  atsCapable: true,
  priCapable: false,
  atsEnabled: false,
  priEnabled: false,
  pasidEnabled: false,
  ...d,
});

const ids = (scope: string) => ({
  driver: `${scope}.driver`,
  unit: `${scope}.unit`,
  queue: `${scope}.queue`,
  prq: `${scope}.prq`,
  frcd: `${scope}.frcd`,
  root: `${scope}.root`,
  context: (rid: number) => `${scope}.context.0x${rid.toString(16)}`,
  pasid: (rid: number, pasid: number) => `${scope}.pasid.0x${rid.toString(16)}.0x${pasid.toString(16)}`,
});

/** Everything that a step sends, and its ftrace lines. */
export function during<T>(b: Bench, f: () => T): { result: T; sent: string[][]; lines: string[] } {
  for (const u of b.units) u.clear();
  b.lines.length = 0;
  const result = f();
  return { result, sent: b.unit.sent(), lines: [...b.lines] };
}
