import { bytesToWords, hexPlain } from '../../bits/index.ts';
import { type Op, type Operation, type OpResult, pause } from '../../machine/index.ts';
import { PAGE_SIZE } from '../../memory/index.ts';
import type { PciDevice } from '../../pci/index.ts';
import type { DmaOutcome } from '../hardware/index.ts';
import { encodeCommand } from '../layout/index.ts';
import type { Parts } from './parts.ts';

type Fields = Operation & Record<string, never>;
/** An operation at which nobody else could act gives its result at once. */
type Handler = (p: Parts, op: Fields) => Op<OpResult> | OpResult;

const done = (text: string, more: Partial<OpResult> = {}): OpResult => ({ ok: true, text, ...more });
const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });

function deviceOf(p: Parts, name: string): PciDevice {
  const d = p.devices.find((x) => x.name === name);
  // The document's checks have refused every other name.
  if (!d) throw new Error(`no device is named ${name}`);
  return d;
}

/** True once the host's driver has brought the SMMU up. */
export const isProbed = (p: Parts): boolean => p.driver.state.features !== null;

/** The kernel is up before anything of it is used; a bare document that never asks for it keeps the SMMU to itself. */
export function* probed(p: Parts): Op<void> {
  if (!isProbed(p)) yield* p.driver.probe();
}

function* onKernel(p: Parts, op: () => Op<OpResult> | OpResult): Op<OpResult> {
  yield* probed(p);
  return yield* run(op());
}

/** Runs an operation of either kind. */
export function* run(r: Op<OpResult> | OpResult): Op<OpResult> {
  return 'next' in r ? yield* r : r;
}

function* memoryWrite(p: Parts, op: Fields): Op<OpResult> {
  const { space, at, bytes } = op as unknown as { space: 'host' | 'guest'; at: number; bytes: Uint8Array };
  const bus = space === 'host' ? p.memory : p.guestMemory;
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
      at: space === 'host' ? 'kernel.driver' : 'guest.cmdq',
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
  const bus = space === 'host' ? p.memory : p.guestMemory;
  const n = length ?? 8;
  if (!bus.contains(at, n)) return refused(`${hexPlain(at)} is not ${space} memory`, 'EFAULT');
  const bytes = bus.readBytes(at, n);
  return done(`${n} bytes read at ${space} ${hexPlain(at)}`, { out: { bytes }, main: bytesToWords(bytes)[0] ?? 0n });
}

function* registerWrite(p: Parts, op: Fields): Op<OpResult> {
  const { iommu, reg, value } = op as unknown as { iommu: 'physical' | 'virtual'; reg: string; value: bigint };
  if (iommu === 'physical') {
    if (p.trace.listener && reg.endsWith('_PROD'))
      p.trace.listener({
        kind: 'register.write',
        actor: 'driver',
        at: 'kernel.driver',
        to: 'hw.smmu',
        iommu,
        reg,
        value,
      });
    yield* p.smmu.writeRegister(reg, value);
  } else {
    p.trace.listener?.({
      kind: 'register.write',
      actor: 'guest',
      at: 'guest.cmdq',
      to: 'vmm.vsmmu',
      iommu,
      reg,
      value,
    });
    yield* p.vmm.writeVirtual(reg, value);
  }
  return done(`${iommu} ${reg} = ${hexPlain(value)}`);
}

function registerRead(p: Parts, op: Fields): OpResult {
  const { iommu, reg } = op as unknown as { iommu: 'physical' | 'virtual'; reg: string };
  const value = iommu === 'physical' ? p.smmu.readRegister(reg) : p.vmm.readVirtual(reg);
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
  const tail =
    (o.tail as unknown) instanceof Uint8Array
      ? [...(o.tail as unknown as Uint8Array)].map((b) => b.toString(16).padStart(2, '0')).join('')
      : o.tail;
  const r = yield* p.iommufd.ioctl({
    call: o.call,
    fd: o.fd ?? 0,
    input: o.in === undefined ? {} : o.in,
    size: o.size,
    tail,
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
  const fd = device === undefined ? p.iommufd.openIommufd() : p.iommufd.openDevice(device);
  return done(`${device === undefined ? '/dev/iommu' : `the VFIO file of ${device}`} is fd ${fd}`, {
    out: { fd },
    main: fd,
    errno: '0',
  });
}

function* fdClose(p: Parts, op: Fields): Op<OpResult> {
  const { fd } = op as unknown as { fd: number };
  const { errno } = yield* p.iommufd.close(fd);
  return { ok: errno === '0', errno, text: errno === '0' ? `fd ${fd} closed` : `close of fd ${fd}: ${errno}` };
}

function fdRead(p: Parts, op: Fields): OpResult {
  const { fd, count } = op as unknown as { fd: number; count: number };
  const r = p.iommufd.read(fd, count);
  return {
    ok: r.errno === '0',
    errno: r.errno,
    out: { bytes: r.out.bytes, records: r.out.records },
    text: `${r.out.records.length} records read`,
    main: r.out.bytes,
  };
}

function dmaResult(d: PciDevice, what: string, r: DmaOutcome): OpResult {
  const text = r.ok
    ? `${what} reaches PA ${hexPlain(r.pa)}`
    : r.fault
      ? `${what} ends in ${r.fault.name}`
      : `${what} is aborted`;
  return {
    ok: r.ok,
    text: `${d.name}: ${text}`,
    hit: r.hit,
    reads: r.reads,
    ...(r.ok ? { pa: r.pa, main: r.pa } : {}),
    ...(r.fault ? { fault: { name: r.fault.name, fields: r.fault.fields } } : {}),
  };
}

function* dma(p: Parts, op: Fields): Op<OpResult> {
  const o = op as unknown as {
    device: string;
    pasid?: number;
    iova: bigint;
    access: 'read' | 'write';
    length: number;
    ats: 'untranslated' | 'translated';
  };
  const device = deviceOf(p, o.device);
  const what = `${o.access} of ${hexPlain(o.iova)}`;
  let first: DmaOutcome | null = null;
  // A transaction does not cross a page; a longer access is several.
  const end = o.iova + BigInt(Math.max(o.length, 1));
  for (let at = o.iova; at < end; at = (at & ~0xfffn) + 0x1000n) {
    const r = yield* p.smmu.dma({
      device,
      pasid: o.pasid ?? -1,
      iova: at,
      write: o.access === 'write',
      translated: o.ats === 'translated',
    });
    first =
      first === null
        ? r
        : {
            ...(first as DmaOutcome),
            reads: (first as DmaOutcome).reads + r.reads,
            ok: r.ok,
            ...(r.fault ? { fault: r.fault } : {}),
          };
    if (!r.ok) break;
  }
  return dmaResult(device, what, first!);
}

function* ats(p: Parts, op: Fields): Op<OpResult> {
  const o = op as unknown as { device: string; pasid?: number; iova: bigint; access: 'read' | 'write'; length: number };
  const device = deviceOf(p, o.device);
  const pages = Math.max(1, Math.ceil(o.length / PAGE_SIZE));
  let first: DmaOutcome | null = null;
  for (let i = 0; i < pages; i++) {
    const r = yield* p.smmu.ats(device, o.pasid ?? -1, o.iova + BigInt(i * PAGE_SIZE), o.access === 'write');
    first ??= r;
    if (!r.ok) return dmaResult(device, `translation request for ${hexPlain(o.iova)}`, r);
  }
  const r = dmaResult(device, `translation request for ${hexPlain(o.iova)}`, first!);
  return { ...r, text: `${device.name}: translation of ${hexPlain(o.iova)} is PA ${hexPlain(first!.pa)}` };
}

function* invalidate(p: Parts, op: Fields): Op<OpResult> {
  const o = op as unknown as { command?: { name: string; fields: Record<string, bigint> }; bytes?: Uint8Array };
  const words = o.command
    ? encodeCommand(o.command.name, o.command.fields)
    : bytesToWords(o.bytes ?? new Uint8Array(16));
  return yield* p.guest.invalidate([words[0] ?? 0n, words[1] ?? 0n]);
}

/** Domains of a PASID are not there yet; an answer that says so is better than one that ignores the PASID. */
const withoutPasid = (op: Operation): OpResult | null =>
  op['pasid'] === undefined ? null : refused('domains of a PASID are not modelled yet', 'EOPNOTSUPP');

/** Hot-unplug: the guest lets go of the device before it disappears. */
function* unplug(p: Parts, device: string): Op<OpResult> {
  if (p.guest.views().devices.some((d) => d.name === device)) yield* p.guest.remove({ device });
  return yield* p.vmm.unplug(device);
}

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
  'vmm.start': (p) => onKernel(p, () => p.vmm.start()),
  'vmm.plug': (p, op) => onKernel(p, () => p.vmm.plug(op.device)),
  'vmm.unplug': (p, op) => onKernel(p, () => unplug(p, op.device)),
  'vmm.map': (p, op) => onKernel(p, () => p.vmm.map({ gpa: op.gpa, size: op.size })),
  'vmm.unmap': (p, op) => onKernel(p, () => p.vmm.unmap({ gpa: op.gpa, size: op.size })),
  'guest.boot': (p) => p.guest.boot(),
  'guest.attach': (p, op) =>
    withoutPasid(op) ?? p.guest.attach({ device: op.device, domain: op.domain, cdTable: op.cdTable }),
  'guest.detach': (p, op) => withoutPasid(op) ?? p.guest.detach({ device: op.device }),
  'guest.map': (p, op) => p.guest.map({ domain: op.domain, iova: op.iova, gpa: op.gpa, size: op.size, perm: op.perm }),
  'guest.unmap': (p, op) => p.guest.unmap({ domain: op.domain, iova: op.iova, size: op.size, flush: op.flush }),
  'guest.flush': (p, op) => p.guest.flush({ domain: op.domain }),
  'guest.invalidate': invalidate,
  'device.dma': dma,
  'device.ats': ats,
};
