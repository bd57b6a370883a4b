import { type Op, pause } from '../machine/index.ts';
import type { PageRequest } from './driver.ts';
import type { Errno } from './errno.ts';
import { failed, finalize, type IoctlResult, type Kernel, remove } from './kernel.ts';
import {
  type Context,
  type Device,
  type Fault,
  type FaultGroup,
  type Hwpt,
  mustFind,
  nextId,
  sceneId,
} from './objects.ts';
import type { IoctlArgs } from './structs.ts';
import { toBigInt } from './structs.ts';

/** Fault queues: IOMMU_FAULT_QUEUE_ALLOC, reading requests and writing answers (drivers/iommu/iommufd/eventq.c). */

const PASID_VALID = 1;
const LAST_PAGE = 2;
/** sizeof(struct iommu_hwpt_pgfault), sizeof(struct iommu_hwpt_page_response). */
const FAULT_BYTES = 40;
const RESPONSE_BYTES = 8;
const RESPONSES = ['success', 'invalid'] as const;

export function faultAlloc(k: Kernel, ctx: Context, a: IoctlArgs): IoctlResult {
  if (a.num('flags') !== 0) return failed('EOPNOTSUPP');
  const id = nextId(ctx);
  // One reference more while the fd is open.
  const fault: Fault = { type: 'FAULT', id, users: 2, deliver: [], response: new Map() };
  finalize(k, ctx, fault, 'empty fault queue');
  const fd = k.openQueue(ctx, 'fault', id);
  return { errno: '0', out: { out_fault_id: id, out_fault_fd: fd }, main: id };
}

/** iommufd_fault_iopf_handler */
export function deliverFault(k: Kernel, ctx: Context, id: number, group: FaultGroup): void {
  const fault = mustFind(ctx, id, 'FAULT');
  fault.deliver.push(group);
  const r = group.requests.at(-1)!;
  k.trace.listener?.({
    kind: 'note',
    actor: 'iommufd',
    at: sceneId(ctx, fault.id),
    text: `page request of ${mustFind(ctx, group.device, 'DEVICE').device}${pasidText(r)} at 0x${r.address.toString(16)} waits in FAULT ${fault.id}`,
  });
}

const pasidText = (r: PageRequest): string => (r.pasid === null ? '' : ` pasid ${r.pasid}`);

export type FaultRecord = Readonly<Record<string, unknown>>;

/**
 * read(): whole groups while they fit, one record a request. Never blocks: an empty queue gives 0 bytes. A group that was
 * read gets the lowest free cookie and waits for its answer. ESPIPE: `count` is no multiple of a record.
 */
export function readFaults(
  fault: Fault,
  count: number,
): { readonly errno: Errno; readonly bytes: number; readonly records: readonly FaultRecord[] } {
  const records: FaultRecord[] = [];
  if (count % FAULT_BYTES !== 0) return { errno: 'ESPIPE', bytes: 0, records };
  for (let g = fault.deliver[0]; g; g = fault.deliver[0]) {
    if ((records.length + g.requests.length) * FAULT_BYTES > count) break;
    fault.deliver.shift();
    let cookie = 1;
    while (fault.response.has(cookie)) cookie++;
    fault.response.set(cookie, g);
    for (const r of g.requests) records.push(compose(r, g.device, cookie));
  }
  return { errno: '0', bytes: records.length * FAULT_BYTES, records };
}

const compose = (r: PageRequest, device: number, cookie: number): FaultRecord => ({
  flags: (r.pasid === null ? 0 : PASID_VALID) | (r.last ? LAST_PAGE : 0),
  dev_id: device,
  pasid: r.pasid ?? 0,
  grpid: r.group,
  perm: r.perm,
  addr: r.address,
  length: 0,
  cookie,
});

/**
 * write(): answers, each `{cookie, code}`. They are handled one by one up to the first bad one: an unreadable one is EFAULT,
 * an unknown code or cookie EINVAL. The error comes back only when no answer before it was handled.
 * @param count bytes written; the records' own size when left out
 */
export function* writeResponses(
  k: Kernel,
  ctx: Context,
  fault: Fault,
  records: readonly unknown[],
  count = records.length * RESPONSE_BYTES,
): Op<{ readonly errno: Errno; readonly bytes: number }> {
  if (count % RESPONSE_BYTES !== 0) return { errno: 'ESPIPE', bytes: 0 };
  let bytes = 0;
  for (; bytes < count; bytes += RESPONSE_BYTES) {
    const stop = (errno: Errno): { errno: Errno; bytes: number } => ({ errno: bytes ? '0' : errno, bytes });
    const r = records[bytes / RESPONSE_BYTES];
    if (r === null || typeof r !== 'object') return stop('EFAULT');
    const { cookie, code } = r as { cookie?: unknown; code?: unknown };
    const response = RESPONSES[Number(toBigInt(code ?? 0))];
    if (!response) return stop('EINVAL');
    const key = Number(toBigInt(cookie ?? 0));
    const group = fault.response.get(key);
    if (!group) return stop('EINVAL');
    fault.response.delete(key);
    yield* answer(k, ctx, fault, group, response);
  }
  return { errno: '0', bytes };
}

function* answer(k: Kernel, ctx: Context, fault: Fault, group: FaultGroup, code: 'success' | 'invalid'): Op<void> {
  const { device } = mustFind(ctx, group.device, 'DEVICE');
  const r = group.requests.at(-1)!;
  k.trace.listener?.({
    kind: 'note',
    actor: 'iommufd',
    at: sceneId(ctx, fault.id),
    to: k.driver.sceneId?.(device) ?? 'kernel.driver',
    text: `page request of ${device}${pasidText(r)} at 0x${r.address.toString(16)} is answered: ${code}`,
  });
  yield* k.driver.pageResponse(device, r, code);
  yield pause('iommufd', 'fault.response');
}

/**
 * iommufd_auto_response_faults: an attachment ends, and nobody will answer its page requests any more. They are invalid:
 * first those not yet read, then the read ones by cookie.
 */
export function* answerAll(k: Kernel, ctx: Context, hwpt: Hwpt, dev: Device, attachedAs: number): Op<void> {
  if (hwpt.fault === null) return;
  const fault = mustFind(ctx, hwpt.fault, 'FAULT');
  const mine = (g: FaultGroup): boolean => g.device === dev.id && g.attachedAs === attachedAs;
  yield* invalidate(k, ctx, fault, mine);
}

function* invalidate(k: Kernel, ctx: Context, fault: Fault, mine: (g: FaultGroup) => boolean): Op<void> {
  const groups = fault.deliver.filter(mine);
  fault.deliver = fault.deliver.filter((g) => !mine(g));
  const cookies = [...fault.response.keys()].sort((a, b) => a - b).filter((c) => mine(fault.response.get(c)!));
  for (const c of cookies) {
    groups.push(fault.response.get(c)!);
    fault.response.delete(c);
  }
  for (const g of groups) yield* answer(k, ctx, fault, g, 'invalid');
}

/** iommufd_fault_destroy */
export function* destroyFault(k: Kernel, ctx: Context, fault: Fault): Op<void> {
  remove(k, ctx, fault);
  yield* invalidate(k, ctx, fault, () => true);
}
