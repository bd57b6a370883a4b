import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import type { PageAccess, PageRequestOutcome } from '../../pci/index.ts';
import { encodeDescriptor } from '../layout/index.ts';
import { PRS } from './registers.ts';
import { IOVA, REQUESTS, RID_A, TestUnit, wait } from './test-unit.ts';

const PASID = 0x1234;
const RW = { read: true, write: true };

function ask(
  t: TestUnit,
  o: { pasid?: number; iova?: bigint; access?: PageAccess; group?: number; last?: boolean; b?: boolean } = {},
): PageRequestOutcome {
  const { pasid = PASID, iova = IOVA, access = RW, group = 5, last = true } = o;
  return runToEnd(t.unit.pri(o.b ? t.b : t.a, pasid, iova, access, group, last));
}

const entry = (t: TestUnit, n: number): bigint[] => [0, 8, 16, 24].map((o) => t.memory.readWord(REQUESTS + 32 * n + o));

describe('the page request queue, VT-d 7.4', () => {
  it('9.8: a request, and its answers', () => {
    const t = new TestUnit();
    expect(ask(t)).toMatchObject({ sent: true, recorded: true, response: null });
    expect(entry(t, 0)).toEqual([0x000012343b000101n, (0x00007f001234502fn & ~8n) | 0x28n | 7n, 0n, 0n]);
    expect([t.num('PQT_REG'), t.num('PRS_REG'), t.unit.irq.prq]).toEqual([32, PRS.PPR, true]);
    t.post([0x000012343b000019n, 0x28n, 0n, 0n], wait());
    expect(t.a.pri.answerOf(5)).toEqual({ group: 5, code: 'success', pasid: PASID });
    ask(t);
    t.post([0x000012343b001019n, 0x28n, 0n, 0n], wait());
    expect(t.a.pri.answerOf(5)?.code).toBe('invalid request');
    ask(t);
    // 10.23: what Linux sends for an aborted group is no code of the specification; the device takes it for a failure.
    t.post([0x000012343b002019n, 0x28n, 0n, 0n], wait());
    expect([t.a.pri.answerOf(5)?.code, t.a.pri.enabled]).toEqual(['failure', false]);
  });

  it('without PASID, with every right, not the last', () => {
    const t = new TestUnit();
    ask(t, { pasid: -1, access: { read: true, write: false }, group: 511, last: false });
    expect(entry(t, 0)).toEqual([0x3b000001n, 0x00007f0012345001n | (511n << 3n), 0n, 0n]);
    // Nobody need look before the last of the group is there.
    expect([t.num('PRS_REG'), t.unit.irq.prq]).toEqual([0, false]);
    ask(t, { access: { read: true, write: true, exec: true, priv: true }, group: 1 });
    expect(entry(t, 1)[0]).toBe(0x003012343b000101n);
    t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A, PRGI: 511 }), wait());
    expect(t.a.pri.waiting()).toEqual([{ group: 1, pasid: PASID, pages: 1, closed: true }]);
  });

  it('interrupts once until software has taken the requests', () => {
    const t = new TestUnit();
    ask(t, { group: 1 });
    t.unit.irq.prq = false;
    ask(t, { group: 2 });
    expect(t.unit.irq.prq).toBe(false);
    t.set('PRS_REG', PRS.PPR);
    ask(t, { group: 3 });
    expect(t.unit.irq.prq).toBe(true);
    // Masked, the message waits; clearing PPR meanwhile takes it back.
    t.set('PRS_REG', PRS.PPR);
    t.unit.irq.prq = false;
    t.set('PECTL_REG', 0x8000_0000);
    ask(t, { group: 4 });
    expect(t.num('PECTL_REG')).toBe(0xc000_0000);
    t.set('PRS_REG', PRS.PPR);
    expect(t.num('PECTL_REG')).toBe(0x8000_0000);
  });

  it('holds one request less than it has places, then overflows and answers by itself', () => {
    const t = new TestUnit();
    t.a.pri.allocation = 1000;
    for (let n = 0; n < 127; n++) expect(ask(t, { group: n }).recorded).toBe(true);
    t.set('PRS_REG', PRS.PPR);
    t.unit.irq.prq = false;
    const first = ask(t, { group: 200, last: false });
    expect([first.recorded, first.response, t.num('PRS_REG'), t.unit.irq.prq]).toEqual([false, null, PRS.PRO, true]);
    expect(ask(t, { group: 200 }).response).toEqual({ group: 200, code: 'success', pasid: PASID });
    // Room alone does not end it.
    t.set('PQH_REG', t.num('PQT_REG'));
    expect(ask(t, { group: 201 }).response?.code).toBe('success');
    t.set('PRS_REG', PRS.PRO);
    expect(ask(t, { group: 202 })).toMatchObject({ recorded: true, response: null });
    expect(t.num('PQT_REG')).toBe(0);
  });

  it('goes round', () => {
    const t = new TestUnit();
    for (let n = 0; n < 300; n++) {
      expect(ask(t, { group: n % 512, iova: BigInt(n) << 12n }).recorded).toBe(true);
      expect(t.num('PQT_REG')).toBe((32 * (n + 1)) % 4096);
      expect(entry(t, n % 128)[1]! >> 12n).toBe(BigInt(n));
      t.set('PQH_REG', t.num('PQT_REG'));
      t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A, PP: 1, PASID, PRGI: n % 512 }));
    }
    expect(t.a.pri.outstanding).toBe(0);
  });

  it('takes a stop marker, and never answers it', () => {
    const t = new TestUnit();
    const marker = { access: { read: false, write: false } };
    expect(ask(t, marker)).toMatchObject({ sent: true, recorded: true, response: null });
    expect([entry(t, 0)[1]! & 7n, t.a.pri.outstanding]).toEqual([4n, 0]);
    t.set('PRS_REG', 0);
    const refused = new TestUnit({ context: { PRE: 0 } });
    expect(ask(refused, marker)).toMatchObject({ sent: true, recorded: false, response: null });
  });
});

describe('a page request that is refused', () => {
  const cases: readonly (readonly [
    string,
    number,
    ConstructorParameters<typeof TestUnit>[0],
    (t: TestUnit) => void,
  ])[] = [
    ['SCT.8', 0x47, { context: { PRE: 0 } }, () => {}],
    ['SCT.6', 0x45, { context: { PASIDE: 0 } }, () => {}],
    [
      'SCT.7',
      0x46,
      { context: { PDTS: 0 } },
      (t) => t.write(t.contextAddress(RID_A), t.memory.readWord(t.contextAddress(RID_A)) & ~0xe00n),
    ],
    ['SCT.2', 0x41, {}, (t) => t.write(t.contextAddress(RID_A), 0n)],
    [
      'RTA.3',
      0x32,
      {},
      (t) => {
        t.set('RTADDR_REG', 0x1_0000_0000n);
        t.set('GCMD_REG', 0xc400_0000);
      },
    ],
  ];

  it.each(cases)('for %s is recorded as one, and the device told of a failure', (name, reason, options, prepare) => {
    const t = new TestUnit(options);
    prepare(t);
    const pasid = reason === 0x46 ? 0x3000 : PASID;
    const r = ask(t, { pasid, iova: IOVA + 0x321n });
    expect(r).toMatchObject({ recorded: false, text: `refused: ${name}`, response: { code: 'failure' } });
    const hi = t.reg('FRCD_REG0_HI');
    // T2 and not T1; the reason; the address.
    expect([(hi >> 62n) & 1n, (hi >> 28n) & 1n, Number((hi >> 32n) & 0xffn)]).toEqual([0n, 1n, reason]);
    expect([t.reg('FRCD_REG0_LO'), t.num('PQT_REG'), t.a.pri.enabled]).toEqual([IOVA, 0, false]);
  });

  it('is answered only when it is the last of its group', () => {
    const t = new TestUnit({ context: { PRE: 0 } });
    expect(ask(t, { last: false }).response).toBeNull();
    expect(ask(t).response?.code).toBe('failure');
  });

  it('while remapping is off, or without a queue, is answered and not recorded', () => {
    const off = new TestUnit();
    off.set('GCMD_REG', 0x0400_0000);
    expect(ask(off)).toMatchObject({ recorded: false, response: { code: 'failure' }, text: 'DMA remapping is off' });
    expect(off.num('FSTS_REG')).toBe(0);
    const none = new TestUnit({ features: { PRS: false }, context: { PRE: 0 } });
    expect(ask(none)).toMatchObject({ recorded: false, response: { code: 'failure' } });
    const outside = new TestUnit();
    outside.set('PQA_REG', 0xf_ffff_ffff_f000n);
    expect(ask(outside)).toMatchObject({ recorded: false, response: { code: 'failure' } });
  });

  it('by the device is not sent', () => {
    const t = new TestUnit();
    t.a.pri.enabled = false;
    expect(ask(t)).toMatchObject({ sent: false, text: 'PRI is not enabled in the device' });
    t.a.priEnabled = true;
    t.a.pasidEnabled = false;
    expect(ask(t)).toMatchObject({ sent: false, text: 'PASID is not enabled in the device' });
    expect(t.num('PQT_REG')).toBe(0);
  });
});

describe('answers', () => {
  it('to another PASID or group are unexpected', () => {
    const t = new TestUnit();
    ask(t);
    t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A, PP: 1, PASID: 7, PRGI: 5 }), wait());
    expect([t.a.pri.answerOf(5), t.a.pri.unexpected]).toEqual([null, true]);
    t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: 0x999, PRGI: 5 }), wait());
    expect([t.a.pri.answerOf(5), t.num('FSTS_REG')]).toEqual([null, 0]);
  });

  it('9.10: the drain of a PASID is legal and completes', () => {
    const t = new TestUnit();
    t.post(
      [0x0000000200000045n, 0n, 0n, 0n],
      [0x0000123400020026n, 0n, 0n, 0n],
      [0x000012343b000008n, 0x7ffffffffffff800n, 0n, 0n],
      encodeDescriptor('INV_WAIT', { SW: 1, PD: 1, STDATA: 2, STADDR: 0x1_0236_0000n }),
    );
    expect([t.memory.read32(0x1_0236_0000), t.num('FSTS_REG'), t.trace.syncs]).toEqual([2, 0, 2]);
  });
});
