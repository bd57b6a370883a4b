import type { Errno } from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { DeviceInfo } from './device-info.ts';
import { wholeDeviceTlb } from './device-tlb.ts';
import type { Domain } from './domain.ts';
import { capsOf, type IntelIommu, type Kernel } from './kernel.ts';
import { flushWriteBuffer } from './mmio.ts';
import { didOf } from './pasid-entry.ts';
import { submitEach } from './queue.ts';
import { clearWrites, contextAddress, contextEntryAt, contextEntryOf, type FieldWrite, writeFields } from './tables.ts';

/** Context entries: of scalable mode, which lead to the PASID directory, and of legacy mode (pasid.c, iommu.c). */

const ALL = 2n ** 64n - 1n;
const P = 1n;
const bit = (n: number, on: boolean): FieldWrite => ({
  word: 0,
  mask: 1n << BigInt(n),
  bits: on ? 1n << BigInt(n) : 0n,
});
const publish: FieldWrite = { word: 0, mask: P, bits: P, publish: true };
const unpublish: FieldWrite = { word: 0, mask: P, bits: 0n };

/** PDTS: the directory has 2^(PDTS+7) entries. */
export const directorySize = (maxPasid: number): number => Math.max(0, Math.log2(maxPasid / 64) - 7);

/** device_pasid_table_setup; a device whose entry is present already is left alone. */
export function* setUpContext(k: Kernel, u: IntelIommu, d: DeviceInfo): Op<void> {
  const c = capsOf(k, u.index);
  const e = yield* contextEntryOf(k, u, d);
  if (k.bus.readWord(e.address) & P) return;
  const table = d.pasidTable!;
  yield* writeFields(k, e, [
    ...clearWrites(2),
    { word: 0, mask: ALL, bits: BigInt(table.directory) | (BigInt(directorySize(table.maxPasid)) << 9n) },
    // Requests without PASID have PASID 0.
    { word: 1, mask: 0xfffffn, bits: 0n },
    ...(d.atsSupported ? [bit(2, true)] : []),
    ...(d.pasidSupported ? [bit(3, true)] : []),
    ...(d.priSupported ? [bit(4, true)] : []),
    bit(1, false),
    publish,
  ]);
  yield* submitEach(k, u, k.rules.contextSetUp(c.cm, d.sid, c));
}

/** device_pasid_table_teardown: all PASID entries of the device have gone before. */
export function* tearDownContext(k: Kernel, u: IntelIommu, d: DeviceInfo): Op<void> {
  const address = contextAddress(k, u, d.sid);
  if (address === null) return;
  const c = capsOf(k, u.index);
  const e = contextEntryAt(k, u, d, address);
  const did = Number((k.bus.readWord(address + 8) >> 8n) & 0xffffn);
  yield* writeFields(k, e, clearWrites(2));
  yield* submitEach(k, u, k.rules.contextTornDown(d.sid, did, contextDeviceTlb(k, u, d), c));
}

/** __context_flush_dev_iotlb: some devices are asked twice. */
function contextDeviceTlb(k: Kernel, u: IntelIommu, d: DeviceInfo) {
  const once = wholeDeviceTlb(k, u, d, 0);
  return d.extraInvalidation ? [...once, ...once] : once;
}

/** Legacy mode: domain_context_mapping_one, context_setup_pass_through. */
export function* setUpLegacyContext(k: Kernel, u: IntelIommu, d: DeviceInfo, domain: Domain): Op<Errno> {
  if (domain.kind !== 'ss' && domain.kind !== 'identity') return 'EINVAL';
  const c = capsOf(k, u.index);
  const e = yield* contextEntryOf(k, u, d);
  if (k.bus.readWord(e.address) & P) return '0';
  const passThrough = domain.kind === 'identity';
  const type = passThrough ? 2n : d.atsSupported ? 1n : 0n;
  const did = didOf(domain, u.index);
  yield* writeFields(k, e, [
    ...clearWrites(2),
    { word: 1, mask: 0xffff00n, bits: BigInt(did) << 8n },
    ...(passThrough ? [] : [{ word: 0, mask: ~0xfffn & ALL, bits: domain.root }]),
    { word: 1, mask: 7n, bits: BigInt(passThrough ? c.agaw : domain.levels - 2) },
    { word: 0, mask: 0xcn, bits: type << 2n },
    bit(1, false),
    publish,
  ]);
  if (c.cm) yield* submitEach(k, u, k.rules.contextSetUp(c.cm, d.sid, c));
  else yield* flushWriteBuffer(k, u);
  return '0';
}

/** Legacy mode: domain_context_clear_one. */
export function* blockContext(k: Kernel, u: IntelIommu, d: DeviceInfo): Op<void> {
  const address = contextAddress(k, u, d.sid);
  if (address === null || !(k.bus.readWord(address) & P)) return;
  const c = capsOf(k, u.index);
  const e = contextEntryAt(k, u, d, address);
  const did = Number((k.bus.readWord(address + 8) >> 8n) & 0xffffn);
  yield* writeFields(k, e, [unpublish]);
  yield* submitEach(k, u, k.rules.contextTornDown(d.sid, did, contextDeviceTlb(k, u, d), c));
  yield* writeFields(k, e, clearWrites(2));
}
