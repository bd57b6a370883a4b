import { describe, expect, it } from 'vitest';
import { encode } from '../../bits/index.ts';
import type { Errno, PageRequest } from '../../iommufd/index.ts';
import { prqLayout } from '../layout/index.ts';
import { A, B, type Bench, bench } from './bench.ts';
import {
  attachDevice,
  attachPasid,
  BLOCKED,
  detachPasid,
  deviceOf,
  domainOf,
  handleFaults,
  handlePageRequests,
  pageResponse,
} from './index.ts';

const DEVICES = [
  { ...A, priCapable: true },
  { ...B, priCapable: true },
];

/** The request of 9.8. */
const REQUEST = { PP: 1, RID: 0x3b00, PASID: 0x1234, RD: 1, WR: 1, LPIG: 1, PRGI: 5, ADDR: 0x7f0012345000n };

function withPasid(deviations: readonly string[] = []) {
  const b = bench({ devices: DEVICES, deviations });
  const d = deviceOf(b.k, A.name);
  const domain = b.domain({ kind: 'fs', root: 0x1000n, faults: true });
  expect(b.run(attachPasid(b.k, d, 0x1234, domain))).toBe('0');
  const seen: [string, number, readonly PageRequest[]][] = [];
  let answer: Errno = '0';
  b.k.hooks = {
    // biome-ignore lint/correctness/useYield: a hook may pause
    *reportFault(device, as, requests) {
      seen.push([device, as, requests]);
      return answer;
    },
  };
  b.unit.clear();
  b.lines.length = 0;
  return {
    b,
    d,
    domain,
    seen,
    refuse: () => {
      answer = 'EINVAL';
    },
  };
}

/** Puts requests into the queue as hardware does. */
function arrive(b: Bench, ...requests: Readonly<Record<string, number | bigint>>[]): void {
  const { prq } = b.k.state.units[0]!;
  for (const r of requests) {
    const at = Number(b.unit.readRegister('PQT_REG'));
    for (const [i, w] of encode(prqLayout, { Type: 1, ...r }).entries()) b.memory.writeWord(prq + at + 8 * i, w);
    b.unit.registers.set('PQT_REG', BigInt((at + 32) % 0x10000));
  }
  b.unit.registers.set('PRS_REG', b.unit.readRegister('PRS_REG') | 1n);
}

describe('9.8: page requests', () => {
  it('10.24: reported to the domain of the PASID, with a trace line that has a page number', () => {
    const { b, d, seen } = withPasid();
    arrive(b, REQUEST);
    b.run(handlePageRequests(b.k, 0));
    const request = { pasid: 0x1234, group: 5, perm: 3, address: 0x7f0012345000n, last: true };
    expect(seen).toEqual([[A.name, 0x1234, [request]]]);
    expect(b.lines).toEqual([
      'prq_report: dmar0/0000:3b:00.0 seq# 0: rid=0x3b00 addr=0x7f0012345 rw--l pasid=0x1234 index=0x5',
    ]);
    expect(b.unit.sent()).toEqual([]);
    expect(b.unit.readRegister('PQH_REG')).toBe(32n);
    expect(b.unit.written[0]).toBe('PRS_REG 0x1');
    b.run(pageResponse(b.k, d, request, 'success'));
    expect(b.unit.sent()).toEqual([['0x000012343b000019 0x0000000000000028']]);
    b.run(pageResponse(b.k, d, request, 'success'));
    expect(b.unit.sent().length).toBe(1);
  });

  it('no handler: INVALID', () => {
    const { b } = withPasid();
    arrive(b, { ...REQUEST, PASID: 0x99 });
    b.run(handlePageRequests(b.k, 0));
    expect(b.unit.sent()).toEqual([['0x000000993b001019 0x0000000000000028']]);
  });

  it('10.23: an aborted group gets RC 2', () => {
    const { b, refuse } = withPasid();
    refuse();
    arrive(b, REQUEST);
    b.run(handlePageRequests(b.k, 0));
    expect(b.unit.sent()).toEqual([['0x000012343b002019 0x0000000000000028']]);
    expect(b.k.state.log.at(-1)).toBe('0000:3b:00.0: iopf with pasid 4660 aborted');
  });

  it('a group waits for its last request', () => {
    const { b, seen } = withPasid();
    arrive(b, { ...REQUEST, LPIG: 0, WR: 0 }, { ...REQUEST, LPIG: 0, PRGI: 6 }, { ...REQUEST, ADDR: 0x7f0012346000n });
    b.run(handlePageRequests(b.k, 0));
    expect(seen.map(([, , r]) => r.map((x) => [x.group, x.perm, x.address]))).toEqual([
      [
        [5, 1, 0x7f0012345000n],
        [5, 3, 0x7f0012346000n],
      ],
    ]);
  });

  it.each([
    ['an address that is not canonical', { ADDR: 0x800000000000n }, 'IOMMU: dmar0: Address is not canonical'],
    ['privileged', { PRIV: 1 }, 'IOMMU: dmar0: Page request in Privilege Mode'],
    ['execute and read', { EXE: 1 }, 'IOMMU: dmar0: Execution request not supported'],
    ['an unknown RID', { RID: 0x1111 }, undefined],
  ])('bad request: %s', (_name, change, text) => {
    const { b, seen } = withPasid();
    arrive(b, { ...REQUEST, ...change }, { ...REQUEST, ...change, LPIG: 0, PRGI: 7 });
    b.run(handlePageRequests(b.k, 0));
    expect(seen).toEqual([]);
    expect(b.lines.filter((l) => l.startsWith('prq_report'))).toEqual([]);
    const log = b.k.state.log.filter((l) => l !== text);
    expect(b.k.state.log.filter((l) => l === text).length).toBe(text ? 2 : 0);
    expect(log.at(-1)).toMatch(/^dmar0: Invalid page request: [0-9a-f]{8,16} [0-9a-f]{8,16}$/);
    // Only the last of a group is answered.
    const rid = BigInt('RID' in change ? change.RID : 0x3b00).toString(16);
    expect(b.unit.sent()).toEqual([[`0x00001234${rid}1019 0x0000000000000028`]]);
  });

  it('a stop marker is dropped', () => {
    const { b, seen } = withPasid();
    arrive(b, { ...REQUEST, RD: 0, WR: 0 });
    b.run(handlePageRequests(b.k, 0));
    expect([seen, b.unit.sent(), b.lines]).toEqual([[], [], []]);
  });

  it('overflow: half groups are forgotten and the queue goes on', () => {
    const { b, d } = withPasid();
    arrive(b, { ...REQUEST, LPIG: 0 });
    b.unit.registers.set('PRS_REG', 3n);
    b.run(handlePageRequests(b.k, 0));
    expect(b.k.state.log.slice(-2)).toEqual([
      'IOMMU: dmar0: PRQ overflow detected',
      'IOMMU: dmar0: PRQ overflow cleared',
    ]);
    expect(b.unit.readRegister('PRS_REG')).toBe(0n);
    expect(d.iopf!.partial).toEqual([]);
  });

  it('a fault-capable domain needs PRI in the device', () => {
    const b = bench({ devices: [A] });
    const domain = b.domain({ kind: 'fs', root: 0x1000n, faults: true });
    expect(b.run(attachPasid(b.k, b.device(A.name), 1, domain))).toBe('ENODEV');
    expect(domain).toMatchObject({ dids: [], tags: [] });
    expect(b.run(attachDevice(b.k, b.device(A.name), domain))).toBe('ENODEV');
    expect(b.device(A.name).domain).toBe(BLOCKED);
  });
});

describe('9.10: drain', () => {
  it('10.12, 10.25: with the DID of the RID’s domain, and a trace that shows the fence', () => {
    const { b, d } = withPasid();
    const rid = b.domain({ kind: 'fs', root: 0x2000n });
    b.k.state.units[0]!.dids = [3];
    b.run(attachDevice(b.k, d, rid));
    expect(rid.dids[0]!.did).toBe(2);
    b.unit.clear();
    b.lines.length = 0;
    b.run(detachPasid(b.k, d, 0x1234));
    const drain = b.unit.submissions.at(-1)!;
    expect(b.unit.sent().at(-1)).toEqual([
      '0x0000000200000045 0x0000000000000000',
      '0x0000123400020026 0x0000000000000000',
      '0x000012343b000008 0x7ffffffffffff800',
    ]);
    expect(drain.at(-1)![0]).toBe(0x2000000a5n);
    expect(
      b.lines
        .filter((l) => l.startsWith('qi_submit'))
        .slice(-3)
        .map((l) => l.split(' ')[1]),
    ).toEqual(['inv_wait', 'p_iotlb_inv', 'p_dev_tlb_inv']);
  });

  it('of the RID: DSI and DevTLB; with pass-through on the RID the DID is 1', () => {
    const b = bench({ devices: DEVICES });
    const d = deviceOf(b.k, A.name);
    b.run(attachDevice(b.k, d, b.domain({ kind: 'fs', root: 0x1000n, faults: true })));
    b.unit.clear();
    b.run(attachDevice(b.k, d, b.domain({ kind: 'fs', root: 0x2000n })));
    expect(b.unit.sent().at(3)).toEqual([
      '0x0000000200000045 0x0000000000000000',
      '0x00000000000200e2 0x0000000000000000',
      '0x00003b0000000003 0x7ffffffffffff001',
    ]);
    const p = withPasid();
    p.b.run(detachPasid(p.b.k, p.d, 0x1234));
    expect(p.b.unit.sent().at(-1)![1]).toBe('0x0000123400010026 0x0000000000000000');
  });

  it('requests that are in the queue are handled first, and answered when the last handler goes', () => {
    const { b, d, seen } = withPasid();
    arrive(b, REQUEST);
    b.run(detachPasid(b.k, d, 0x1234));
    expect(seen).toEqual([]);
    expect(b.unit.readRegister('PQH_REG')).toBe(32n);
    expect(b.unit.sent().flat()).toContain('0x000012343b001019 0x0000000000000028');
  });

  it('a group that waits for user space is answered as invalid when its domain goes', () => {
    const { b, d } = withPasid();
    arrive(b, REQUEST);
    b.run(handlePageRequests(b.k, 0));
    b.run(detachPasid(b.k, d, 0x1234));
    expect(b.unit.sent().at(-1)).toEqual(['0x000012343b001019 0x0000000000000028']);
    expect(d.iopf).toBeNull();
    const left = withPasid(['host.page-requests-left-behind']);
    arrive(left.b, REQUEST);
    left.b.run(handlePageRequests(left.b.k, 0));
    left.b.run(detachPasid(left.b.k, left.d, 0x1234));
    expect(
      left.b.unit
        .sent()
        .flat()
        .filter((w) => w.includes('001019')),
    ).toEqual([]);
  });

  it('replacing the RID’s domain keeps the old one’s count, as attach_dev does: the device is drained for ever', () => {
    const b = bench({ devices: DEVICES });
    const d = deviceOf(b.k, A.name);
    b.run(attachDevice(b.k, d, b.domain({ kind: 'fs', root: 0x1000n, faults: true })));
    b.run(attachDevice(b.k, d, b.domain({ kind: 'fs', root: 0x2000n, faults: true })));
    expect(d.iopf!.users).toBe(2);
    b.unit.clear();
    b.run(attachDevice(b.k, d, domainOf(b.k, BLOCKED)));
    expect(d.iopf!.users).toBe(1);
    // Three flushes, and the drain that would not be there if the count had been right.
    expect(b.unit.sent().length).toBe(4);
  });

  it('blocking the RID drops the handler first, so nothing is drained', () => {
    const b = bench({ devices: DEVICES });
    const d = deviceOf(b.k, A.name);
    b.run(attachDevice(b.k, d, b.domain({ kind: 'fs', root: 0x1000n, faults: true })));
    b.unit.clear();
    b.run(attachDevice(b.k, d, domainOf(b.k, BLOCKED)));
    expect(b.unit.sent().length).toBe(3);
  });
});

describe('9.4: fault records', () => {
  const LINE = 'DMAR: [DMA Write PASID 0x1234] Request device [3b:00.0] fault addr 0x7f0012345000 ';

  function record(b: Bench, index: number, qw0: bigint, qw1: bigint): void {
    b.unit.registers.set(`FRCD_REG${index}_LO`, qw0);
    b.unit.registers.set(`FRCD_REG${index}_HI`, qw1);
    b.unit.registers.set('FSTS_REG', b.unit.readRegister('FSTS_REG') | 2n);
  }

  it('the log lines, the record cleared by its upper word, then FSTS', () => {
    const b = bench();
    record(b, 0, 0x7f0012345000n, 0x8012347180003b00n);
    const [r] = b.run(handleFaults(b.k, 0));
    expect(r!.line).toBe(`${LINE}[fault reason 0x71] SM: Present bit in first-level paging entry is clear`);
    expect(b.k.state.log.slice(-2)).toEqual(['DMAR: DRHD: handling fault status reg 2', r!.line]);
    expect(b.unit.written).toEqual(['FRCD_REG0_HI 0x8000000000000000', 'FSTS_REG 0x83']);
  });

  it('10.27: reasons 0x0e and 0x91 print "Unknown"', () => {
    for (const [qw0, qw1, end] of [
      [0xfffff000n, 0x8000019180005e10n, '[fault reason 0x91] Unknown'],
      [0xfee00000n, 0x8000000e00005e10n, '[fault reason 0x0e] Unknown'],
    ] as const) {
      const b = bench();
      record(b, 0, qw0, qw1);
      expect(b.run(handleFaults(b.k, 0))[0]!.line!.endsWith(end)).toBe(true);
    }
  });

  it('starts at FRI, wraps, stops at the first invalid one', () => {
    const b = bench({ words: { cap: 0x19ed008c40780c66n | (3n << 40n), ecap: 0x003ef9ea6f050dfn } });
    record(b, 3, 0x1000n, 0x8000007100003b00n);
    record(b, 0, 0x2000n, 0x8000007100003b00n);
    record(b, 2, 0x9000n, 0x8000007100003b00n);
    b.unit.registers.set('FSTS_REG', 0x302n);
    expect(b.run(handleFaults(b.k, 0)).map((r) => [r.index, r.words[0]])).toEqual([
      [3, 0x1000n],
      [0, 0x2000n],
    ]);
  });

  it('after ten lines records are cleared silently', () => {
    const b = bench({ words: { cap: 0x19ed008c40780c66n | (15n << 40n), ecap: 0x003ef9ea6f050dfn } });
    for (let i = 0; i < 12; i++) record(b, i, BigInt(i) << 12n, 0x8000007100003b00n);
    const records = b.run(handleFaults(b.k, 0));
    expect(records.map((r) => r.line !== null)).toEqual([...Array(9).fill(true), false, false, false]);
  });
});
