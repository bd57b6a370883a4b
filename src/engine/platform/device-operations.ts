import { hexPlain } from '../bits/index.ts';
import { deviceId, type Op, type OpResult, pause } from '../machine/index.ts';
import { PAGE_SIZE } from '../memory/index.ts';
import type { PageResponseCode, PciDevice } from '../pci/index.ts';
import { interrupts } from './interrupts.ts';
import {
  deviceNamed,
  guestOfDevice,
  type Hardware,
  isProbed,
  type Machine,
  type Outcome,
  unitOfDevice,
} from './machine.ts';

/** What devices do: accesses, translation requests, page requests, resets. */

interface Access {
  readonly device: string;
  readonly pasid?: number;
  readonly iova: bigint;
  readonly access: 'read' | 'write' | 'read-write';
  readonly length: number;
}

const withPasid = (pasid: number | undefined): string => (pasid === undefined ? '' : ` PASID ${pasid}`);

function dmaResult(d: PciDevice, what: string, r: Outcome): OpResult {
  const text = r.ok
    ? `${what} reaches PA ${hexPlain(r.pa)}`
    : r.stag !== undefined
      ? `${what} waits, stalled (STAG ${r.stag})`
      : r.raz
        ? `${what} is ended without an abort${r.fault ? `, after ${r.fault.name}` : ''}: it reads as zero, writes are ignored`
        : r.fault
          ? `${what} ends in ${r.fault.name}`
          : `${what} is aborted${r.why ? `: ${r.why}` : ''}`;
  return {
    ok: r.ok,
    text: `${d.name}: ${text}`,
    hit: r.hit,
    reads: r.reads,
    ...(r.ok ? { pa: r.pa, main: r.pa } : {}),
    ...(r.stag === undefined ? {} : { stag: r.stag }),
    ...(r.fault ? { fault: { name: r.fault.name, fields: r.fault.fields } } : {}),
  };
}

/** Serves what a stalled access has raised. @returns what became of it, itself while it still waits */
function* answered(p: Machine, iommu: Hardware, r: Outcome): Op<Outcome> {
  if (r.stag === undefined) return r;
  yield* interrupts(p);
  const outcome = iommu.outcomeOf?.(r.stag);
  return outcome ? { ...outcome, reads: r.reads + outcome.reads } : r;
}

export function* dma(p: Machine, o: Access & { readonly ats: 'untranslated' | 'translated' }): Op<OpResult> {
  const device = deviceNamed(p, o.device);
  const { iommu } = unitOfDevice(p, device);
  const what = `${o.access} of ${hexPlain(o.iova)}${withPasid(o.pasid)}`;
  let first: Outcome | null = null;
  // A transaction does not cross a page; a longer access is several.
  const end = o.iova + BigInt(Math.max(o.length, 1));
  for (let at = o.iova; at < end; at = (at & ~0xfffn) + 0x1000n) {
    const sent: Outcome = yield* iommu.dma({
      device,
      pasid: o.pasid ?? -1,
      iova: at,
      write: o.access === 'write',
      translated: o.ats === 'translated',
    });
    const r: Outcome = yield* answered(p, iommu, sent);
    // The first page says where the access arrived, the last one how it ended.
    first = first === null ? r : { ...(r.ok ? first : { ...r, hit: first.hit }), reads: first.reads + r.reads };
    if (!r.ok) break;
  }
  return dmaResult(device, what, first!);
}

export function* ats(p: Machine, o: Access): Op<OpResult> {
  const device = deviceNamed(p, o.device);
  const { iommu } = unitOfDevice(p, device);
  const what = `${hexPlain(o.iova)}${withPasid(o.pasid)}`;
  const pages = Math.max(1, Math.ceil(o.length / PAGE_SIZE));
  let first: Outcome | null = null;
  for (let i = 0; i < pages; i++) {
    const r: Outcome = yield* iommu.ats(device, o.pasid ?? -1, o.iova + BigInt(i * PAGE_SIZE), o.access === 'write');
    first ??= r;
    if (!r.ok) return dmaResult(device, `translation request for ${what}`, r);
  }
  const r = dmaResult(device, `translation request for ${what}`, first!);
  return { ...r, text: `${device.name}: translation of ${what} is PA ${hexPlain(first!.pa)}` };
}

/** A page request and its answer, which the IOMMU gives at once or software when it has served the queue. */
export function* pri(p: Machine, o: Access & { readonly group: number; readonly last: boolean }): Op<OpResult> {
  const device = deviceNamed(p, o.device);
  const { iommu } = unitOfDevice(p, device);
  const access = { read: o.access !== 'write', write: o.access !== 'read' };
  const r = yield* iommu.pri(device, o.pasid ?? -1, o.iova, access, o.group, o.last);
  const what = `page request for ${hexPlain(o.iova)}${withPasid(o.pasid)}`;
  if (!r.sent) return { ok: false, text: `${device.name}: ${what} is not sent: ${r.text}` };
  yield* interrupts(p);
  const code: PageResponseCode | undefined = (r.response ?? device.pri.answerOf(o.group))?.code;
  const rest = code ? `is answered: ${code}` : `waits: ${r.text}`;
  return {
    ok: code === undefined || code === 'success',
    text: `${device.name}: ${what} ${rest}`,
    out: { group: o.group, recorded: r.recorded, response: code ?? 'none' },
  };
}

/**
 * A function-level reset that the guest asks for: its kernel prepares, the host's does so around the reset itself, and both
 * bring back what was attached (pci_reset_function; VFIO for the guest's write of the FLR bit).
 */
export function* reset(p: Machine, o: { readonly device: string }): Op<OpResult> {
  const device = deviceNamed(p, o.device);
  const { linux, vmm } = guestOfDevice(p, device);
  const known = linux.views().devices.some((d) => d.name === device.name);
  // A device that no driver has taken is reset by nobody but itself.
  const host = isProbed(p) && p.drivers.device(device.name) !== undefined;
  const errors: string[] = [];
  const failed = (who: string, r: { ok: boolean; text: string }): void => {
    if (!r.ok) errors.push(`${who}: ${r.text}`);
  };
  if (known) failed('guest', yield* linux.resetPrepare({ device: device.name }));
  let errno = '0';
  const kernelReset = function* (): Op<void> {
    if (host) errno = yield* p.drivers.resetPrepare(device.name);
    if (errno !== '0') return;
    p.trace.listener?.({ kind: 'note', actor: 'device', at: deviceId(device), text: 'function-level reset' });
    device.reset();
    yield pause('device', 'reset');
    if (host) yield* p.drivers.resetDone(device.name);
  };
  // The guest's write of the FLR bit is one that the VMM traps.
  if (vmm.isPlugged(device.name)) yield* vmm.deviceReset(device.name, kernelReset);
  else yield* kernelReset();
  if (errno !== '0') return { ok: false, errno, text: `reset of ${device.name}: ${errno}` };
  if (known) failed('guest', yield* linux.resetDone({ device: device.name }));
  const text = `${device.name} is reset`;
  return errors.length ? { ok: false, text: `${text}; ${errors.join('; ')}` } : { ok: true, text };
}
