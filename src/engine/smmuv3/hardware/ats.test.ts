import { describe, expect, it } from 'vitest';
import { IN_LO, OUT_LO, SHIFT } from '../../cache/index.ts';
import { runToEnd } from '../../machine/index.ts';
import type { DmaOutcome } from '../../pci/index.ts';
import { NO_PASID } from '../../pci/index.ts';
import { encodeEvent } from '../layout/index.ts';
import { CD, DATA, OFFSET, type Shape, SID, TestMachine, VA } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: true, twoLevelCd: false };
const page = (n: number): number => n - (n % 4096);

const request = (m: TestMachine, pasid = -1, write = false): DmaOutcome =>
  runToEnd(m.smmu.ats(m.device, pasid, BigInt(VA), write));
const setCr0 = (m: TestMachine, value: bigint): void => runToEnd(m.smmu.writeRegister('CR0', value));
const recorded = (m: TestMachine): number => Number(m.smmu.readRegister('EVENTQ_PROD'));

/** What a machine answers: text of the completion or abort, and names of recorded events. */
function answer(shape: Partial<Shape>, spoil: (m: TestMachine) => void = () => {}, pasid = -1): string {
  const m = new TestMachine({ ...plain, ...shape });
  spoil(m);
  m.smmu.translator.registersChanged();
  let text = '';
  m.trace.listener = (e) => {
    if (e.kind === 'dma.abort' || (e.kind === 'ats' && e.message === 'completion')) text = e.text;
  };
  const r = request(m, pasid);
  expect(recorded(m)).toBe(r.fault ? 1 : 0);
  expect(m.device.atc.size).toBe(r.ok ? 1 : 0);
  return text;
}

describe('a translation request, Arm IHI 0070 3.9.1.2', () => {
  const leaf = (low: bigint) => (m: TestMachine) => m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | low);
  const refused = 'aborted: F_BAD_ATS_TREQ';
  const silent = 'unsupported request, no event';
  const abort = (event: string): string => `completer abort, no event (${event})`;
  const nothing = (event: string): string => `completion: R=0 W=0 (${event})`;
  const pa = `PA 0x${(page(DATA) + OFFSET).toString(16)}`;
  const rows: readonly [string, Partial<Shape>, ((m: TestMachine) => void) | undefined, string, number?][] = [
    ['SMMU off', {}, (m) => setCr0(m, 0x1cn), refused],
    ['EATS = 0', { ste: { EATS: 0 } }, undefined, refused],
    ['no stage translates', { ste: { Config: 4 } }, undefined, refused],
    ['split stages without ATSCHK', { ste: { EATS: 2 } }, (m) => setCr0(m, 0xdn), refused],
    ['Config aborts', { ste: { Config: 0 } }, undefined, silent],
    ['no STE', {}, (m) => m.write(0x100_0008, 0n), abort('C_BAD_STREAMID')],
    ['STE beyond memory', {}, (m) => m.write(0x100_0008, 0xffff_ffff_0009n), abort('F_STE_FETCH')],
    ['STE illegal', { ste: { V: 0 } }, undefined, abort('C_BAD_STE')],
    ['CD illegal', { cd: { V: 0 } }, undefined, abort('C_BAD_CD')],
    ['PASID without substreams', {}, undefined, abort('C_BAD_SUBSTREAMID'), 1],
    ['CD beyond memory', {}, (m) => m.write(m.s2Leaf(CD), 0xffff_ffff_f7ffn), abort('F_CD_FETCH')],
    ['table beyond memory', {}, (m) => m.write(m.s2Leaf(m.s1Entry(1)), 0xffff_ffff_f7ffn), abort('F_WALK_EABT')],
    ['CD not mapped in stage 2', {}, (m) => m.write(m.s2Leaf(CD), 0n), nothing('F_TRANSLATION')],
    ['page not mapped', {}, (m) => m.write(m.s1Entry(3) + OFFSET, 0n), nothing('F_TRANSLATION')],
    ['page without access flag', {}, leaf(0xb47n), nothing('F_ACCESS')],
    ['page beyond IPS', { cd: { IPS: 0 } }, leaf(0x1_0000_0f47n), nothing('F_ADDR_SIZE')],
    ['page for privileged accesses', {}, leaf(0xf07n), nothing('F_PERMISSION')],
    ['page not mapped in stage 2', {}, (m) => m.write(m.s2Leaf(DATA), 0n), nothing('F_TRANSLATION')],
    ['page without access in stage 2', {}, (m) => m.mapIpa(DATA, 0x73fn), 'completion: R=0 W=0'],
    ['page', {}, undefined, `completion: ${pa} R=1 W=1`],
    ['page read-only in stage 1', {}, leaf(0xfc7n), `completion: ${pa} R=1 W=0`],
    ['page read-only in stage 2', {}, (m) => m.mapIpa(DATA, 0x77fn), `completion: ${pa} R=1 W=0`],
    ['page write-only in stage 2', {}, (m) => m.mapIpa(DATA, 0x7bfn), `completion: ${pa} R=0 W=1`],
    ['split stages', { ste: { EATS: 2 } }, undefined, `completion: PA 0x${page(DATA).toString(16)} R=1 W=1`],
  ];
  for (const [name, shape, spoil, want, pasid] of rows)
    it(name, () => expect(answer(shape, spoil, pasid ?? -1)).toBe(want));

  it('fills the ATC with the smaller of the two leaves', () => {
    const m = new TestMachine(plain);
    // A block in stage 1, pages in stage 2.
    m.write(m.s1Entry(2) + OFFSET, BigInt(DATA) | 0xf45n);
    m.mapIpa(DATA + (VA % 0x20_0000));
    expect(request(m)).toMatchObject({ ok: true, pa: page(DATA + (VA % 0x20_0000)) + OFFSET });
    const { e } = m.device.atc;
    expect([e[IN_LO], e[SHIFT], e[OUT_LO]! >>> 0]).toEqual([page(VA), 12, page(DATA + (VA % 0x20_0000)) + OFFSET]);
  });
});

/** The device's ATC holds `to` for VA, whatever the tables say. */
function translated(m: TestMachine, to: number, write = false, pasid = -1): DmaOutcome {
  const data = { attr: 3, level: 0, granule: 12, sid: SID, ssid: -1, ipaHi: 0, ipaLo: 0 };
  const tag = pasid < 0 ? NO_PASID : pasid;
  m.device.atc.insert(0, tag, 0, VA, 12, 12, Math.floor(to / 2 ** 32), to | 0, data);
  return runToEnd(m.smmu.dma({ device: m.device, pasid, iova: BigInt(VA), write, translated: true }));
}

describe('a translated access, Arm IHI 0070 3.9.1.1, 3.9.1.3', () => {
  const low = VA % 4096;
  const TO = 0x4000_0000;

  it('passes as it is', () => {
    const m = new TestMachine(plain);
    expect(translated(m, TO)).toMatchObject({ ok: true, pa: TO + low, hit: 'ATC' });
  });

  it('without ATSCHK is looked at no further', () => {
    for (const field of ['V', 'EATS', 'Config']) {
      const m = new TestMachine({ ...plain, ste: { [field]: 0 } });
      setCr0(m, 0xdn);
      expect(translated(m, TO)).toMatchObject({ ok: true, pa: TO + low, reads: 0 });
    }
  });

  it('is refused while the SMMU is off, and where the STE does not allow ATS', () => {
    const event = encodeEvent('F_TRANSL_FORBIDDEN', { SID, RnW: 0, InputAddr: BigInt(TO + low) });
    const off = new TestMachine(plain);
    setCr0(off, 0x1cn);
    expect(translated(off, TO, true).fault?.words).toEqual(event);
    for (const [field, value] of [
      ['EATS', 0],
      ['Config', 4],
    ] as const) {
      const m = new TestMachine({ ...plain, ste: { [field]: value } });
      // Neither the PASID nor the address before translation is in the record.
      expect(translated(m, TO, true, 3).fault?.words).toEqual(event);
      expect(recorded(m)).toBe(1);
    }
  });

  it('with a PASID is not sent by a device that has none enabled', () => {
    const m = new TestMachine({ ...plain, twoLevelCd: true });
    m.device.pasidEnabled = false;
    expect(request(m, 1)).toMatchObject({ ok: false, reads: 0, why: 'PASID is not enabled in the device' });
    expect([m.device.atc.size, recorded(m)]).toEqual([0, 0]);
  });

  it('is aborted without an event where the configuration is at fault', () => {
    const spoilt: readonly [Partial<Shape>, (m: TestMachine) => void][] = [
      [{ ste: { V: 0 } }, () => {}],
      [{ ste: { Config: 0 } }, () => {}],
      [{}, (m) => m.write(0x100_0008, 0n)],
      [{}, (m) => m.write(0x100_0008, 0xffff_ffff_0009n)],
    ];
    for (const [shape, spoil] of spoilt) {
      const m = new TestMachine({ ...plain, ...shape });
      spoil(m);
      const r = translated(m, TO);
      expect([r.ok, r.fault, recorded(m)]).toEqual([false, undefined, 0]);
    }
  });

  it('beyond the output size is aborted without an event', () => {
    const m = new TestMachine({ ...plain, n2: 2, features: { OAS: 32 } });
    const r = translated(m, 2 ** 32);
    expect([r.ok, r.fault, recorded(m)]).toEqual([false, undefined, 0]);
  });

  it('goes through stage 2 where the stages are split', () => {
    const m = new TestMachine({ ...plain, ste: { EATS: 2 } });
    expect(translated(m, DATA, true)).toMatchObject({ ok: true, pa: DATA + OFFSET + low });
    m.mapIpa(DATA, 0x77fn);
    m.smmu.caches.s2tlb.removeContext(1, 0);
    expect(translated(m, DATA, true, 3).fault?.words).toEqual(
      encodeEvent('F_PERMISSION', { SID, S2: 1, CLASS: 2, InputAddr: BigInt(DATA + low), IPA: BigInt(DATA) }),
    );
  });
});
