import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { NO_PASID } from '../../pci/index.ts';
import { DATA, IOVA, RID_A, TestUnit } from './test-unit.ts';

/** FRCD 0, null while F is clear. */
function record(t: TestUnit): Record<string, bigint> | null {
  const lo = t.reg('FRCD_REG0_LO');
  const hi = t.reg('FRCD_REG0_HI');
  if (hi >> 63n === 0n) return null;
  const bits = (a: bigint, b: bigint): bigint => (hi >> b) & ((1n << (a - b + 1n)) - 1n);
  return {
    FI: lo,
    SID: bits(15n, 0n),
    T2: bits(28n, 28n),
    PP: bits(31n, 31n),
    FR: bits(39n, 32n),
    PV: bits(59n, 40n),
    AT: bits(61n, 60n),
    T1: bits(62n, 62n),
  };
}

const PASID = 0x1234;
const TO = 0x5000_0000;

describe('an untranslated access', () => {
  it('arrives by walk, then by IOTLB', () => {
    const t = new TestUnit();
    t.nested(5, PASID, IOVA, DATA);
    expect(t.dma({ pasid: PASID, iova: IOVA + 0x678n })).toMatchObject({
      ok: true,
      pa: DATA + 0x678,
      hit: 'walk',
      reads: 28,
    });
    expect(t.dma({ pasid: PASID })).toMatchObject({ ok: true, pa: DATA, hit: 'IOTLB', reads: 0 });
  });

  it('that faults is recorded, with the address that the device gave', () => {
    const t = new TestUnit();
    t.nested(5, PASID, IOVA, DATA);
    const r = t.dma({ pasid: PASID, iova: IOVA + 0x1234n, write: true });
    expect(r).toMatchObject({ ok: false, pa: -1, fault: { name: 'SFS.2', fields: { FR: 0x71n, PASID: 0x1234n } } });
    expect(record(t)).toEqual({
      FI: (IOVA + 0x1234n) & ~0xfffn,
      SID: BigInt(RID_A),
      T1: 0n,
      T2: 0n,
      PP: 1n,
      FR: 0x71n,
      PV: BigInt(PASID),
      AT: 0n,
    });
    expect(t.unit.irq.fault).toBe(true);
  });

  it('is not recorded where FPD is set in the context, directory or PASID entry, unless nothing can silence the fault', () => {
    for (const place of ['context', 'directory', 'PASID'] as const) {
      const t = new TestUnit({ context: place === 'context' ? { FPD: 1 } : {} });
      t.firstStage(5, PASID, IOVA, DATA, place === 'PASID' ? { FPD: 1 } : {});
      if (place === 'directory')
        t.write(0x1_0010_0000 + (PASID >> 6) * 8, t.memory.readWord(0x1_0010_0000 + (PASID >> 6) * 8) | 2n);
      expect(t.dma({ pasid: PASID, iova: 0x1000n }).fault?.name).toBe('SFS.2');
      expect([place, record(t)]).toEqual([place, null]);
    }
    const silent = new TestUnit();
    // A PASID entry that is not there can be silent too.
    silent.pasid(PASID, { P: 0, FPD: 1 });
    expect(silent.dma({ pasid: PASID }).fault?.name).toBe('SPT.2');
    expect(record(silent)).toBeNull();
    // The directory's place does not exist.
    const t = new TestUnit({ context: { FPD: 1, PASIDDIRPTR: 0x000f_0000_0000_0000n } });
    expect(t.dma({ pasid: PASID }).fault?.name).toBe('SPD.1');
    expect(record(t)).toMatchObject({ FR: 0x50n });
  });

  it('in the form of an interrupt message is not translated', () => {
    const t = new TestUnit();
    const message = { iova: 0xfee0_0000n, write: true };
    expect(t.dma(message)).toMatchObject({ ok: true, pa: 0xfee0_0000, hit: 'none', reads: 0 });
    t.firstStage(5, 0, 0xfee0_0000n, DATA);
    expect(t.dma({ ...message, write: false }).fault?.name).toBe('SGN.8');
    t.firstStage(5, PASID, 0xfee0_0000n, DATA);
    // VT-d 3.15: with a PASID it is an address like any other.
    expect(t.dma({ ...message, pasid: PASID })).toMatchObject({ ok: true, pa: DATA });
  });

  it('without memory behind its translation is aborted, and nothing is recorded', () => {
    const t = new TestUnit();
    t.firstStage(5, 0, IOVA, 2 ** 40);
    expect(t.dma()).toMatchObject({ ok: false, why: 'nothing answers at 0x10000000000' });
    expect(record(t)).toBeNull();
  });

  it('with a PASID is not sent by a device that has none enabled', () => {
    const t = new TestUnit();
    t.a.pasidEnabled = false;
    expect(t.dma({ pasid: 1 })).toMatchObject({ ok: false, reads: 0, why: 'PASID is not enabled in the device' });
  });
});

describe('a translation request', () => {
  it('fills the device TLB with what it may do, and is used until it is invalidated', () => {
    const t = new TestUnit();
    const leaf = t.firstStage(5, PASID, IOVA, DATA);
    expect(t.ats(PASID)).toMatchObject({ ok: true, pa: DATA, hit: 'walk' });
    t.write(leaf, 0n);
    t.unit.caches.everything();
    expect(t.dma({ pasid: PASID, translated: true, write: true })).toMatchObject({ ok: true, pa: DATA, hit: 'ATC' });
    t.a.atc.removeContext(0, PASID);
    expect(t.dma({ pasid: PASID, translated: true })).toMatchObject({
      ok: false,
      why: 'the completion grants nothing (SFS.2)',
    });
    expect(record(t)).toBeNull();
  });

  it('grants reading alone where a page is read-only', () => {
    const t = new TestUnit();
    const root = t.newTable();
    t.pasid(0, { PGTT: 1, AW: 2, DID: 5, FSPTPTR: BigInt(root) });
    t.first(root, IOVA, DATA, 0x25n);
    t.listen();
    expect(t.ats(-1, true)).toMatchObject({ ok: true, pa: DATA });
    const texts = t.events.flatMap((e) => (e.kind === 'ats' ? [e.text] : []));
    expect(texts).toEqual([
      `translation request 0x${IOVA.toString(16)}`,
      `completion: PA 0x${DATA.toString(16)} R=1 W=0`,
    ]);
    expect(t.dma({ translated: true, write: true })).toMatchObject({
      ok: false,
      why: 'the completion grants no such access',
    });
  });

  it.each([
    ['no page', (t: TestUnit) => t.firstStage(5, PASID, 0x1000n, DATA), ' (SFS.2)'],
    ['no PASID entry', (t: TestUnit) => t.pasid(PASID, { P: 0 }), ' (SPT.2)'],
    ['no page of the PASID table', () => {}, ' (SPD.2)'],
    ['no user page', (t: TestUnit) => t.write(t.firstStage(5, PASID, IOVA, DATA), BigInt(DATA) | 0x63n), ' (SGN.2)'],
  ] as const)('where there is %s is answered without rights and not recorded', (_, prepare, why) => {
    const t = new TestUnit();
    prepare(t);
    expect(t.ats(PASID)).toMatchObject({ ok: false, pa: -1, why: `the completion grants nothing${why}` });
    expect([record(t), t.a.atc.size]).toEqual([null, 0]);
  });

  it.each([
    ['a context entry without DTE', { DTE: 0, PRE: 0 }, () => {}, 'SCT.5', 'unsupported request'],
    ['a context entry without PASIDE', { PASIDE: 0 }, () => {}, 'SCT.6', 'unsupported request'],
    ['a reserved bit in the PASID entry', {}, (t: TestUnit) => t.pasid(PASID, { PGTT: 7 }), 'SPT.4', 'completer abort'],
    [
      'a reserved bit in a paging entry',
      {},
      (t: TestUnit) => t.write(t.firstStage(5, PASID, IOVA, DATA), 0x8_0000_0000_0067n | BigInt(DATA)),
      null,
      '',
    ],
    [
      'a page at the interrupt addresses',
      {},
      (t: TestUnit) => t.write(t.firstStage(5, PASID, IOVA, DATA), 0xfee0_0067n),
      'SGN.8',
      'completer abort',
    ],
  ] as const)('where there is %s', (_, context, prepare, name, how) => {
    const t = new TestUnit({ context });
    prepare(t);
    t.listen();
    const r = t.ats(PASID, true);
    if (name === null) return;
    expect(r.fault?.name).toBe(name);
    expect(record(t)).toMatchObject({ AT: 1n, PP: 1n, T1: 0n });
    expect(t.events.at(-1)).toMatchObject({ kind: 'dma.abort', text: `${how}: ${name}` });
  });

  it('is an unsupported request while remapping is off, and not sent where ATS is off', () => {
    const t = new TestUnit();
    t.set('GCMD_REG', 0x0400_0000);
    expect(t.ats()).toMatchObject({ ok: false, why: 'unsupported request, nothing is recorded' });
    t.a.atsEnabled = false;
    expect(t.ats()).toMatchObject({ ok: false, why: 'ATS is not enabled in the device' });
  });
});

describe('a translated access', () => {
  /** The device already has a translation. */
  const holding = (o: ConstructorParameters<typeof TestUnit>[0] = {}): TestUnit => {
    const t = new TestUnit(o);
    const data = { attr: 3, level: 0, granule: 12, sid: RID_A, ssid: -1, ipaHi: 0, ipaLo: 0 };
    t.a.atc.insert(0, NO_PASID, Number(IOVA >> 32n), Number(IOVA & 0xffff_ffffn) | 0, 12, 12, 0, TO, data);
    return t;
  };

  it('passes as it is, whatever the tables say of the address', () => {
    expect(holding().dma({ translated: true, iova: IOVA + 5n })).toMatchObject({ ok: true, pa: TO + 5, hit: 'ATC' });
  });

  it('is refused and recorded without DTE, with the address that it had', () => {
    const t = holding({ context: { DTE: 0, PRE: 0 } });
    expect(t.dma({ translated: true }).fault?.name).toBe('SCT.5');
    expect(record(t)).toMatchObject({ FI: BigInt(TO), AT: 2n, T1: 1n, PP: 0n, FR: 0x44n });
  });

  it('is refused while remapping is off', () => {
    const t = holding();
    t.set('GCMD_REG', 0x0400_0000);
    expect(t.dma({ translated: true }).ok).toBe(false);
    expect(record(t)).toBeNull();
  });

  it('is an untranslated one when the device has ATS off', () => {
    const t = holding();
    t.firstStage(5, 0, IOVA, DATA);
    t.a.atsEnabled = false;
    expect(t.dma({ translated: true })).toMatchObject({ ok: true, pa: DATA, hit: 'walk' });
  });
});

it('many devices are told apart by their requester id', () => {
  const t = new TestUnit();
  t.write(t.contextAddress(0x10), 0n);
  expect(
    runToEnd(t.unit.dma({ device: t.b, pasid: -1, iova: IOVA, write: false, translated: false })).fault?.name,
  ).toBe('SCT.2');
  expect(record(t)).toMatchObject({ SID: 0x5e10n, FR: 0x41n });
});
