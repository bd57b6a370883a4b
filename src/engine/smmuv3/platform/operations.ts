import { bytesToWords, hexPlain } from '../../bits/index.ts';
import { inputProblem } from '../../iommufd/index.ts';
import { type Op, type Operation, type OpResult, pause } from '../../machine/index.ts';
import { PAGE_SIZE } from '../../memory/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { noDevice } from '../vmm/index.ts';
import { ats, dma, pri, reset } from './device-operations.ts';
import { deviceNamed, type Guest, guestNamed, guestOfDevice, isProbed, type Parts, unitNamed } from './parts.ts';

type Fields = Operation & Record<string, never>;
/** An operation at which nobody else could act gives its result at once. */
type Handler = (p: Parts, op: Fields) => Op<OpResult> | OpResult;

const done = (text: string, more: Partial<OpResult> = {}): OpResult => ({ ok: true, text, ...more });
const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });

/** The kernel is up before anything of it is used; a bare document that never asks for it keeps the SMMUs to itself. */
export function* probed(p: Parts): Op<void> {
  if (!isProbed(p)) yield* p.drivers.probe();
}

function* onKernel(p: Parts, op: () => Op<OpResult> | OpResult): Op<OpResult> {
  yield* probed(p);
  return yield* run(op());
}

/** Runs an operation of either kind. */
export function* run(r: Op<OpResult> | OpResult): Op<OpResult> {
  return 'next' in r ? yield* r : r;
}

/** The guest that an operation is for: the one it names, else that of its device. */
const guestFor = (p: Parts, op: Operation): Guest =>
  op['guest'] === undefined && typeof op['device'] === 'string'
    ? guestOfDevice(p, deviceNamed(p, op['device']))
    : guestNamed(p, op['guest']);

function* memoryWrite(p: Parts, op: Fields): Op<OpResult> {
  const { space, at, bytes } = op as unknown as { space: 'host' | 'guest'; at: number; bytes: Uint8Array };
  const g = guestNamed(p, op.guest);
  const bus = space === 'host' ? p.memory : g.memory;
  if (!bus.contains(at, bytes.length))
    return refused(`${hexPlain(at)} to ${hexPlain(at + bytes.length - 1)} is not ${space} memory`, 'EFAULT');
  // One event a page: a large image is then still readable in the trace.
  for (let from = 0; from < bytes.length; ) {
    const n = Math.min(bytes.length - from, PAGE_SIZE - ((at + from) % PAGE_SIZE));
    bus.writeBytes(at + from, bytes.subarray(from, from + n));
    const first = at + from - ((at + from) % 8);
    const last = at + from + n;
    p.trace.listener?.({
      kind: 'table.write',
      actor: space === 'host' ? 'driver' : 'guest',
      at: space === 'host' ? p.drivers.sceneId() : g.linux.units[0]!.ids.cmdq,
      space,
      address: first,
      words: bytesToWords(bus.readBytes(first, Math.ceil((last - first) / 8) * 8)),
      layout: '',
      text: `${n} bytes at ${hexPlain(at + from)}`,
    });
    yield pause('any', 'memory.write');
    from += n;
  }
  return done(`${bytes.length} bytes written at ${space} ${hexPlain(at)}`);
}

function memoryRead(p: Parts, op: Fields): OpResult {
  const { space, at, length } = op as unknown as { space: 'host' | 'guest'; at: number; length?: number };
  const bus = space === 'host' ? p.memory : guestNamed(p, op.guest).memory;
  const n = length ?? 8;
  if (!bus.contains(at, n)) return refused(`${hexPlain(at)} is not ${space} memory`, 'EFAULT');
  const bytes = bus.readBytes(at, n);
  return done(`${n} bytes read at ${space} ${hexPlain(at)}`, { out: { bytes }, main: bytesToWords(bytes)[0] ?? 0n });
}

/** The guest's end of a virtual SMMU and the VMM's. */
function virtualUnit(p: Parts, op: Fields) {
  const g = guestNamed(p, op.guest);
  const i = op.unit === undefined ? 0 : g.units.findIndex((u) => u.name === op.unit);
  return { unit: g.vmm.units[i]!, ids: g.linux.units[i]!.ids };
}

function* registerWrite(p: Parts, op: Fields): Op<OpResult> {
  const { iommu, reg, value } = op as unknown as { iommu: 'physical' | 'virtual'; reg: string; value: bigint };
  if (iommu === 'physical') {
    const { smmu, driver } = unitNamed(p, op.unit);
    if (p.trace.listener && reg.endsWith('_PROD'))
      p.trace.listener({
        kind: 'register.write',
        actor: 'driver',
        at: driver.sceneId(),
        to: smmu.ids.smmu,
        iommu,
        reg,
        value,
      });
    yield* smmu.writeRegister(reg, value);
  } else {
    const { unit, ids } = virtualUnit(p, op);
    p.trace.listener?.({
      kind: 'register.write',
      actor: 'guest',
      at: ids.cmdq,
      to: ids.vsmmu,
      iommu,
      reg,
      value,
    });
    yield* unit.writeVirtual(reg, value);
  }
  return done(`${iommu} ${reg} = ${hexPlain(value)}`);
}

function registerRead(p: Parts, op: Fields): OpResult {
  const { iommu, reg } = op as unknown as { iommu: 'physical' | 'virtual'; reg: string };
  const value =
    iommu === 'physical' ? unitNamed(p, op.unit).smmu.readRegister(reg) : virtualUnit(p, op).unit.readVirtual(reg);
  return done(`${iommu} ${reg} is ${hexPlain(value)}`, { out: { value }, main: value });
}

function* ioctl(p: Parts, op: Fields): Op<OpResult> {
  const o = op as unknown as {
    call: string;
    in?: Record<string, unknown> | null;
    fd?: number;
    size?: number;
    tail?: string;
  };
  const g = guestNamed(p, op.guest);
  const problem = inputProblem(o.call, o.in ?? null);
  if (problem) return refused(problem);
  const r = yield* g.kernel.ioctl({
    call: o.call,
    fd: o.fd ?? 0,
    input: o.in === undefined ? {} : o.in,
    size: o.size,
    tail: o.tail,
    at: g.vmm.ids.devices,
  });
  return {
    ok: r.errno === '0',
    text: r.errno === '0' ? `${o.call} succeeds` : `${o.call}: ${r.errno}`,
    errno: r.errno,
    out: r.out,
    main: r.main,
  };
}

function fdOpen(p: Parts, op: Fields): OpResult {
  const { device } = op as unknown as { device?: string };
  const { kernel } = guestFor(p, op);
  if (device !== undefined && !kernel.hasDevice(device)) return refused(noDevice(device), 'ENOENT');
  const fd = device === undefined ? kernel.openIommufd() : kernel.openDevice(device);
  return done(`${device === undefined ? '/dev/iommu' : `the VFIO file of ${device}`} is fd ${fd}`, {
    out: { fd },
    main: fd,
    errno: '0',
  });
}

function* fdClose(p: Parts, op: Fields): Op<OpResult> {
  const { fd } = op as unknown as { fd: number };
  const { errno } = yield* guestNamed(p, op.guest).kernel.close(fd);
  return { ok: errno === '0', errno, text: errno === '0' ? `fd ${fd} closed` : `close of fd ${fd}: ${errno}` };
}

function fdRead(p: Parts, op: Fields): OpResult {
  const { fd, count } = op as unknown as { fd: number; count: number };
  const r = guestNamed(p, op.guest).kernel.read(fd, count);
  const ok = r.errno === '0';
  return {
    ok,
    errno: r.errno,
    out: { bytes: r.out.bytes, records: r.out.records },
    text: ok ? `${r.out.records.length} records read` : `read of fd ${fd}: ${r.errno}`,
    main: r.out.bytes,
  };
}

function* fdWrite(p: Parts, op: Fields): Op<OpResult> {
  const { fd, records } = op as unknown as { fd: number; records: readonly unknown[] };
  const r = yield* guestNamed(p, op.guest).kernel.write(fd, records);
  const ok = r.errno === '0';
  return {
    ok,
    errno: r.errno,
    out: { bytes: r.out.bytes },
    text: ok ? `${r.out.bytes} bytes written to fd ${fd}` : `write to fd ${fd}: ${r.errno}`,
    main: r.out.bytes,
  };
}

function* invalidate(p: Parts, op: Fields): Op<OpResult> {
  const o = op as unknown as { command?: { name: string; fields: Record<string, bigint> }; bytes?: Uint8Array };
  const words = o.command
    ? encodeCommand(o.command.name, o.command.fields)
    : bytesToWords(o.bytes ?? new Uint8Array(16));
  return yield* guestNamed(p, op.guest).linux.invalidate([words[0] ?? 0n, words[1] ?? 0n], op.unit);
}

/** Hot-unplug: the guest lets go of the device before it disappears. */
function* unplug({ linux, vmm }: Guest, device: string): Op<OpResult> {
  if (linux.views().devices.some((d) => d.name === device)) yield* linux.remove({ device });
  return yield* vmm.unplug(device);
}

const vmm =
  (f: (g: Guest, op: Fields) => Op<OpResult> | OpResult): Handler =>
  (p, op) =>
    onKernel(p, () => f(guestFor(p, op), op));
const guest =
  (f: (linux: Guest['linux'], op: Fields) => Op<OpResult>): Handler =>
  (p, op) =>
    f(guestFor(p, op).linux, op);

/** Every operation of the format that this platform has. */
export const handlers: Readonly<Record<string, Handler>> = {
  'memory.write': memoryWrite,
  'memory.read': memoryRead,
  'register.write': registerWrite,
  'register.read': registerRead,
  ioctl: (p, op) => onKernel(p, () => ioctl(p, op)),
  'fd.open': (p, op) => onKernel(p, () => fdOpen(p, op)),
  'fd.close': (p, op) => onKernel(p, () => fdClose(p, op)),
  'fd.read': (p, op) => onKernel(p, () => fdRead(p, op)),
  'fd.write': (p, op) => onKernel(p, () => fdWrite(p, op)),
  'vmm.start': vmm((g) => g.vmm.start()),
  'vmm.plug': vmm((g, op) => g.vmm.plug(op.device)),
  'vmm.unplug': vmm((g, op) => unplug(g, op.device)),
  'vmm.map': vmm((g, op) => g.vmm.map({ gpa: op.gpa, size: op.size })),
  'vmm.unmap': vmm((g, op) => g.vmm.unmap({ gpa: op.gpa, size: op.size })),
  'guest.boot': guest((g) => g.boot()),
  'guest.attach': guest((g, op) =>
    g.attach({ device: op.device, domain: op.domain, pasid: op.pasid, cdTable: op.cdTable }),
  ),
  'guest.detach': guest((g, op) => g.detach({ device: op.device, pasid: op.pasid })),
  'guest.bind': guest((g, op) => g.bind({ device: op.device, process: op.process, pasid: op.pasid })),
  'guest.unbind': guest((g, op) => g.unbind({ device: op.device, process: op.process })),
  'guest.exit': guest((g, op) => g.exit({ process: op.process })),
  'guest.map': guest((g, op) =>
    g.map({ domain: op.domain, iova: op.iova, gpa: op.gpa, size: op.size, perm: op.perm, present: op.present }),
  ),
  'guest.unmap': guest((g, op) => g.unmap({ domain: op.domain, iova: op.iova, size: op.size, flush: op.flush })),
  'guest.flush': guest((g, op) => g.flush({ domain: op.domain })),
  'guest.invalidate': invalidate,
  'device.dma': (p, op) => dma(p, op as never),
  'device.ats': (p, op) => ats(p, op as never),
  'device.pri': (p, op) => pri(p, op as never),
  'device.reset': (p, op) => reset(p, op as never),
};
