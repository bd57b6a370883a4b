import { inputProblem } from '../iommufd/index.ts';
import type { Op, OpResult } from '../machine/index.ts';

import { noDevice } from '../vmm/vfio.ts';
import { guestNamed, type Machine } from './machine.ts';
import { done, type Fields, guestFor, refused } from './operation.ts';

/** System calls of a guest's VMM process. */

export function* ioctl(p: Machine, op: Fields): Op<OpResult> {
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

export function fdOpen(p: Machine, op: Fields): OpResult {
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

export function* fdClose(p: Machine, op: Fields): Op<OpResult> {
  const { fd } = op as unknown as { fd: number };
  const { errno } = yield* guestNamed(p, op.guest).kernel.close(fd);
  return { ok: errno === '0', errno, text: errno === '0' ? `fd ${fd} closed` : `close of fd ${fd}: ${errno}` };
}

export function fdRead(p: Machine, op: Fields): OpResult {
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

export function* fdWrite(p: Machine, op: Fields): Op<OpResult> {
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
