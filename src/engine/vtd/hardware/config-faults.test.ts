import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import type { DmaRequest } from '../../pci/index.ts';
import { physicalFeatures, Translator } from './index.ts';
import { DATA, OFFSET, type Shape, WalkMachine } from './walk-machine.ts';

type Spoil = (m: WalkMachine) => void;
type Row = readonly [
  what: string,
  shape: Shape,
  spoil: Spoil,
  name: string,
  reads: number,
  request?: Partial<DmaRequest>,
];

const BEYOND = 0x7_ffff_f000n;
const nothing: Spoil = () => {};
const LEGACY = { pgtt: 0 } as const;
const flip =
  (at: 'rootEntry' | 'contextEntry' | 'directoryEntry' | 'pasidEntry', word: number, bits: bigint): Spoil =>
  (m) =>
    m.flip(m[at] + 8 * word, bits);
const root =
  (value: bigint): Spoil =>
  (m) => {
    runToEnd(m.unit.writeRegister('GCMD_REG', 0n));
    runToEnd(m.unit.writeRegister('RTADDR_REG', value));
    runToEnd(m.unit.writeRegister('GCMD_REG', 0x4000_0000n));
    runToEnd(m.unit.writeRegister('GCMD_REG', 0x8000_0000n));
  };
const pasid = { pasid: 1 } as const;

const scalable: readonly Row[] = [
  ['RTADDR_REG: TTM 2', {}, root(0x100_0800n), 'RTA.1', 0],
  ['TTM 0 with PASID', pasid, root(0x100_0000n), 'RTA.2', 0],
  ['abort mode', { features: { ADMS: true } }, root(0x100_0c00n), 'RTA.4', 0],
  ['abort mode that the hardware does not have', {}, root(0x100_0c00n), 'RTA.1', 0],
  ['root table beyond memory', {}, root(BEYOND | 0x400n), 'SRT.1', 0],
  ['root entry not present', {}, flip('rootEntry', 0, 1n), 'SRT.2', 1],
  ['root entry: bit 1', {}, flip('rootEntry', 0, 2n), 'SRT.3', 1],
  ['root entry beyond the width', { features: { haw: 40 } }, flip('rootEntry', 0, 1n << 40n), 'SRT.3', 1],
  ['context table beyond memory', {}, (m) => m.write(m.rootEntry, BEYOND | 1n), 'SCT.1', 1],
  ['context entry not present', {}, flip('contextEntry', 0, 1n), 'SCT.2', 2],
  ['context entry: bit 5', {}, flip('contextEntry', 0, 0x20n), 'SCT.3', 2],
  ['context entry: word 1', {}, flip('contextEntry', 1, 1n << 21n), 'SCT.3', 2],
  ['context entry: word 2', {}, flip('contextEntry', 2, 1n), 'SCT.3', 2],
  ['context entry: word 3', {}, flip('contextEntry', 3, 1n << 63n), 'SCT.3', 2],
  ['context entry beyond the width', { features: { haw: 40 } }, flip('contextEntry', 0, 1n << 40n), 'SCT.3', 2],
  ['DTE without device TLBs', { features: { DT: false } }, nothing, 'SCT.3', 2],
  ['PASIDE without PASIDs', { features: { PASID: false } }, nothing, 'SCT.3', 2],
  ['PRE without page requests', { features: { PRS: false } }, nothing, 'SCT.3', 2],
  ['RID_PRIV that the hardware does not have', { context: { RID_PRIV: 1 } }, nothing, 'SCT.3', 2],
  ['PRE without DTE', { context: { DTE: 0 } }, nothing, 'SCT.4', 2],
  ['PASID without PASIDE', { ...pasid, context: { PASIDE: 0 } }, nothing, 'SCT.6', 2],
  ['PASID beyond the directory', { pasid: 0x8000, context: { PDTS: 2 } }, nothing, 'SCT.7', 2],
  ['RID_PASID beyond the directory', { context: { PDTS: 2, RID_PASID: 0x8000 } }, nothing, 'SCT.4', 2],
  ['directory beyond memory', { context: { PASIDDIRPTR: BEYOND } }, nothing, 'SPD.1', 2],
  ['directory entry not present', {}, flip('directoryEntry', 0, 1n), 'SPD.2', 3],
  ['directory entry: bit 2', {}, flip('directoryEntry', 0, 4n), 'SPD.3', 3],
  ['directory entry beyond the width', { features: { haw: 40 } }, flip('directoryEntry', 0, 1n << 45n), 'SPD.3', 3],
  ['PASID table beyond memory', {}, (m) => m.write(m.directoryEntry, BEYOND | 1n), 'SPT.1', 3],
  ['PASID entry not present', {}, flip('pasidEntry', 0, 1n), 'SPT.2', 4],
  ['PASID entry: bit 10', {}, flip('pasidEntry', 0, 0x400n), 'SPT.3', 4],
  ['PASID entry: word 1', {}, flip('pasidEntry', 1, 1n << 22n), 'SPT.3', 4],
  ['PASID entry: word 2', {}, flip('pasidEntry', 2, 1n << 8n), 'SPT.3', 4],
  ['PASID entry: word 3', {}, flip('pasidEntry', 3, 1n), 'SPT.3', 4],
  ['PASID entry: word 7', {}, flip('pasidEntry', 7, 1n << 63n), 'SPT.3', 4],
  ['SSPTPTR beyond the width', { features: { haw: 40 } }, flip('pasidEntry', 0, 1n << 40n), 'SPT.3', 4],
  ['FSPTPTR beyond the width', { pgtt: 1, features: { haw: 40 } }, flip('pasidEntry', 2, 1n << 40n), 'SPT.3', 4],
  ['domain id that does not exist', { features: { ND: 0 }, entry: { DID: 16 } }, nothing, 'SPT.3', 4],
  ['SSADE not there', { features: { SSADS: false }, entry: { SSADE: 1 } }, nothing, 'SPT.3', 4],
  ['PWSNP not there', { features: { SMPWCS: false } }, nothing, 'SPT.3', 4],
  ['PGSNP not there', { features: { SC: false }, entry: { PGSNP: 1 } }, nothing, 'SPT.3', 4],
  ['SRE not there', { features: { SRS: false }, entry: { SRE: 1 } }, nothing, 'SPT.3', 4],
  ['ERE not there', { entry: { ERE: 1 } }, nothing, 'SPT.3', 4],
  ['EAFE not there', { features: { EAFS: false }, entry: { EAFE: 1 } }, nothing, 'SPT.3', 4],
  ['PGTT 0', { entry: { PGTT: 0 } }, nothing, 'SPT.4', 4],
  ['PGTT 5', { entry: { PGTT: 5 } }, nothing, 'SPT.4', 4],
  ['PGTT 1 not there', { pgtt: 1, features: { FSTS: false }, entry: { FSPTPTR: 0n } }, nothing, 'SPT.4', 4],
  ['PGTT 2 not there', { pgtt: 2, features: { SSTS: false }, entry: { SSPTPTR: 0n, AW: 0 } }, nothing, 'SPT.4', 4],
  ['FSPTPTR without a first stage', { pgtt: 2, features: { FSTS: false } }, nothing, 'SPT.3', 4],
  ['AW without a second stage', { pgtt: 1, features: { SSTS: false } }, nothing, 'SPT.3', 4],
  ['PASID entry: SSEE, which no revision with ERS = 0 has', { entry: { SSEE: 1 } }, nothing, 'SPT.3', 4],
  ['PASID entry: bits 95:91', { entry: { PCD: 1 } }, nothing, 'SPT.3', 4],
  ['unused SSPTPTR beyond the width', { pgtt: 1, features: { haw: 40 } }, flip('pasidEntry', 0, 1n << 40n), 'SPT.3', 4],
  ['FSPTPTR beyond the second stage', { ss: 3, entry: { FSPTPTR: 1n << 39n } }, nothing, 'SPT.4', 4],
  ['FSPTPTR beyond MGAW', { features: { MGAW: 40 }, entry: { FSPTPTR: 1n << 40n } }, nothing, 'SPT.4', 4],
  ['PASID that is RID_PASID', { pasid: 3, context: { RID_PASID: 3 } }, nothing, 'SCT.9', 2],
  ['PASID 0, which is RID_PASID', { pasid: 0 }, nothing, 'SCT.9', 2],
  ['PASID beyond PSS', { pasid: 0x100, features: { PSS: 8 } }, nothing, 'SGN.10', 2],
  ['RID_PASID without ECAP.RPS', { features: { RPS: false }, context: { RID_PASID: 3 } }, nothing, 'SCT.3', 2],
  ['supervisor request without SRE, second stage', { ...pasid, pgtt: 2 }, nothing, 'SPT.6', 4, { priv: true }],
  ['supervisor request without SRE, pass-through', { ...pasid, pgtt: 4 }, nothing, 'SPT.6', 4, { priv: true }],
  ['PGTT 3 not there', { features: { NEST: false } }, nothing, 'SPT.4', 4],
  ['PGTT 4 not there', { pgtt: 4, features: { PT: false } }, nothing, 'SPT.4', 4],
  ['AW 0', { entry: { AW: 0 } }, nothing, 'SPT.4', 4],
  ['AW 4', { entry: { AW: 4 } }, nothing, 'SPT.4', 4],
  ['AW that SAGAW has not', { ss: 3, features: { SAGAW: 12 } }, nothing, 'SPT.4', 4],
  ['FSPM 2', { entry: { FSPM: 2 } }, nothing, 'SPT.4', 4],
  ['FSPM 1 not there', { fs: 5, features: { FS5LP: false } }, nothing, 'SPT.4', 4],
  ['execute request without ERE', { pasid: 1, features: { ERS: true } }, nothing, 'SPT.5', 4, { exec: true }],
  ['supervisor request without SRE', pasid, nothing, 'SPT.6', 4, { priv: true }],
  ['RID_PRIV without SRE', { features: { RPRIVS: true }, context: { RID_PRIV: 1 } }, nothing, 'SPT.6', 4],
];

const legacy: readonly Row[] = [
  ['root table beyond memory', LEGACY, root(BEYOND), 'LRT.1', 0],
  ['root entry not present', LEGACY, flip('rootEntry', 0, 1n), 'LRT.2', 1],
  ['root entry: bit 1', LEGACY, flip('rootEntry', 0, 2n), 'LRT.3', 1],
  ['root entry: word 1', LEGACY, flip('rootEntry', 1, 1n), 'LRT.3', 1],
  ['context table beyond memory', LEGACY, (m) => m.write(m.rootEntry, BEYOND | 1n), 'LCT.1', 1],
  ['context entry not present', LEGACY, flip('contextEntry', 0, 1n), 'LCT.2', 2],
  ['context entry: bit 4', LEGACY, flip('contextEntry', 0, 0x10n), 'LCT.3', 2],
  ['context entry: word 1, bit 7', LEGACY, flip('contextEntry', 1, 0x80n), 'LCT.3', 2],
  ['context entry: word 1, bit 24', LEGACY, flip('contextEntry', 1, 1n << 24n), 'LCT.3', 2],
  ['context entry: word 1, bit 63', LEGACY, flip('contextEntry', 1, 1n << 63n), 'LCT.3', 2],
  ['SSPTPTR beyond the width', { ...LEGACY, features: { haw: 40 } }, flip('contextEntry', 0, 1n << 40n), 'LCT.3', 2],
  ['domain id that does not exist', { ...LEGACY, features: { ND: 0 }, context: { DID: 16 } }, nothing, 'LCT.3', 2],
  ['TT 3', { ...LEGACY, context: { TT: 3 } }, nothing, 'LCT.4', 2],
  ['AW 0', { ...LEGACY, context: { AW: 0 } }, nothing, 'LCT.4', 2],
  ['TT 1 without device TLBs', { ...LEGACY, features: { DT: false }, context: { TT: 1 } }, nothing, 'LCT.4', 2],
  ['TT 2 not there', { ...LEGACY, features: { PT: false }, context: { TT: 2 } }, nothing, 'LCT.4', 2],
];

for (const [mode, rows] of [
  ['scalable', scalable],
  ['legacy', legacy],
] as const)
  describe(`3.5: faults of the configuration, ${mode} mode`, () => {
    it.each(rows.map((row) => [row[0], row] as const))('%s', (_what, [, shape, spoil, name, reads, request = {}]) => {
      const m = new WalkMachine(shape);
      spoil(m);
      expect(m.dma(request)).toMatchObject({ ok: false, reads, fault: { name } });
      // What faults in the configuration is not cached.
      if (request.exec || request.priv) return;
      expect(m.unit.caches.pasid.get(m.device.rid)?.size ?? 0).toBe(name === 'SPT.6' ? 1 : 0);
    });
  });

describe('a root table address that no register holds', () => {
  it.each([
    ['TTM 1 without scalable mode', 0x100_0400n, { SMTS: false }, 0x30],
    ['beyond the width', (1n << 41n) | 0x400n, { haw: 40 }, 0x30],
    ['beyond the width, legacy', 1n << 41n, { haw: 40 }, 0x08],
  ] as const)('%s', (_what, rootAddress, features, reason) => {
    const t = new Translator(
      new Memory(2 ** 34),
      { rootAddress, enabled: true },
      physicalFeatures(features),
      null,
      null,
    );
    expect(t.translate(8, -1, 0, 0, 1, false, 0)).toBe(1);
    expect([t.event, t.recorded]).toEqual([reason, true]);
  });
});

describe('ATS in the configuration', () => {
  it('a translation request needs DTE, in legacy mode TT 1', () => {
    const m = new WalkMachine({ context: { DTE: 0, PRE: 0 } });
    expect(m.ats()).toMatchObject({ ok: false, reads: 2, fault: { name: 'SCT.5' } });
    expect(m.dma()).toMatchObject({ ok: true });
    for (const TT of [0, 2]) {
      const old = new WalkMachine({ pgtt: 0, context: { TT } });
      expect(old.ats()).toMatchObject({ ok: false, reads: 2, fault: { name: 'LCT.5' } });
    }
    expect(new WalkMachine({ pgtt: 0, context: { TT: 1 } }).ats()).toMatchObject({ ok: true, pa: DATA + OFFSET });
  });
});

describe('3.2.6: FPD silences qualified faults', () => {
  const recorded = (m: WalkMachine): boolean => {
    expect(m.dma()).toMatchObject({ ok: false });
    return (m.unit.readRegister('FSTS_REG') & 2n) !== 0n;
  };
  const rows: readonly (readonly [string, Shape, Spoil, boolean])[] = [
    ['of the context entry, walk', { context: { FPD: 1 } }, (m) => m.write(m.fsEntry(0x12345678), 0n), false],
    [
      'of the directory entry, walk',
      {},
      (m) => {
        m.flip(m.directoryEntry, 2n);
        m.write(m.fsEntry(0x12345678), 0n);
      },
      false,
    ],
    ['of the PASID entry, walk', { entry: { FPD: 1 } }, (m) => m.write(m.fsEntry(0x12345678), 0n), false],
    ['of no entry, walk', {}, (m) => m.write(m.fsEntry(0x12345678), 0n), true],
    ['of a context entry that is not present', { context: { P: 0, FPD: 1 } }, nothing, false],
    ['of a directory entry that is not present', {}, (m) => m.write(m.directoryEntry, 2n), false],
    ['of a PASID entry that is not present', { entry: { P: 0, FPD: 1 } }, nothing, false],
    ['of a context entry with reserved bits', { context: { FPD: 1 } }, flip('contextEntry', 2, 1n), false],
    ['not a root entry that is not present', { context: { FPD: 1 } }, flip('rootEntry', 0, 1n), true],
    ['not a PASID table beyond memory', { context: { FPD: 1 } }, (m) => m.write(m.directoryEntry, BEYOND | 1n), true],
    ['not a directory beyond memory', { context: { FPD: 1, PASIDDIRPTR: BEYOND } }, nothing, true],
    ['legacy, walk', { pgtt: 0, context: { FPD: 1 } }, (m) => m.write(m.ssEntry(0x12345678), 0n), false],
    ['legacy, not present', { pgtt: 0, context: { P: 0, FPD: 1 } }, nothing, false],
    ['legacy, reserved bits', { pgtt: 0, context: { FPD: 1 } }, flip('contextEntry', 1, 1n << 63n), false],
  ];
  it.each(rows)('%s', (_what, shape, spoil, expected) => {
    const m = new WalkMachine(shape);
    spoil(m);
    expect(recorded(m)).toBe(expected);
  });
});

describe('the PASID of requests without one', () => {
  it('is RID_PASID, and 0 where ECAP.RPS is 0', () => {
    const m = new WalkMachine({ context: { RID_PASID: 3 } });
    expect(m.dma().fault).toMatchObject({ name: 'SPT.2' });
    m.put(
      m.pasidEntry + 3 * 64,
      [0, 1, 2].map((k) => m.word(m.pasidEntry + 8 * k)),
    );
    expect(m.dma()).toMatchObject({ ok: true });
    expect([...m.unit.caches.pasid.get(m.device.rid)!.keys()]).toEqual([3]);
    expect(new WalkMachine({ features: { RPS: false } }).dma()).toMatchObject({ ok: true });
  });

  it('asks as a user unless RID_PRIV says otherwise', () => {
    const user = new WalkMachine({ entry: { SRE: 1 } });
    user.flip(user.fsEntry(0x12345678), 4n);
    expect(user.dma().fault).toMatchObject({ name: 'SGN.2' });
    const priv = new WalkMachine({ features: { RPRIVS: true }, context: { RID_PRIV: 1 }, entry: { SRE: 1 } });
    priv.flip(priv.fsEntry(0x12345678), 4n);
    expect(priv.dma()).toMatchObject({ ok: true });
  });

  it('the upper half of a bus has a context table of its own', () => {
    const m = new WalkMachine();
    m.write(m.rootEntry + 8, 0n);
    expect(m.dma()).toMatchObject({ ok: true });
    const t = m.unit.translator;
    expect(t.translate(m.device.rid | 0x80, -1, 0, 0x12345678, 1, false, 0)).toBe(1);
    expect(t.event).toBe(0x39);
    m.write(m.rootEntry + 8, m.word(m.rootEntry));
    expect(t.translate(m.device.rid | 0x80, -1, 0, 0x12345678, 1, false, 0)).toBe(0);
  });
});

describe('page requests', () => {
  it('are refused in the order of the tables', () => {
    const reason = (shape: Shape, pasid = -1, spoil: Spoil = nothing): number => {
      const m = new WalkMachine(shape);
      spoil(m);
      return m.unit.translator.pageRequestFault(m.device.rid, pasid);
    };
    expect(reason({ pgtt: 0 })).toBe(0x32);
    expect(reason({}, -1, flip('rootEntry', 0, 1n))).toBe(0x39);
    expect(reason({}, -1, flip('contextEntry', 0, 1n))).toBe(0x41);
    expect(reason({ context: { PRE: 0 } })).toBe(0x47);
    expect(reason({ context: { PASIDE: 0 } }, 1)).toBe(0x45);
    expect(reason({ context: { PDTS: 0 } }, 0x2000)).toBe(0x46);
    expect(reason({}, 0)).toBe(0x48);
    expect(reason({}, 1, flip('directoryEntry', 0, 1n))).toBe(0x51);
    expect(reason({}, 1)).toBe(0x59);
    expect(reason({}, -1, flip('pasidEntry', 0, 0x400n))).toBe(0x5a);
    expect(reason({})).toBe(0);
  });
});
