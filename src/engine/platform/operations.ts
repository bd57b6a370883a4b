import { bytesToWords } from '../bits/index.ts';
import type { Op, OpResult } from '../machine/index.ts';
import { ats, dma, pri, reset } from './device-operations.ts';
import { fdClose, fdOpen, fdRead, fdWrite, ioctl } from './kernel-operations.ts';
import { type Guest, guestNamed, isProbed, type Machine } from './machine.ts';
import { memoryRead, memoryWrite, registerRead, registerWrite } from './memory-operations.ts';
import { type Fields, guestFor, type Handler, run } from './operation.ts';

/** The kernel is up before anything of it is used; a bare document that never asks for it keeps the hardware to itself. */
export function* probed(p: Machine): Op<void> {
  if (!isProbed(p)) yield* p.drivers.probe();
}

function* onKernel(p: Machine, op: () => Op<OpResult> | OpResult): Op<OpResult> {
  yield* probed(p);
  return yield* run(op());
}

/** A command of the guest's choice on its queue, by name and fields or as bytes. */
function* invalidate(p: Machine, op: Fields, encode: Dialect['encode']): Op<OpResult> {
  const o = op as unknown as { command?: { name: string; fields: Record<string, bigint> }; bytes?: Uint8Array };
  const words = o.command ? encode(o.command.name, o.command.fields) : bytesToWords(o.bytes ?? new Uint8Array(16));
  return yield* guestNamed(p, op.guest).linux.invalidate(words, op.unit);
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

/** What the operations need to know of a vendor's commands and registers. */
export interface Dialect {
  /** A command's words. */
  readonly encode: (name: string, fields: Readonly<Record<string, bigint>>) => bigint[];
  /** The unit's own trace says nothing about a write to it. */
  readonly isDoorbell: (reg: string) => boolean;
  /** Scene id of the table in a guest's memory that holds this address, for a picture of a write to it. */
  readonly placeOf?: (g: Guest, address: number) => string | null;
}

/** Every operation of the format but `inject`, which is the machine's own. */
export const handlersFor = (dialect: Dialect): Readonly<Record<string, Handler>> => ({
  'memory.write': (p, op) => memoryWrite(p, op, dialect.placeOf),
  'memory.read': memoryRead,
  'register.write': (p, op) => registerWrite(p, op, dialect.isDoorbell),
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
  'guest.invalidate': (p, op) => invalidate(p, op, dialect.encode),
  'device.dma': (p, op) => dma(p, op as never),
  'device.ats': (p, op) => ats(p, op as never),
  'device.pri': (p, op) => pri(p, op as never),
  'device.reset': (p, op) => reset(p, op as never),
});
