import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import type { PageAccess, PageRequestOutcome } from '../../pci/index.ts';
import { encodeDescriptor } from '../layout/index.ts';
import { PRS } from './registers.ts';
import { IOVA, REQUESTS, RID_A, TestUnit, wait } from './test-unit.ts';

const PASID = 0x1234;
const RW = { read: true, write: true };

/** A unit whose device has entries for requests without PASID and with it. */
function unit(o: ConstructorParameters<typeof TestUnit>[0] = {}): TestUnit {
  const t = new TestUnit(o);
  for (const pasid of [0, PASID]) t.pasid(pasid, { PGTT: 4, DID: 1 });
  return t;
}

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
    const t = unit();
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
    const t = unit();
    ask(t, { pasid: -1, access: { read: true, write: false }, group: 511, last: false });
    expect(entry(t, 0)).toEqual([0x3b000001n, 0x00007f0012345001n | (511n << 3n), 0n, 0n]);
    // VT-d 11.4.11.4: each request sets PPR, the last of its group or not.
    expect([t.num('PRS_REG'), t.unit.irq.prq]).toEqual([PRS.PPR, true]);
    ask(t, { access: { read: true, write: true, exec: true, priv: true }, group: 1 });
    expect(entry(t, 1)[0]).toBe(0x003012343b000101n);
    t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A, PRGI: 511 }), wait());
    expect(t.a.pri.waiting()).toEqual([{ group: 1, pasid: PASID, pages: 1, closed: true }]);
  });

  it('interrupts once until software has taken the requests', () => {
    const t = unit();
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
    const t = unit();
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
    const t = unit();
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
    const t = unit();
    const marker = { access: { read: false, write: false } };
    expect(ask(t, marker)).toMatchObject({ sent: true, recorded: true, response: null });
    expect([entry(t, 0)[1]! & 7n, t.a.pri.outstanding]).toEqual([4n, 0]);
    t.set('PRS_REG', 0);
    const refused = unit({ context: { PRE: 0 } });
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

  it.each(cases)(
    'for %s is recorded as one, and the device told that it is invalid',
    (name, reason, options, prepare) => {
      const t = unit(options);
      prepare(t);
      const pasid = reason === 0x46 ? 0x3000 : PASID;
      const r = ask(t, { pasid, iova: IOVA + 0x321n });
      expect(r).toMatchObject({ recorded: false, text: `refused: ${name}`, response: { code: 'invalid request' } });
      const hi = t.reg('FRCD_REG0_HI');
      // T2 and not T1; the reason; the address.
      expect([(hi >> 62n) & 1n, (hi >> 28n) & 1n, Number((hi >> 32n) & 0xffn)]).toEqual([0n, 1n, reason]);
      expect([t.reg('FRCD_REG0_LO'), t.num('PQT_REG'), t.a.pri.enabled]).toEqual([IOVA, 0, true]);
    },
  );

  it('needs the PASID entry to be there, table 30 SPD and SPT', () => {
    const t = unit();
    t.write(t.pasidAddress(PASID), 0n);
    expect(ask(t)).toMatchObject({ recorded: false, text: 'refused: SPT.2', response: { code: 'invalid request' } });
    expect(ask(t, { pasid: 0x20000 })).toMatchObject({ text: 'refused: SPD.2' });
  });

  it('is answered only when it is the last of its group', () => {
    const t = unit({ context: { PRE: 0 } });
    expect(ask(t, { last: false }).response).toBeNull();
    expect(ask(t).response?.code).toBe('invalid request');
  });

  it('while remapping is off, or without a queue, is answered and not recorded', () => {
    const off = unit();
    off.set('GCMD_REG', 0x0400_0000);
    expect(ask(off)).toMatchObject({ recorded: false, response: { code: 'failure' }, text: 'DMA remapping is off' });
    expect(off.num('FSTS_REG')).toBe(0);
    const none = unit({ features: { PRS: false }, context: { PRE: 0 } });
    expect(ask(none)).toMatchObject({ recorded: false, response: { code: 'failure' } });
    const outside = unit();
    outside.set('PQA_REG', 0xf_ffff_ffff_f000n);
    expect(ask(outside)).toMatchObject({ recorded: false, response: { code: 'failure' } });
  });

  it('by the device is not sent', () => {
    const t = unit();
    t.a.pri.enabled = false;
    expect(ask(t)).toMatchObject({ sent: false, text: 'PRI is not enabled in the device' });
    t.a.priEnabled = true;
    t.a.pasidEnabled = false;
    expect(ask(t)).toMatchObject({ sent: false, text: 'PASID is not enabled in the device' });
    expect(t.num('PQT_REG')).toBe(0);
  });
});

describe('6.5.3.1: what a page request invalidates', () => {
  const sizes = (t: TestUnit) => t.unit.caches.translation().map((c) => c.size);

  it('first stage: its page of its PASID, and the tables that lead there', () => {
    const t = unit();
    t.firstStage(5, PASID, IOVA, 0x5000);
    t.dma({ pasid: PASID });
    expect(sizes(t)[0]).toBe(1);
    ask(t, { iova: IOVA + 0x1000n, last: false });
    expect(sizes(t)[0]).toBe(1);
    ask(t);
    expect(sizes(t)).toEqual([0, 0, 0]);
  });

  it('second stage: its page of the domain', () => {
    const t = unit();
    t.secondStage(5, PASID, IOVA & 0xffff_ffff_f000n, 0x5000);
    t.dma({ pasid: PASID });
    expect(sizes(t)[0]).toBe(1);
    ask(t, { iova: IOVA + 0x1000n, last: false });
    expect(sizes(t)[0]).toBe(1);
    ask(t);
    expect(sizes(t)[0]).toBe(0);
  });

  it('nested: the whole domain', () => {
    const t = unit();
    t.nested(5, PASID, IOVA, 0x5000);
    t.dma({ pasid: PASID });
    expect(sizes(t)[0]).toBe(1);
    ask(t, { iova: IOVA + 0x1000n });
    expect(sizes(t)).toEqual([0, 0, 0]);
  });

  it('nothing when it is refused', () => {
    const t = unit({ context: { PRE: 0 } });
    t.firstStage(5, PASID, IOVA, 0x5000);
    t.dma({ pasid: PASID });
    ask(t);
    expect(sizes(t)[0]).toBe(1);
  });
});

describe('answers', () => {
  it('to another PASID or group are unexpected', () => {
    const t = unit();
    ask(t);
    t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A, PP: 1, PASID: 7, PRGI: 5 }), wait());
    expect([t.a.pri.answerOf(5), t.a.pri.unexpected]).toEqual([null, true]);
    t.post(encodeDescriptor('PAGE_GRP_RESP', { RID: 0x999, PRGI: 5 }), wait());
    expect([t.a.pri.answerOf(5), t.num('FSTS_REG')]).toEqual([null, 0]);
  });

  it('9.10: the drain of a PASID is legal and completes', () => {
    const t = unit();
    t.post(
      [0x0000000200000045n, 0n, 0n, 0n],
      [0x0000123400020026n, 0n, 0n, 0n],
      [0x000012343b000008n, 0x7ffffffffffff800n, 0n, 0n],
      encodeDescriptor('INV_WAIT', { SW: 1, PD: 1, STDATA: 2, STADDR: 0x1_0236_0000n }),
    );
    expect([t.memory.read32(0x1_0236_0000), t.num('FSTS_REG'), t.trace.syncs]).toEqual([2, 0, 2]);
  });
});
