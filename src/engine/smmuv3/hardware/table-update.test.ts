import { describe, expect, it } from 'vitest';
import { ATTR } from '../../cache/index.ts';
import { S1_CLEAN } from '../../pagetable/vmsav8.ts';
import type { TraceEvent } from '../../trace/index.ts';
import { entriesOf, GranuleMachine, staleCaches } from './granule-machine.ts';
import {
  AF,
  AP2,
  CLEAN,
  CLEAN2,
  DBM,
  HA1,
  HA2,
  HAD1,
  HAD2,
  NEXT,
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

/**
 * Hardware update of access flag and dirty state. Source: Arm IHI 0070 3.13 and its subsections, named at each test;
 * DDI 0487 D8.5 (FEAT_HAFDBS).
 */
describe('the access flag, stage 1 (3.13.2)', () => {
  it('is set where a fault would be', () => {
    for (const write of [false, true]) {
      const m = new UpdateMachine({ page: OLD, cd: HA1 });
      expect(m.access(VA, { write })).toMatchObject({ ok: true, pa: Number(OUT) });
      expect(m.page).toBe(PAGE);
      expect(m.access(VA, { write })).toMatchObject({ hit: 'IOTLB' });
    }
    const m = new UpdateMachine({ page: OLD });
    expect(m.access(VA).fault?.name).toBe('F_ACCESS');
    expect(m.page).toBe(OLD);
  });
  it('AFFD without HA takes it as set and writes nothing; with HA it is written', () => {
    for (const [HA, want] of [
      [0, OLD],
      [1, PAGE],
    ] as const) {
      const m = new UpdateMachine({ page: OLD, cd: { AFFD: 1, HA } });
      expect(m.access(VA).ok).toBe(true);
      expect(m.page).toBe(want);
    }
  });
  it('is not set by an access that is refused', () => {
    const m = new UpdateMachine({ page: OLD | AP2, cd: HA1 });
    expect(m.access(VA, { write: true }).fault?.name).toBe('F_PERMISSION');
    expect(m.page).toBe(OLD | AP2);
  });
  it('of a block, in the upper region', () => {
    const m = new GranuleMachine({ cd: { EPD1: 0, T1SZ: 16, TG1: 2, TTB1: ROOT, ...HA1 } });
    const at = m.s1Entry(t1, ROOT, 0xffff_8000_0020_0000n, 2);
    m.write(at, 0x4000_0b45n);
    expect(m.access(0xffff_8000_0020_1234n).pa).toBe(0x4000_1234);
    expect(m.word(at)).toBe(0x4000_0f45n);
  });
});

describe('dirty state, stage 1 (3.13.3.1)', () => {
  it('a write clears AP[2] of a page with DBM, a read does not', () => {
    const m = new UpdateMachine({ page: CLEAN, cd: HAD1 });
    expect(m.access(VA).ok).toBe(true);
    expect(m.page).toBe(CLEAN);
    // The entry is there; the first write walks although it could hit.
    expect(m.access(VA)).toMatchObject({ hit: 'IOTLB', reads: 0 });
    expect(m.access(VA, { write: true })).toMatchObject({ ok: true, pa: Number(OUT), hit: 'walk' });
    expect(m.page).toBe(CLEAN & ~AP2);
    expect(m.access(VA, { write: true })).toMatchObject({ hit: 'IOTLB', reads: 0 });
    expect(m.smmu.caches.iotlb.size).toBe(1);
    expect(m.access(NEXT, { write: true }).ok).toBe(true);
  });
  it('sets the access flag in the same write', () => {
    const m = new UpdateMachine({ page: CLEAN & ~AF, cd: HAD1 });
    const seen: TraceEvent[] = [];
    m.trace.listener = (e) => seen.push(e);
    m.access(VA, { write: true });
    expect(m.page).toBe(CLEAN & ~AP2);
    const writes = seen.filter((e) => e.kind === 'table.write');
    expect(writes).toMatchObject([
      { actor: 'iommu', address: Number(m.leaf), words: [m.word(m.leaf)], layout: 'vmsav8.s1.page' },
    ]);
    expect(writes[0]).toMatchObject({ text: 'hardware sets access flag and dirty state, stage 1 level 3' });
  });
  it('is off without DBM, without HD, without HA', () => {
    for (const [page, cd] of [
      [CLEAN & ~DBM, HAD1],
      [CLEAN, HA1],
      [CLEAN, { HD: 1 }],
      [CLEAN, {}],
    ] as const) {
      const m = new UpdateMachine({ page, cd });
      expect(m.access(VA, { write: true }).fault?.name).toBe('F_PERMISSION');
      expect(m.page).toBe(page);
    }
  });
  it('does not override APTable', () => {
    const m = new UpdateMachine({ page: CLEAN, cd: HAD1 });
    const above = m.s1Entry(t1, ROOT, VA, 2);
    m.write(above, m.word(above) | (1n << 62n));
    expect(m.access(VA, { write: true }).fault?.name).toBe('F_PERMISSION');
    expect(m.page).toBe(CLEAN);
    // And what is not writable needs no marking: a read's entry is plain.
    expect(m.access(VA).ok).toBe(true);
    expect(m.access(VA, { write: true })).toMatchObject({ hit: 'IOTLB', fault: { name: 'F_PERMISSION' } });
    const { iotlb } = m.smmu.caches;
    expect(entriesOf(iotlb).map((i) => iotlb.e[i + ATTR]! & S1_CLEAN)).toEqual([0]);
  });
  it('a clean page counts as writable where writing forbids execution (3.13.8)', () => {
    for (const [cd, ok] of [
      [{ ...HAD1, WXN: 1 }, false],
      [{ ...HA1, WXN: 1 }, true],
    ] as const)
      expect(new UpdateMachine({ page: CLEAN, cd }).access(VA, { exec: true }).ok).toBe(ok);
  });
});

describe('stage 2 (3.13.2, 3.13.3.1)', () => {
  it('access flags of the pages of CD, tables and output, and no dirty state but that of what is written', () => {
    for (const write of [false, true]) {
      const m = new UpdateMachine({ nested: true, ste: HAD2 });
      const ipas = [m.cdIpa, ROOT, m.table, OUT];
      for (const ipa of ipas) m.set2(ipa, CLEAN2 & ~AF);
      expect(m.access(VA, { write }).ok).toBe(true);
      const want = ipas.map((ipa) => (write && ipa === OUT ? PAGE2 | DBM : CLEAN2));
      expect(ipas.map((ipa) => m.page2(ipa))).toEqual(want);
    }
  });
  it('without S2HA the first page faults', () => {
    const m = new UpdateMachine({ nested: true });
    m.set2(m.cdIpa, PAGE2 & ~AF);
    expect(m.access(VA).fault).toMatchObject({ name: 'F_ACCESS', fields: { S2: 1n, CLASS: 0n, IPA: m.cdIpa } });
  });
  it('with S2HA alone a write to a clean page faults', () => {
    const m = new UpdateMachine({ nested: true, ste: HA2 });
    m.set2(OUT, CLEAN2);
    expect(m.access(VA, { write: true }).fault).toMatchObject({ name: 'F_PERMISSION', fields: { S2: 1n, CLASS: 2n } });
    expect(m.page2()).toBe(CLEAN2);
  });
  it('a refused access sets no access flag, and what has none is not cached', () => {
    const m = new UpdateMachine({ nested: true, ste: HAD2 });
    m.set2(OUT, PAGE2 & ~S2W & ~AF);
    expect(m.access(VA, { write: true }).fault).toMatchObject({ name: 'F_PERMISSION', fields: { S2: 1n, CLASS: 2n } });
    expect(m.page2()).toBe(PAGE2 & ~S2W & ~AF);
    const { s2tlb } = m.smmu.caches;
    expect(s2tlb.lookup(1, 0, 0, Number(OUT))).toBe(-1);
    m.access(VA);
    expect(m.page2()).toBe(PAGE2 & ~S2W);
    expect(s2tlb.lookup(1, 0, 0, Number(OUT))).toBeGreaterThanOrEqual(0);
  });
  it('a write after a read marks it, through IOTLB and stage-2 TLB', () => {
    const m = new UpdateMachine({ nested: true, ste: HAD2 });
    m.set2(OUT, CLEAN2);
    m.access(VA);
    expect(m.page2()).toBe(CLEAN2);
    expect(m.access(VA, { write: true })).toMatchObject({ ok: true, hit: 'walk' });
    expect(m.page2()).toBe(PAGE2 | DBM);
    expect(staleCaches(m.smmu)).toEqual([]);
    expect(m.access(VA, { write: true })).toMatchObject({ hit: 'IOTLB' });
  });
  it('stage 2 alone', () => {
    const m = new UpdateMachine({ nested: true, ste: { Config: 6, ...HAD2 } });
    m.set2(OUT, CLEAN2 & ~AF);
    m.access(OUT);
    expect(m.page2()).toBe(CLEAN2);
    expect(m.access(OUT)).toMatchObject({ hit: 'S2 TLB', reads: 0 });
    expect(m.access(OUT, { write: true })).toMatchObject({ ok: true, hit: 'walk' });
    expect(m.page2()).toBe(PAGE2 | DBM);
    expect(m.access(OUT, { write: true })).toMatchObject({ hit: 'S2 TLB' });
  });
});

describe('a stage-1 update writes through stage 2 (3.13.5)', () => {
  const readOnly = PAGE2 & ~S2W;
  it('where stage 2 is read-only the access faults with TTRnW = 0, read or write', () => {
    for (const [page, write] of [
      [OLD, false],
      [OLD, true],
      [CLEAN, true],
    ] as const) {
      const m = new UpdateMachine({ nested: true, page, cd: HAD1 });
      m.set2(m.table, readOnly);
      const { fault } = m.access(VA, { write });
      expect(fault).toMatchObject({
        name: 'F_PERMISSION',
        fields: { S2: 1n, CLASS: 1n, TTRnW: 0n, RnW: write ? 0n : 1n, IPA: m.table, InputAddr: VA },
      });
      expect(m.page).toBe(page);
    }
    const m = new UpdateMachine({ nested: true, page: CLEAN, cd: HAD1 });
    m.set2(m.table, readOnly);
    expect(m.access(VA).ok).toBe(true);
    // A table that cannot even be read still says TTRnW = 1.
    const none = new UpdateMachine({ nested: true, page: OLD, cd: HAD1 });
    none.set2(none.table, PAGE2 & ~0x40n);
    expect(none.access(VA).fault).toMatchObject({ name: 'F_PERMISSION', fields: { TTRnW: 1n } });
    // Also after a fault of the other kind.
    m.write(m.leaf, OUT | OLD);
    m.smmu.caches.iotlb.removeAllBut(-1);
    expect(m.access(VA).fault).toMatchObject({ name: 'F_PERMISSION', fields: { TTRnW: 0n } });
    m.set2(m.table, PAGE2 & ~0x40n);
    for (const c of m.smmu.caches.translation()) c.removeAllBut(-1);
    expect(m.access(VA).fault).toMatchObject({ name: 'F_PERMISSION', fields: { TTRnW: 1n } });
  });
  it.each([0x1000_0000n, 0x5a_1000_0000n])('also when the table comes from a cached walk step, at %s', (tables) => {
    const m = new UpdateMachine({ nested: true, cd: HAD1, tables });
    m.set2(m.table, readOnly);
    m.write(m.leaf + 8n, (OUT + 0x1000n) | OLD);
    expect(m.access(VA).ok).toBe(true);
    expect(m.smmu.caches.s1walk.size).toBeGreaterThan(0);
    expect(m.access(NEXT).fault).toMatchObject({
      name: 'F_PERMISSION',
      fields: { S2: 1n, CLASS: 1n, TTRnW: 0n, IPA: m.table },
    });
    // Allowed now, in memory and after an invalidation of the cached stage-2 leaf.
    m.set2(m.table, PAGE2);
    m.smmu.caches.s2tlb.removeAllBut(-1);
    expect(m.access(NEXT).ok).toBe(true);
    expect(m.word(m.leaf + 8n) & 0xfffn).toBe(PAGE);
  });
  it('marks the page of the table dirty at stage 2', () => {
    const m = new UpdateMachine({ nested: true, page: OLD, cd: HA1, ste: HAD2 });
    m.set2(m.table, CLEAN2);
    m.set2(ROOT, CLEAN2);
    expect(m.access(VA).ok).toBe(true);
    expect([m.page, m.page2(m.table), m.page2(ROOT)]).toEqual([PAGE, PAGE2 | DBM, CLEAN2]);
    expect(staleCaches(m.smmu)).toEqual([]);
  });
  it('comes before stage 2 of the output', () => {
    const m = new UpdateMachine({ nested: true, page: OLD, cd: HA1 });
    m.set2(OUT, 0n);
    expect(m.access(VA).fault).toMatchObject({ name: 'F_TRANSLATION', fields: { S2: 1n, CLASS: 2n, IPA: OUT } });
    expect(m.page).toBe(PAGE);
  });
});
