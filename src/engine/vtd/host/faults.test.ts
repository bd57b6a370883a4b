import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { A, attach, type Bed, bed, detach, dma, GPA, guestTable, type Nest, nest, nested, stale } from './testbed.ts';

/** Page requests of a guest's devices, through the host's queue to user space and back (`intel-vtd.md` 3.6, 9.8, 9.10). */

const TABLE = GPA + 0x4000000;
const PAGE = GPA + 0x8000000;
const IOVA = 0x7f0012345000;

interface Faulting {
  readonly b: Bed;
  readonly n: Nest;
  readonly queue: number;
  readonly s1: number;
  readonly t: ReturnType<typeof guestTable>;
}

/** A device with page requests, on a nested page table with a fault queue, for a PASID or its RID. */
function faulting(pasid: number, deviations: string[] = []): Faulting {
  const b = bed({ devices: [{ ...A, pri: true }], deviations });
  const n = nest(b);
  const q = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', {});
  const t = guestTable(b, TABLE);
  const s1 = nested(b, n, t.root, { faultId: q.main! });
  const r = attach(b, n, s1, pasid);
  if (r.errno !== '0') throw new Error(r.errno);
  b.posted();
  b.lines();
  return { b, n, queue: Number(q.out['out_fault_fd']), s1, t };
}

function ask(b: Bed, pasid: number, iova: number, o: { group?: number; last?: boolean } = {}): void {
  const access = { read: true, write: true };
  runToEnd(b.unit.pri(b.devices[0]!, pasid, BigInt(iova), access, o.group ?? 5, o.last ?? true));
  runToEnd(b.driver.interrupt());
}

describe('a page request', () => {
  it('9.8: goes to the fault queue of its PASID, and the answer back to the device', () => {
    const { b, queue, t } = faulting(0x1234);
    ask(b, 0x1234, IOVA);
    expect(b.lines('prq_report')).toEqual([
      'prq_report: dmar0/0000:3b:00.0 seq# 0: rid=0x3b00 addr=0x7f0012345 rw--l pasid=0x1234 index=0x5',
    ]);
    const { records } = b.iommufd.read(queue, 40).out;
    expect(records).toMatchObject([{ flags: 3, pasid: 0x1234, grpid: 5, perm: 3, addr: BigInt(IOVA), cookie: 1 }]);
    t.map(IOVA, PAGE);
    expect(runToEnd(b.iommufd.write(queue, [{ cookie: 1, code: 0 }])).errno).toBe('0');
    expect(b.posted()).toEqual(['0x12343b000019 0x28']);
    expect(b.devices[0]!.pri.answerOf(5)).toMatchObject({ code: 'success' });
    expect(dma(b, IOVA, { pasid: 0x1234, write: true }).ok).toBe(true);
  });

  it('without PASID goes to that of the RID', () => {
    const { b, queue } = faulting(0);
    ask(b, -1, 0x10000);
    expect(b.iommufd.read(queue, 40).out.records).toMatchObject([{ flags: 2, pasid: 0, grpid: 5 }]);
    runToEnd(b.iommufd.write(queue, [{ cookie: 1, code: 1 }]));
    expect(b.posted()).toEqual(['0x3b001009 0x28']);
  });

  it('that is not the last of its group waits for that', () => {
    const { b, queue } = faulting(0x1234);
    ask(b, 0x1234, IOVA, { last: false });
    expect(b.iommufd.readable(queue)).toBe(false);
    ask(b, 0x1234, IOVA + 4096);
    const { records } = b.iommufd.read(queue, 80).out;
    expect(records.map((r) => [r['flags'], r['addr']])).toEqual([
      [1, BigInt(IOVA)],
      [3, BigInt(IOVA + 4096)],
    ]);
  });

  it('that nobody takes is invalid', () => {
    const { b, n, t } = faulting(0x1234);
    // The unit refuses a PASID without an entry by itself; this one has a page table without a fault queue.
    attach(b, n, nested(b, n, t.root), 7);
    b.posted();
    ask(b, 7, IOVA);
    expect(b.posted()).toEqual(['0x73b001019 0x28']);
  });
});

describe('an attachment ends with page requests waiting', () => {
  it('they are answered as invalid, and the entry is drained', () => {
    const { b, n } = faulting(0x1234);
    ask(b, 0x1234, IOVA);
    b.posted();
    detach(b, n, 0x1234);
    const posted = b.posted();
    // 9.10 with the reserved DID, since no domain is attached to the RID: fence, P_IOTLB, P_DevTLB, and a draining wait.
    const drain = ['0x200000045 0x0', '0x123400010026 0x0', '0x12343b000008 0x7ffffffffffff800'];
    expect(posted).toEqual([
      '0x123400020017 0x0',
      '0x200e2 0x0',
      '0x12343b000008 0x7ffffffffffff800',
      ...drain,
      '0x12343b001019 0x28',
    ]);
    const waits = b.events.flatMap((e) => (e.kind === 'command.post' ? [e.command.words[0]!] : []));
    expect(waits).toContain(0x2000000a5n);
    expect(b.devices[0]!.pri.answerOf(5)).toMatchObject({ code: 'invalid request' });
    expect(stale(b)).toEqual([]);
  });

  it('10.12, 9.10: the drain of a PASID uses the DID of the RID’s domain', () => {
    const { b, n } = faulting(0x1234);
    attach(b, n, n.parent);
    const did = b.driver.pasidEntry(A.name, 0)!.words[1]! & 0xffffn;
    b.posted();
    detach(b, n, 0x1234);
    expect(did).toBe(3n);
    expect(b.posted()[4]).toBe('0x123400030026 0x0');
  });
});

it('a page table with a fault queue needs PRI: ENODEV, and the RID stays blocked', () => {
  const b = bed();
  const n = nest(b);
  const q = b.ioctl('IOMMU_FAULT_QUEUE_ALLOC', {});
  const s1 = nested(b, n, guestTable(b, TABLE).root, { faultId: q.main! });
  expect(attach(b, n, n.parent).errno).toBe('0');
  expect(attach(b, n, s1).errno).toBe('ENODEV');
  expect(b.driver.pasidEntry(A.name, 0)!.words[0]).toBe(0n);
  expect(b.driver.state.units[0]!.dids).toEqual([]);
});

it('10.23: an aborted group is answered with code 2, not 15', () => {
  // Nobody can take the group: the PASID's page table has a handler, but iommufd does not know the attachment yet.
  const { b, n, t } = faulting(0x1234);
  attach(b, n, nested(b, n, t.root), 9);
  b.posted();
  const device = b.driver.state.devices[0]!;
  device.pasids.set(9, device.pasids.get(0x1234)!);
  ask(b, 9, IOVA);
  expect(b.driver.log.at(-1)).toBe('0000:3b:00.0: iopf with pasid 9 aborted');
  expect(b.posted()).toEqual(['0x93b002019 0x28']);
  expect(b.devices[0]!.pri.answerOf(5)).toMatchObject({ code: 'failure' });
});
