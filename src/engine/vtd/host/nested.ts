import {
  type DomainHandle,
  type DomainInfo,
  type Errno,
  fail,
  ok,
  type Result,
  toBigInt,
  type UserArray,
  type UserData,
} from '../../iommufd/index.ts';
import type { Op } from '../../machine/index.ts';
import type { Change, CommandText } from '../../trace/index.ts';
import { ALL_PAGES, descriptorText, s1InvalidateText } from '../layout/index.ts';
import { type CacheTag, capsOf, deviceOf, domainOf, flushRange, newDomain } from '../linux/index.ts';
import { PASID } from './domains.ts';
import type { Host } from './state.ts';

/** Nested domains: a guest's first-stage table on a nest parent (drivers/iommu/intel/nested.c). */

const HWPT_DATA_VTD_S1 = 1;
const S1_BYTES = 24;
const INVALIDATE_DATA_VTD_S1 = 0;
const INVALIDATE_BYTES = 24;
const FLAGS_KNOWN = 1;

type Fields = readonly (readonly [string, number])[];
const s1Fields: Fields = [
  ['flags', 64],
  ['pgtbl_addr', 64],
  ['addr_width', 32],
  ['__reserved', 32],
];
const invalidateFields: Fields = [
  ['addr', 64],
  ['npages', 64],
  ['flags', 32],
  ['__reserved', 32],
];

/** null for what is no whole number. */
function numberOf(v: unknown): bigint | null {
  try {
    return toBigInt(v);
  } catch {
    return null;
  }
}

/** Fields of a structure of user space's; those left out are zero. null: nothing readable is there. */
function copyFields(value: unknown, fields: Fields): Record<string, bigint> | null {
  if (value === null || typeof value !== 'object') return null;
  const given = value as Record<string, unknown>;
  const out: Record<string, bigint> = {};
  for (const [name, bits] of fields) {
    const n = numberOf(given[name] ?? 0);
    if (n === null) return null;
    out[name] = BigInt.asUintN(bits, n);
  }
  return out;
}

/**
 * intel_iommu_domain_alloc_nested. Of the data only type and length are checked: pgtbl_addr, its alignment, the flags and the
 * reserved field are taken as they are, addr_width is looked at when a device is attached.
 */
export function allocNested(
  h: Host,
  device: string,
  parent: DomainHandle,
  flags: number,
  data: UserData,
): Result<DomainInfo> {
  const c = capsOf(h.kernel, deviceOf(h.kernel, device).unit);
  if (!c.nested || flags & ~PASID) return fail('EOPNOTSUPP');
  if (data.type !== HWPT_DATA_VTD_S1) return fail('EOPNOTSUPP');
  const p = domainOf(h.kernel, parent);
  if (p.kind !== 'ss' || !p.nestParent) return fail('EINVAL');
  if (data.len !== S1_BYTES) return fail('EINVAL');
  const s1 = copyFields(data.fields, s1Fields);
  if (!s1) return fail('EFAULT');
  const s1Width = Number(s1['addr_width']);
  const d = newDomain(h.kernel, {
    kind: 'nested',
    parent,
    root: s1['pgtbl_addr']!,
    s1Flags: Number(s1['flags']! & 7n),
    s1Width,
    levels: s1Width === 57 ? 5 : 4,
  });
  return ok({ handle: d.handle, minPageSize: 0, aperture: { start: 0n, last: 0n } });
}

/**
 * intel_nested_cache_invalidate_user: one range flush an entry, up to the first bad one. No DID, no PASID: those are in the
 * tags of the domain's attachments.
 * @returns `done`: entries handled
 */
export function* invalidateNested(h: Host, handle: DomainHandle, array: UserArray): Op<{ errno: Errno; done: number }> {
  if (array.type !== INVALIDATE_DATA_VTD_S1) return { errno: 'EINVAL', done: 0 };
  const d = domainOf(h.kernel, handle);
  for (let i = 0; i < array.entryNum; i++) {
    if (array.entryLen !== INVALIDATE_BYTES) return { errno: 'EINVAL', done: i };
    const e = copyFields(array.entries?.[i] ?? null, invalidateFields);
    if (!e) return { errno: 'EFAULT', done: i };
    const [addr, npages, flags] = [e['addr']!, e['npages']!, Number(e['flags'])];
    if (flags & ~FLAGS_KNOWN || e['__reserved']) return { errno: 'EOPNOTSUPP', done: i };
    if (addr & 0xfffn || (npages === ALL_PAGES && addr)) return { errno: 'EINVAL', done: i };
    const pages = h.rules.invalidatedPages(npages);
    const end = BigInt.asUintN(64, addr + pages * 4096n - 1n);
    const from = s1InvalidateText([addr, npages, BigInt(flags)]);
    yield* flushRange(h.kernel, d, addr, end, h.rules.leavesOnly(flags), (tag, words) => {
      traceRewrite(h, handle, from, tag, words);
    });
  }
  return { errno: '0', done: array.entryNum };
}

/** A guest's invalidation becomes one descriptor a tag. */
function traceRewrite(h: Host, handle: DomainHandle, from: CommandText, tag: CacheTag, words: readonly bigint[]): void {
  if (!h.trace.listener) return;
  const command = descriptorText(words);
  const changes: Change[] = [{ field: 'opcode', from: from.name, to: command.name }];
  const iotlb = tag.type === 'iotlb';
  if (iotlb) changes.push({ field: 'DID', from: '-', to: String(tag.did) });
  else {
    const { sid } = h.kernel.state.devices.find((x) => x.name === tag.device)!;
    changes.push({ field: 'SID', from: '-', to: `0x${sid.toString(16)}` });
  }
  if (iotlb || tag.pasid) changes.push({ field: 'PASID', from: '-', to: `0x${tag.pasid.toString(16)}` });
  if (iotlb && ((words[0]! >> 4n) & 3n) === 3n)
    changes.push({ field: 'AM', from: `${from.words[1]} pages`, to: String(words[1]! & 0x3fn) });
  h.trace.listener({
    kind: 'command.rewrite',
    actor: 'driver',
    at: h.upcalls!.domainSceneId(handle),
    to: h.kernel.units[tag.unit]!.ids.queue,
    from,
    command,
    changes,
  });
}
