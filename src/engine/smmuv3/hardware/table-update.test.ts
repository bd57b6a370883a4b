import { describe, expect, it } from 'vitest';
import { ANY_DATA, NO_WRITE, READ, WRITE } from '../../pagetable/vmsav8.ts';
import type { TraceEvent } from '../../trace/index.ts';
import { entriesOf, GranuleMachine, staleCaches, type Tables } from './granule-machine.ts';
import { ATS_REQUEST, DONE } from './index.ts';

/**
 * Hardware update of access flag and dirty state. Source: Arm IHI 0070 3.13 and its subsections, named at each test;
 * DDI 0487 D8.5 (FEAT_HAFDBS).
 */
const t1: Tables = { granule: 12, start: 0, bits: 48 };
const t2: Tables = { granule: 12, start: 0, bits: 48 };
const ROOT = 0x800_0000n;
const VA = 0x1234_5000n;
const NEXT = VA + 0x1000n;
const OUT = 0x3000_0000n;
const AF = 0x400n;
const AP2 = 0x80n;
const DBM = 1n << 51n;
const S2W = 0x80n;
/** Stage 1, read and write: accessed and dirty; not accessed; clean. Stage 2 the same. */
const PAGE = 0xf47n;
const OLD = PAGE & ~AF;
const CLEAN = PAGE | AP2 | DBM;
const PAGE2 = 0x7ffn;
const CLEAN2 = (PAGE2 & ~S2W) | DBM;

type Fields = Record<string, number | bigint>;
const HA1: Fields = { HA: 1 };
const HAD1: Fields = { HA: 1, HD: 1 };
const HA2: Fields = { S2HA: 1 };
const HAD2: Fields = { S2HA: 1, S2HD: 1 };

interface Setup {
  readonly nested?: boolean;
  readonly page?: bigint;
  readonly cd?: Fields;
  readonly ste?: Fields;
  readonly features?: Record<string, boolean | number>;
}

/** VA goes to OUT, with stage 2 behind when nested. */
class Machine extends GranuleMachine {
  readonly leaf: bigint;

  constructor(o: Setup) {
    super({
      s2: o.nested ? t2 : null,
      cd: { EPD0: 0, T0SZ: 16, TG0: 0, TTB0: ROOT, ...o.cd },
      ...(o.ste ? { ste: o.ste } : {}),
      ...(o.features ? { features: o.features } : {}),
    });
    this.leaf = this.s1Entry(t1, ROOT, VA, 3);
    this.write(this.leaf, OUT | (o.page ?? PAGE));
    this.write(this.leaf + 8n, (OUT + 0x1000n) | (o.page ?? PAGE));
    if (o.nested) this.pa(OUT);
    if (o.nested) this.pa(OUT + 0x1000n);
  }

  /** Attribute bits of the stage-1 leaf, and of the stage-2 leaf of an intermediate address. */
  get page(): bigint {
    return this.word(this.leaf) & ~0xffff_ffff_f000n;
  }

  page2(ipa = OUT): bigint {
    return this.word(this.s2Entry(ipa, 3)) & ~0xffff_ffff_f000n;
  }

  set2(ipa: bigint, attributes: bigint): void {
    const at = this.s2Entry(ipa, 3);
    this.write(at, (this.word(at) & 0xffff_ffff_f000n) | attributes);
  }

  /** Intermediate address of the table that holds the leaf of VA. */
  get table(): bigint {
    return this.word(this.s1Entry(t1, ROOT, VA, 2)) & 0xffff_ffff_f000n;
  }
}

describe('the access flag, stage 1 (3.13.2)', () => {
  it('is set where a fault would be', () => {
    for (const write of [false, true]) {
      const m = new Machine({ page: OLD, cd: HA1 });
      expect(m.access(VA, { write })).toMatchObject({ ok: true, pa: Number(OUT) });
      expect(m.page).toBe(PAGE);
      expect(m.access(VA, { write })).toMatchObject({ hit: 'IOTLB' });
    }
    const m = new Machine({ page: OLD });
    expect(m.access(VA).fault?.name).toBe('F_ACCESS');
    expect(m.page).toBe(OLD);
  });
  it('AFFD without HA takes it as set and writes nothing; with HA it is written', () => {
    for (const [HA, want] of [
      [0, OLD],
      [1, PAGE],
    ] as const) {
      const m = new Machine({ page: OLD, cd: { AFFD: 1, HA } });
      expect(m.access(VA).ok).toBe(true);
      expect(m.page).toBe(want);
    }
  });
  it('is not set by an access that is refused', () => {
    const m = new Machine({ page: OLD | AP2, cd: HA1 });
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
    const m = new Machine({ page: CLEAN, cd: HAD1 });
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
    const m = new Machine({ page: CLEAN & ~AF, cd: HAD1 });
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
      const m = new Machine({ page, cd });
      expect(m.access(VA, { write: true }).fault?.name).toBe('F_PERMISSION');
      expect(m.page).toBe(page);
    }
  });
  it('does not override APTable', () => {
    const m = new Machine({ page: CLEAN, cd: HAD1 });
    const above = m.s1Entry(t1, ROOT, VA, 2);
    m.write(above, m.word(above) | (1n << 62n));
    expect(m.access(VA, { write: true }).fault?.name).toBe('F_PERMISSION');
    expect(m.page).toBe(CLEAN);
    // And what is not writable needs no marking: a read's entry is plain.
    expect(m.access(VA).ok).toBe(true);
    expect(m.access(VA, { write: true })).toMatchObject({ hit: 'IOTLB', fault: { name: 'F_PERMISSION' } });
  });
  it('a clean page counts as writable where writing forbids execution (3.13.8)', () => {
    for (const [cd, ok] of [
      [{ ...HAD1, WXN: 1 }, false],
      [{ ...HA1, WXN: 1 }, true],
    ] as const)
      expect(new Machine({ page: CLEAN, cd }).access(VA, { exec: true }).ok).toBe(ok);
  });
});

describe('stage 2 (3.13.2, 3.13.3.1)', () => {
  it('access flags of the pages of CD, tables and output, and no dirty state but that of what is written', () => {
    for (const write of [false, true]) {
      const m = new Machine({ nested: true, ste: HAD2 });
      const ipas = [m.cdIpa, ROOT, m.table, OUT];
      for (const ipa of ipas) m.set2(ipa, CLEAN2 & ~AF);
      expect(m.access(VA, { write }).ok).toBe(true);
      const want = ipas.map((ipa) => (write && ipa === OUT ? PAGE2 | DBM : CLEAN2));
      expect(ipas.map((ipa) => m.page2(ipa))).toEqual(want);
    }
  });
  it('without S2HA the first page faults', () => {
    const m = new Machine({ nested: true });
    m.set2(m.cdIpa, PAGE2 & ~AF);
    expect(m.access(VA).fault).toMatchObject({ name: 'F_ACCESS', fields: { S2: 1n, CLASS: 0n, IPA: m.cdIpa } });
  });
  it('with S2HA alone a write to a clean page faults', () => {
    const m = new Machine({ nested: true, ste: HA2 });
    m.set2(OUT, CLEAN2);
    expect(m.access(VA, { write: true }).fault).toMatchObject({ name: 'F_PERMISSION', fields: { S2: 1n, CLASS: 2n } });
    expect(m.page2()).toBe(CLEAN2);
  });
  it('a write after a read marks it, through IOTLB and stage-2 TLB', () => {
    const m = new Machine({ nested: true, ste: HAD2 });
    m.set2(OUT, CLEAN2);
    m.access(VA);
    expect(m.page2()).toBe(CLEAN2);
    expect(m.access(VA, { write: true })).toMatchObject({ ok: true, hit: 'walk' });
    expect(m.page2()).toBe(PAGE2 | DBM);
    expect(staleCaches(m.smmu)).toEqual([]);
    expect(m.access(VA, { write: true })).toMatchObject({ hit: 'IOTLB' });
  });
  it('stage 2 alone', () => {
    const m = new Machine({ nested: true, ste: { Config: 6, ...HAD2 } });
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
      const m = new Machine({ nested: true, page, cd: HAD1 });
      m.set2(m.table, readOnly);
      const { fault } = m.access(VA, { write });
      expect(fault).toMatchObject({
        name: 'F_PERMISSION',
        fields: { S2: 1n, CLASS: 1n, TTRnW: 0n, RnW: write ? 0n : 1n, IPA: m.table, InputAddr: VA },
      });
      expect(m.page).toBe(page);
    }
    const m = new Machine({ nested: true, page: CLEAN, cd: HAD1 });
    m.set2(m.table, readOnly);
    expect(m.access(VA).ok).toBe(true);
    // A table that cannot even be read still says TTRnW = 1.
    const none = new Machine({ nested: true, page: OLD, cd: HAD1 });
    none.set2(none.table, PAGE2 & ~0x40n);
    expect(none.access(VA).fault).toMatchObject({ name: 'F_PERMISSION', fields: { TTRnW: 1n } });
  });
  it('also when the table comes from a cached walk step', () => {
    const m = new Machine({ nested: true, cd: HAD1 });
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
    const m = new Machine({ nested: true, page: OLD, cd: HA1, ste: HAD2 });
    m.set2(m.table, CLEAN2);
    m.set2(ROOT, CLEAN2);
    expect(m.access(VA).ok).toBe(true);
    expect([m.page, m.page2(m.table), m.page2(ROOT)]).toEqual([PAGE, PAGE2 | DBM, CLEAN2]);
    expect(staleCaches(m.smmu)).toEqual([]);
  });
  it('comes before stage 2 of the output', () => {
    const m = new Machine({ nested: true, page: OLD, cd: HA1 });
    m.set2(OUT, 0n);
    expect(m.access(VA).fault).toMatchObject({ name: 'F_TRANSLATION', fields: { S2: 1n, CLASS: 2n, IPA: OUT } });
    expect(m.page).toBe(PAGE);
  });
});

describe('translation requests (3.13.7.1)', () => {
  const atc = (m: Machine): number[] => entriesOf(m.device.atc).map((i) => m.device.atc.e[i + 18]!);
  it('mark the page dirty before they grant writing', () => {
    const m = new Machine({ nested: true, page: CLEAN & ~AF, cd: HAD1, ste: HAD2 });
    m.set2(OUT, CLEAN2 & ~AF);
    expect(m.access(VA, { translated: true })).toMatchObject({ ok: true });
    expect([m.page, m.page2()]).toEqual([CLEAN & ~AP2, PAGE2 | DBM]);
    expect(atc(m)).toEqual([READ | WRITE]);
    expect(m.access(VA, { translated: true, write: true })).toMatchObject({ ok: true, hit: 'ATC' });
  });
  it('also when a clean entry could answer', () => {
    const m = new Machine({ nested: true, page: CLEAN, cd: HAD1 });
    m.access(VA);
    expect(m.access(VA, { translated: true })).toMatchObject({ ok: true });
    expect(m.page).toBe(CLEAN & ~AP2);
    expect(atc(m)).toEqual([READ | WRITE]);
  });
  it('mark nothing where the other stage allows no writing', () => {
    const one = new Machine({ nested: true, page: CLEAN, cd: HAD1, ste: HAD2 });
    one.set2(OUT, PAGE2 & ~S2W);
    one.access(VA, { translated: true });
    expect([one.page, one.page2(), atc(one)]).toEqual([CLEAN, PAGE2 & ~S2W, [READ]]);
    const two = new Machine({ nested: true, page: PAGE | AP2, cd: HAD1, ste: HAD2 });
    two.set2(OUT, CLEAN2);
    two.access(VA, { translated: true });
    expect([two.page, two.page2(), atc(two)]).toEqual([PAGE | AP2, CLEAN2, [READ]]);
  });
  it('with the access flag alone managed by hardware a clean page is read-only', () => {
    const m = new Machine({ page: CLEAN & ~AF, cd: HA1 });
    m.access(VA, { translated: true });
    expect([m.page, atc(m)]).toEqual([CLEAN, [READ]]);
  });
  it('NW = 1 marks nothing and grants reading', () => {
    const m = new Machine({ nested: true, page: CLEAN & ~AF, cd: HAD1, ste: HAD2 });
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
      const m = new Machine({ nested: true, page: stage === 1 ? CLEAN : PAGE, cd: HAD1, ste: HAD2 });
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
  it('a clean entry of a page that is dirty by now is none', () => {
    const m = new Machine({ page: CLEAN, cd: HAD1 });
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
      const m = new Machine({ cd });
      m.access(VA);
      m.write(m.leaf, OUT | OLD);
      expect(staleCaches(m.smmu)).toEqual(want);
    }
  });
  it('looking changes nothing', () => {
    const m = new Machine({ page: CLEAN, cd: HAD1 });
    m.access(VA);
    m.write(m.leaf, OUT | (CLEAN & ~AF));
    staleCaches(m.smmu);
    expect(m.page).toBe(CLEAN & ~AF);
  });
  it('one dirty descriptor speaks for a contiguous range', () => {
    const hint = 1n << 52n;
    const m = new Machine({ page: CLEAN, cd: HAD1 });
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
