import { describe, expect, it } from 'vitest';
import { ANY_DATA, NO_WRITE, READ, WRITE } from '../../pagetable/vmsav8.ts';
import { entriesOf, staleCaches } from './granule-machine.ts';
import { ATS_REQUEST, DONE } from './index.ts';
import {
  AF,
  AP2,
  CLEAN,
  CLEAN2,
  DBM,
  HA1,
  HAD1,
  HAD2,
  OLD,
  OUT,
  PAGE,
  PAGE2,
  ROOT,
  S2W,
  t1,
  UpdateMachine,
  VA,
} from './update-machine.ts';

/** Hardware update of access flag and dirty state by ATS (Arm IHI 0070 3.13.7), and what of it can be stale. */
describe('translation requests (3.13.7.1)', () => {
  const atc = (m: UpdateMachine): number[] => entriesOf(m.device.atc).map((i) => m.device.atc.e[i + 18]!);
  it('mark the page dirty before they grant writing', () => {
    const m = new UpdateMachine({ nested: true, page: CLEAN & ~AF, cd: HAD1, ste: HAD2 });
    m.set2(OUT, CLEAN2 & ~AF);
    expect(m.access(VA, { translated: true })).toMatchObject({ ok: true });
    expect([m.page, m.page2()]).toEqual([CLEAN & ~AP2, PAGE2 | DBM]);
    expect(atc(m)).toEqual([READ | WRITE]);
    expect(m.access(VA, { translated: true, write: true })).toMatchObject({ ok: true, hit: 'ATC' });
  });
  it('also when a clean entry could answer', () => {
    const m = new UpdateMachine({ nested: true, page: CLEAN, cd: HAD1 });
    m.access(VA);
    expect(m.access(VA, { translated: true })).toMatchObject({ ok: true });
    expect(m.page).toBe(CLEAN & ~AP2);
    expect(atc(m)).toEqual([READ | WRITE]);
  });
  it('mark nothing where the other stage allows no writing', () => {
    const one = new UpdateMachine({ nested: true, page: CLEAN, cd: HAD1, ste: HAD2 });
    one.set2(OUT, PAGE2 & ~S2W);
    one.access(VA, { translated: true });
    expect([one.page, one.page2(), atc(one)]).toEqual([CLEAN, PAGE2 & ~S2W, [READ]]);
    for (const i of entriesOf(one.device.atc)) expect(one.smmu.audit.sameAtc(one.device, i)).toBe(true);
    const two = new UpdateMachine({ nested: true, page: PAGE | AP2, cd: HAD1, ste: HAD2 });
    two.set2(OUT, CLEAN2);
    two.access(VA, { translated: true });
    expect([two.page, two.page2(), atc(two)]).toEqual([PAGE | AP2, CLEAN2, [READ]]);
  });
  it('with the access flag alone managed by hardware a clean page is read-only', () => {
    const m = new UpdateMachine({ page: CLEAN & ~AF, cd: HA1 });
    m.access(VA, { translated: true });
    expect([m.page, atc(m)]).toEqual([CLEAN, [READ]]);
  });
  it('a stage-1 table that stage 2 does not let hardware write grants nothing, and records nothing', () => {
    const m = new UpdateMachine({ nested: true, page: CLEAN, cd: HAD1 });
    m.set2(m.table, PAGE2 & ~S2W);
    expect(m.access(VA, { translated: true }).ok).toBe(false);
    expect([m.page, atc(m), m.smmu.readRegister('EVENTQ_PROD')]).toEqual([CLEAN, [], 0n]);
  });
  it('with split stages stage 2 marks its page when the translated write comes', () => {
    const m = new UpdateMachine({ nested: true, page: CLEAN, cd: HAD1, ste: { ...HAD2, EATS: 2 } });
    expect(m.access(VA, { translated: true })).toMatchObject({ ok: true });
    expect(m.page).toBe(CLEAN & ~AP2);
    m.set2(OUT, CLEAN2);
    for (const c of m.smmu.caches.translation()) c.removeAllBut(-1);
    expect(m.access(VA, { translated: true })).toMatchObject({ ok: true, hit: 'ATC' });
    expect(m.page2()).toBe(CLEAN2);
    for (const i of entriesOf(m.device.atc)) expect(m.smmu.audit.sameAtc(m.device, i)).toBe(true);
    expect(m.access(VA, { translated: true, write: true })).toMatchObject({ ok: true, hit: 'ATC' });
    expect(m.page2()).toBe(PAGE2 | DBM);
  });
  it('stage 2 alone', () => {
    const m = new UpdateMachine({ nested: true, ste: { Config: 6, ...HAD2 } });
    m.set2(OUT, CLEAN2 & ~AF);
    expect(m.access(OUT, { translated: true })).toMatchObject({ ok: true });
    expect([m.page2(), atc(m)]).toEqual([PAGE2 | DBM, [READ | WRITE]]);
  });
  it('NW = 1 marks nothing and grants reading', () => {
    const m = new UpdateMachine({ nested: true, page: CLEAN & ~AF, cd: HAD1, ste: HAD2 });
    const t = m.smmu.translator;
    for (const by of [0, 1]) {
      expect(t.translate(0x100, -1, 0, Number(VA), ANY_DATA | NO_WRITE, false, ATS_REQUEST)).toBe(DONE);
      expect([t.granted, t.answeredBy, m.page, m.page2()]).toEqual([READ, by, CLEAN, PAGE2]);
    }
    expect(t.translate(0x100, -1, 0, Number(VA), ANY_DATA, false, ATS_REQUEST)).toBe(DONE);
    expect([t.granted, m.page]).toEqual([READ | WRITE, CLEAN & ~AP2]);
  });
});

describe('what is stale', () => {
  it('a page made clean again whose entry lets writes through', () => {
    for (const stage of [1, 2] as const) {
      const m = new UpdateMachine({ nested: true, page: stage === 1 ? CLEAN : PAGE, cd: HAD1, ste: HAD2 });
      if (stage === 2) m.set2(OUT, CLEAN2);
      m.access(VA);
      expect(staleCaches(m.smmu)).toEqual([]);
      m.access(VA, { write: true });
      m.access(VA, { translated: true });
      expect(staleCaches(m.smmu)).toEqual([]);
      for (const i of entriesOf(m.device.atc)) expect(m.smmu.audit.sameAtc(m.device, i)).toBe(true);
      if (stage === 1) m.write(m.leaf, OUT | CLEAN);
      else m.set2(OUT, CLEAN2);
      expect(staleCaches(m.smmu)).toEqual(stage === 1 ? ['IOTLB'] : ['IOTLB', 'S2 TLB']);
      for (const i of entriesOf(m.device.atc)) expect(m.smmu.audit.sameAtc(m.device, i)).toBe(false);
    }
  });
  it('not where the other stage lets no write through', () => {
    const m = new UpdateMachine({ nested: true, page: CLEAN & ~AP2, cd: HAD1 });
    m.set2(OUT, PAGE2 & ~S2W);
    m.access(VA);
    m.write(m.leaf, OUT | CLEAN);
    expect(staleCaches(m.smmu)).toEqual([]);
  });
  it('a clean entry of a page that is dirty by now is none', () => {
    const m = new UpdateMachine({ page: CLEAN, cd: HAD1 });
    m.access(VA);
    m.write(m.leaf, OUT | (CLEAN & ~AP2));
    expect(staleCaches(m.smmu)).toEqual([]);
    expect(m.access(VA, { write: true })).toMatchObject({ ok: true, hit: 'walk' });
    expect(m.access(VA, { write: true })).toMatchObject({ hit: 'IOTLB' });
  });
  it('an access flag that software clears is none where hardware sets it', () => {
    for (const [cd, want] of [
      [HA1, []],
      [{}, ['IOTLB']],
    ] as const) {
      const m = new UpdateMachine({ cd });
      m.access(VA);
      m.write(m.leaf, OUT | OLD);
      expect(staleCaches(m.smmu)).toEqual(want);
    }
  });
  it('looking changes nothing', () => {
    const m = new UpdateMachine({ page: CLEAN, cd: HAD1 });
    m.access(VA);
    m.write(m.leaf, OUT | (CLEAN & ~AF));
    staleCaches(m.smmu);
    expect(m.page).toBe(CLEAN & ~AF);
  });
  it('one dirty descriptor speaks for a contiguous range', () => {
    const hint = 1n << 52n;
    const m = new UpdateMachine({ page: CLEAN, cd: HAD1 });
    const at = m.s1Entry(t1, ROOT, 0x10_0000n, 3);
    for (let k = 0n; k < 16n; k++) m.write(at + 8n * k, (0x5_0000n + k * 4096n) | CLEAN | hint);
    m.access(0x10_3000n, { write: true });
    expect(m.word(at + 24n)).toBe(0x5_3000n | hint | (CLEAN & ~AP2));
    expect(m.word(at)).toBe(0x5_0000n | hint | CLEAN);
    expect(m.access(0x10_4000n, { write: true })).toMatchObject({ hit: 'IOTLB' });
    expect(staleCaches(m.smmu)).toEqual([]);
    m.write(at + 24n, 0x5_3000n | hint | CLEAN);
    expect(staleCaches(m.smmu)).toEqual(['IOTLB']);
  });
});
