import type { Errno } from '../../iommufd/index.ts';
import { type Op, pause } from '../../machine/index.ts';
import { PAGE_SIZE } from '../../memory/index.ts';
import { attachNow } from './attach.ts';
import { setUpContext, tearDownContext } from './context.ts';
import type { DeviceInfo } from './device-info.ts';
import { BLOCKED, IDENTITY } from './domain.ts';
import { deviceOf, domainOf } from './domains.ts';
import { capsOf, type Kernel } from './kernel.ts';
import { detachPasidNow } from './pasid.ts';
import { didOf } from './pasid-entry.ts';
import { allocateZeroed } from './tables.ts';
import { assignTag } from './tags.ts';

/** A device comes and goes (iommu.c intel_iommu_probe_device, _probe_finalize, _release_device). */

const DIRECTORY_PASIDS_PER_PAGE = 2 ** 15;

/**
 * What the device can do behind its unit, its PASID directory, and its context entry. It is blocked then.
 * @returns ENODEV for a device that this kernel does not have
 */
export function* probeDevice(k: Kernel, name: string): Op<Errno> {
  const pci = k.pci.get(name);
  const unit = k.unitOf.get(name);
  if (!pci || unit === undefined) return 'ENODEV';
  const c = capsOf(k, unit);
  const atsSupported = c.dt && pci.atsCapable;
  const pasidSupported = c.pasids && pci.pasidBits > 0;
  const device: DeviceInfo = {
    name,
    unit,
    sid: pci.rid & 0xffff,
    pfsid: (pci.pfsid ?? pci.rid) & 0xffff,
    atsQdep: pci.atsQueueDepth ?? 32,
    extraInvalidation: false,
    pasidSupported,
    atsSupported,
    // Page requests need ATS, and a unit that can drain them.
    priSupported: c.scalable && atsSupported && c.prs && c.pds && pci.priCapable,
    pasidEnabled: false,
    atsEnabled: false,
    priEnabled: false,
    pasidTable: null,
    domain: BLOCKED,
    pasids: new Map(),
    iopf: null,
    reset: null,
  };
  // Off until the driver wants them, whatever firmware has left.
  pci.atsEnabled = pci.priEnabled = pci.pasidEnabled = false;
  k.state.gone = k.state.gone.filter((g) => g.name !== name);
  k.state.devices.push(device);
  if (!c.scalable) return '0';
  const bits = pasidSupported ? Math.min(pci.pasidBits, c.pasidBits) : 0;
  const size = bits > 0 ? 2 ** bits / 8 : 0;
  const order = size > PAGE_SIZE ? Math.ceil(Math.log2(size / PAGE_SIZE)) : 0;
  const directory = allocateZeroed(k, PAGE_SIZE * 2 ** order);
  device.pasidTable = { directory, order, maxPasid: DIRECTORY_PASIDS_PER_PAGE * 2 ** order };
  yield* setUpContext(k, k.units[unit]!, device);
  return '0';
}

/** After the default domain was attached: PASIDs first, then ATS with its tag, then page requests. */
export function* finalizeDevice(k: Kernel, name: string): Op<void> {
  const d = deviceOf(k, name);
  const pci = k.pci.get(name)!;
  if (d.pasidSupported) pci.pasidEnabled = d.pasidEnabled = true;
  if (d.atsSupported) {
    pci.atsEnabled = d.atsEnabled = true;
    yield pause(k.actor, 'ats');
    const domain = domainOf(k, d.domain);
    if (d.domain !== BLOCKED && d.domain !== IDENTITY)
      for (const type of k.rules.tagsWhenAtsComes()) assignTag(k, domain, d, didOf(domain, d.unit), 0, type);
  }
  if (d.priSupported && d.atsEnabled) pci.priEnabled = d.priEnabled = true;
}

/** The device is unplugged: its domains go, its capabilities are off, then the context entry and the tables. */
export function* releaseDevice(k: Kernel, name: string): Op<void> {
  const d = deviceOf(k, name);
  const u = k.units[d.unit]!;
  const detach = function* (): Op<void> {
    for (const pasid of [...d.pasids.keys()].sort((a, b) => a - b)) yield* detachPasidNow(k, d, pasid);
    yield* attachNow(k, d, domainOf(k, BLOCKED));
  };
  if (k.rules.releaseOrder() === 'tags first') yield* detach();
  const pci = k.pci.get(name)!;
  pci.priEnabled = d.priEnabled = false;
  pci.atsEnabled = d.atsEnabled = false;
  pci.pasidEnabled = d.pasidEnabled = false;
  if (k.rules.releaseOrder() === 'ATS first') yield* detach();
  if (capsOf(k, d.unit).scalable) {
    yield* tearDownContext(k, u, d);
    freeTables(k, d);
  }
  k.state.devices = k.state.devices.filter((x) => x !== d);
  k.state.gone.push({ name, sid: d.sid, pfsid: capsOf(k, d.unit).dit ? d.pfsid : 0, atsQdep: d.atsQdep });
}

/** intel_pasid_free_table */
function freeTables(k: Kernel, d: DeviceInfo): void {
  const table = d.pasidTable;
  if (!table) return;
  d.pasidTable = null;
  const bytes = PAGE_SIZE * 2 ** table.order;
  for (let at = table.directory; at < table.directory + bytes; at += 8) {
    const entry = k.bus.readWord(at);
    if (entry & 1n) k.pages.release(Number((entry >> 12n) << 12n), PAGE_SIZE);
  }
  k.pages.release(table.directory, bytes);
}
