import { describe, expect, it } from 'vitest';
import type { DmaRequest } from '../../pci/index.ts';
import { DATA, FS_ROOT, IOVA, OFFSET, RID, type Shape, WalkMachine } from './walk-machine.ts';

type Spoil = (m: WalkMachine) => void;
type Row = readonly [what: string, shape: Shape, spoil: Spoil, request: Partial<DmaRequest>, name: string];

const BEYOND = 0x7_ffff_f000n;
const ADDRESS = 0xf_ffff_ffff_f000n;
const nothing: Spoil = () => {};
/** Replaces the address of an entry. */
const lead = (m: WalkMachine, at: number, to: bigint): void => m.write(at, (m.word(at) & ~ADDRESS) | to);
const fs =
  (level: number, bits: bigint): Spoil =>
  (m) =>
    m.flip(m.fsEntry(IOVA, level), bits);
const ss =
  (gpa: number, level: number, bits: bigint): Spoil =>
  (m) =>
    m.flip(m.ssEntry(gpa, level), bits);
const write = { write: true };
/** Guest address of the page that holds the first-stage entry of a level. */
const guest = (m: WalkMachine, level: number): number => m.fsGuestEntry(IOVA, level);

const first: readonly Row[] = [
  ['address not canonical for 48 bits', {}, nothing, { iova: 1n << 47n }, 'SGN.1'],
  ['address not canonical for 57 bits', { fs: 5 }, nothing, { iova: 1n << 56n }, 'SGN.1'],
  ['top table beyond memory', { pgtt: 1, entry: { FSPTPTR: BEYOND } }, nothing, {}, 'SFS.4'],
  ['table beyond memory', { pgtt: 1 }, (m) => lead(m, m.fsEntry(IOVA, 3), BEYOND), {}, 'SFS.1'],
  ['not present at the top', { pgtt: 1 }, fs(4, 1n), {}, 'SFS.2'],
  ['not present at the bottom', {}, fs(1, 1n), {}, 'SFS.2'],
  ['PS at level 4', {}, fs(4, 0x80n), {}, 'SFS.3'],
  ['PS at level 5', { fs: 5 }, fs(5, 0x80n), {}, 'SFS.3'],
  ['1 GiB page that the hardware does not have', { features: { FS1GP: false } }, fs(3, 0x80n), {}, 'SFS.3'],
  ['1 GiB page with address bits below its size', {}, fs(3, 0x80n), {}, 'SFS.3'],
  ['2 MiB page with address bits below its size', {}, fs(2, 0x80n), {}, 'SFS.3'],
  ['address beyond the host address width', { features: { haw: 40 } }, fs(2, 1n << 41n), {}, 'SFS.3'],
  ['U/S = 0 at an upper level', {}, fs(3, 4n), {}, 'SGN.2'],
  ['U/S = 0 and R/W = 0', {}, fs(1, 6n), write, 'SGN.2'],
  ['R/W = 0 at the top', {}, fs(4, 2n), write, 'SGN.6'],
  ['XD', { pasid: 1, features: { ERS: true }, entry: { ERE: 1, NXE: 1 } }, fs(2, 1n << 63n), { exec: true }, 'SGN.3'],
  [
    'SMEP',
    { pasid: 1, features: { ERS: true }, entry: { ERE: 1, SRE: 1, SMEP: 1 } },
    nothing,
    { exec: true, priv: true },
    'SGN.3',
  ],
  ['supervisor write, WPE', { pasid: 1, entry: { SRE: 1, WPE: 1 } }, fs(1, 2n), { ...write, priv: true }, 'SGN.6'],
  ['update of A without snooping', { pgtt: 1, entry: { PWSNP: 0 } }, fs(3, 0x20n), {}, 'SFS.9'],
  ['update of D without snooping', { entry: { PWSNP: 0 } }, fs(1, 0x40n), write, 'SFS.9'],
];

const nested: readonly Row[] = [
  ['top table beyond the second stage', { entry: { FSPTPTR: 1n << 49n } }, nothing, {}, 'SPT.4'],
  ['table beyond the second stage', {}, (m) => lead(m, m.fsEntry(IOVA, 3), 1n << 49n), {}, 'SFS.5'],
  ['page beyond the second stage', {}, (m) => lead(m, m.fsEntry(IOVA), 1n << 49n), {}, 'SFS.5'],
  ['page beyond MGAW', { features: { MGAW: 40 } }, (m) => lead(m, m.fsEntry(IOVA), 1n << 41n), {}, 'SFS.5'],
  ['top table not readable', {}, ss(FS_ROOT, 1, 1n), {}, 'SFS.6'],
  ['top table not mapped', {}, ss(FS_ROOT, 1, 3n), {}, 'SSS.2'],
  ['another table not readable', {}, (m) => ss(guest(m, 2), 1, 1n)(m), {}, 'SFS.7'],
  ['another table not mapped above', {}, (m) => lead(m, m.fsEntry(IOVA, 3), 0x3000_0000n), {}, 'SSS.2'],
  ['top table not writable, SSADE', { entry: { SSADE: 1 } }, ss(FS_ROOT, 1, 2n), {}, 'SFS.6'],
  ['another table not writable, SSADE', { entry: { SSADE: 1 } }, (m) => ss(guest(m, 2), 1, 2n)(m), {}, 'SFS.7'],
  [
    'update of A in a table that may not be written',
    {},
    (m) => {
      ss(guest(m, 2), 1, 2n)(m);
      fs(2, 0x20n)(m);
    },
    {},
    'SFS.8',
  ],
  [
    'update of D in a table that may not be written',
    {},
    (m) => {
      ss(guest(m, 1), 1, 2n)(m);
      fs(1, 0x40n)(m);
    },
    write,
    'SFS.8',
  ],
  [
    'update of EA in a table that may not be written',
    { entry: { EAFE: 1 } },
    (m) => {
      for (const level of [4, 3, 2]) fs(level, 0x400n)(m);
      ss(guest(m, 1), 1, 2n)(m);
    },
    {},
    'SFS.8',
  ],
  ['reserved bit on the way to a table', {}, ss(FS_ROOT, 2, 0x800n), {}, 'SSS.3'],
  ['page not readable', {}, ss(DATA, 1, 1n), {}, 'SGN.7'],
  ['page not writable', {}, ss(DATA, 1, 2n), write, 'SGN.6'],
  ['page not mapped', {}, ss(DATA, 1, 3n), write, 'SSS.2'],
];

const second: readonly Row[] = [
  ['address beyond AW', { pgtt: 2 }, nothing, { iova: 1n << 48n }, 'SGN.5'],
  ['address beyond MGAW', { pgtt: 2, features: { MGAW: 39 } }, nothing, { iova: 1n << 39n }, 'SGN.5'],
  ['top table beyond memory', { pgtt: 2, entry: { SSPTPTR: BEYOND } }, nothing, {}, 'SSS.4'],
  ['table beyond memory', { pgtt: 2 }, (m) => lead(m, m.ssEntry(IOVA, 3), BEYOND), {}, 'SSS.1'],
  ['nothing there', { pgtt: 2 }, (m) => m.write(m.ssEntry(IOVA, 2), 0n), {}, 'SSS.2'],
  ['not readable', { pgtt: 2 }, ss(IOVA, 1, 1n), {}, 'SGN.7'],
  ['not writable above', { pgtt: 2 }, ss(IOVA, 3, 2n), write, 'SGN.6'],
  [
    'each right at one level only',
    { pgtt: 2 },
    (m) => {
      ss(IOVA, 3, 2n)(m);
      ss(IOVA, 1, 1n)(m);
    },
    write,
    'SSS.2',
  ],
  [
    'not executable',
    { pgtt: 2, pasid: 1, features: { ERS: true }, entry: { SSEE: 1, ERE: 1 } },
    (m) => {
      for (const level of [4, 3, 2]) ss(IOVA, level, 4n)(m);
    },
    { exec: true },
    'SGN.3',
  ],
  ['SNP in a table entry', { pgtt: 2 }, ss(IOVA, 2, 0x800n), {}, 'SSS.3'],
  ['SNP without snoop control', { pgtt: 2, features: { SC: false } }, ss(IOVA, 1, 0x800n), {}, 'SSS.3'],
  ['bit 62', { pgtt: 2 }, ss(IOVA, 1, 1n << 62n), {}, 'SSS.3'],
  ['PS at level 4', { pgtt: 2 }, ss(IOVA, 4, 0x80n), {}, 'SSS.3'],
  ['2 MiB page that the hardware does not have', { pgtt: 2, features: { SSLPS: 0 } }, ss(IOVA, 2, 0x80n), {}, 'SSS.3'],
  ['2 MiB page with address bits below its size', { pgtt: 2 }, ss(IOVA, 2, 0x80n), {}, 'SSS.3'],
  ['address beyond the host address width', { pgtt: 2, features: { haw: 40 } }, ss(IOVA, 1, 1n << 41n), {}, 'SSS.3'],
  ['reserved bits before rights', { pgtt: 2 }, ss(IOVA, 1, (1n << 62n) | 2n), write, 'SSS.3'],
  ['update of A without snooping', { pgtt: 2, entry: { SSADE: 1, PWSNP: 0 } }, nothing, {}, 'SSS.5'],
];

const legacy: readonly Row[] = [
  ['address beyond AW', { pgtt: 0 }, nothing, { iova: 1n << 48n }, 'LGN.1'],
  ['not writable', { pgtt: 0 }, ss(IOVA, 1, 2n), write, 'LGN.2'],
  ['not readable', { pgtt: 0 }, ss(IOVA, 1, 1n), {}, 'LGN.3'],
  ['nothing there, read', { pgtt: 0 }, (m) => m.write(m.ssEntry(IOVA), 0n), {}, 'LGN.3'],
  ['nothing there, write', { pgtt: 0 }, (m) => m.write(m.ssEntry(IOVA), 0n), write, 'LGN.2'],
  ['top table beyond memory', { pgtt: 0, context: { SSPTPTR: BEYOND } }, nothing, {}, 'LCT.4'],
  ['table beyond memory', { pgtt: 0 }, (m) => lead(m, m.ssEntry(IOVA, 2), BEYOND), {}, 'LSS.1'],
  ['reserved bit', { pgtt: 0 }, ss(IOVA, 2, 0x800n), {}, 'LSS.2'],
  ['pass-through beyond the width', { pgtt: 0, context: { TT: 2 } }, nothing, { iova: 1n << 52n }, 'LGN.1'],
];

const output: readonly Row[] = [
  ['first stage', { pgtt: 1 }, (m) => lead(m, m.fsEntry(IOVA), 0xfee0_1000n), {}, 'SGN.8'],
  ['nested', {}, (m) => lead(m, m.ssEntry(DATA), 0xfeef_f000n), write, 'SGN.8'],
  ['second stage', { pgtt: 2 }, (m) => lead(m, m.ssEntry(IOVA), 0xfee0_0000n), {}, 'SGN.8'],
  ['legacy', { pgtt: 0 }, (m) => lead(m, m.ssEntry(IOVA), 0xfee0_0000n), {}, 'LGN.4'],
  ['input, reading', {}, nothing, { iova: 0xfee0_0000n }, 'SGN.8'],
  ['input, with PASID, not mapped', { pasid: 1 }, nothing, { iova: 0xfee0_0000n, ...write }, 'SFS.2'],
  ['input, pass-through with PASID', { pgtt: 4, pasid: 1 }, nothing, { iova: 0xfee0_0000n, ...write }, 'SGN.8'],
  ['input, legacy', { pgtt: 0 }, nothing, { iova: 0xfee0_0000n }, 'LGN.4'],
  ['pass-through beyond the width', { pgtt: 4 }, nothing, { iova: 1n << 52n }, 'SGN.4'],
];

const groups = { first, nested, second, legacy, output };

describe.each(Object.entries(groups))('3.5: faults of the %s', (_group, rows) => {
  it.each(rows)('%s', (_what, shape, spoil, request, name) => {
    const m = new WalkMachine(shape);
    spoil(m);
    const r = m.dma(request);
    expect(r).toMatchObject({ ok: false, fault: { name } });
    // A refused walk leaves nothing behind but the configuration.
    for (const c of m.unit.caches.translation()) expect(c.size).toBe(0);
    expect(m.unit.readRegister('FSTS_REG') & 2n).toBe(2n);
  });
});

describe('what does not fault', () => {
  const rows: readonly (readonly [string, Shape, Spoil, Partial<DmaRequest>])[] = [
    ['XD without NXE', { pasid: 1, features: { ERS: true }, entry: { ERE: 1 } }, fs(1, 1n << 63n), { exec: true }],
    ['XD for reading', { entry: { NXE: 1 } }, fs(1, 1n << 63n), {}],
    ['supervisor write without WPE', { pasid: 1, entry: { SRE: 1 } }, fs(1, 2n), { ...write, priv: true }],
    ['supervisor request to U/S = 0', { pasid: 1, entry: { SRE: 1 } }, fs(2, 4n), { priv: true }],
    ['ignored bits of the first stage', {}, fs(1, 0x7ff0_0000_0000_0b98n), {}],
    ['ignored bits of a first-stage table', {}, fs(3, 0x7ff0_0000_0000_0b58n), {}],
    ['ignored bits of the second stage', {}, ss(DATA, 1, 0xbff0_0000_0000_077cn | 0x80n), {}],
    ['ignored bits of a second-stage table', {}, ss(DATA, 3, 0xbff0_0000_0000_077cn), {}],
    ['SNP in a leaf', {}, ss(DATA, 1, 0x800n), {}],
    [
      'X of the second stage without SSEE',
      { pasid: 1, features: { ERS: true }, entry: { ERE: 1 } },
      nothing,
      { exec: true },
    ],
    [
      'PAT bit of a large page',
      {},
      (m) => {
        const page = DATA - (DATA % 0x20_0000);
        m.write(m.ssEntry(page, 2), BigInt(page + OFFSET) | 0x83n);
        m.write(m.fsEntry(IOVA, 2), BigInt(page) | 0x10e7n);
      },
      {},
    ],
    ['address below the interrupt range', {}, (m) => lead(m, m.ssEntry(DATA), 0xfedf_f000n), {}],
    ['address above it', {}, (m) => lead(m, m.ssEntry(DATA), 0xfef0_0000n), {}],
  ];
  it.each(rows)('%s', (_what, shape, spoil, request) => {
    const m = new WalkMachine(shape);
    spoil(m);
    expect(m.dma(request)).toMatchObject({ ok: true });
  });

  it('a write to the interrupt addresses without PASID is an interrupt message', () => {
    const m = new WalkMachine();
    expect(m.dma({ iova: 0xfee0_0000n, write: true })).toMatchObject({ ok: true, pa: 0xfee0_0000, reads: 0 });
  });

  it('with PASID those addresses are translated like any other, VT-d 3.15', () => {
    const m = new WalkMachine({ pasid: 1 });
    m.map(0xfee0_1000, DATA);
    expect(m.dma({ iova: 0xfee0_1008n, write: true })).toMatchObject({ ok: true, pa: DATA + OFFSET + 8 });
  });

  it('a translation request for them is no fault: the device is told to come untranslated, table 30 S.1', () => {
    for (const shape of [{}, { pgtt: 4 }, { pgtt: 0, context: { TT: 1 } }] as const) {
      const m = new WalkMachine(shape);
      expect(m.ats(0xfee0_0000n)).toMatchObject({ ok: false, why: expect.stringContaining('untranslated') });
      expect([m.unit.readRegister('FSTS_REG'), m.device.atc.size]).toEqual([0n, 0]);
      expect(m.dma({ iova: 0xfee0_0000n, write: true, translated: true })).toMatchObject({ ok: true, pa: 0xfee0_0000 });
    }
  });

  it('translated requests to them, and beyond the host address width, are recorded, SGN.8.3 and SGN.4.1', () => {
    for (const [shape, far, near] of [
      [{}, 0x83, 0x87],
      [{ pgtt: 0, context: { TT: 1 } }, 0x04, 0x0e],
    ] as const) {
      const t = new WalkMachine(shape).unit.translator;
      expect([t.translate(RID, -1, 1 << 20, 0, 1, false, 2), t.event, t.recorded]).toEqual([1, far, true]);
      expect([t.translate(RID, -1, 0, 0xfee0_0000 | 0, 2, false, 2), t.event, t.recorded]).toEqual([1, near, true]);
    }
  });

  it('translation requests end as table 30 says', () => {
    const ends = (shape: Shape, spoil: Spoil = nothing): string => {
      const m = new WalkMachine(shape);
      let text = '';
      spoil(m);
      m.trace.listener = (e) => {
        if (e.kind === 'dma.abort') text = e.text;
      };
      const r = m.ats();
      return r.fault ? text : `${r.why}`;
    };
    const nothingFor = (name: string) => `the completion grants nothing (${name})`;
    expect(ends({}, (m) => m.flip(m.rootEntry, 1n))).toBe('unsupported request: SRT.2');
    expect(ends({}, (m) => m.flip(m.rootEntry, 2n))).toBe('completer abort: SRT.3');
    expect(ends({}, (m) => m.flip(m.contextEntry, 1n))).toBe('unsupported request: SCT.2');
    expect(ends({}, (m) => m.flip(m.contextEntry, 0x80n))).toBe('completer abort: SCT.3');
    expect(ends({ context: { DTE: 0, PRE: 0 } })).toBe('unsupported request: SCT.5');
    expect(ends({}, (m) => m.flip(m.pasidEntry, 0x400n))).toBe('completer abort: SPT.3');
    expect(ends({ entry: { PGTT: 0 } })).toBe('completer abort: SPT.4');
    expect(ends({}, (m) => m.flip(m.pasidEntry, 1n))).toBe(nothingFor('SPT.2'));
    expect(ends({}, fs(3, 0x80n))).toBe(nothingFor('SFS.3'));
    expect(ends({ pgtt: 1 }, (m) => lead(m, m.fsEntry(IOVA, 3), BEYOND))).toBe(nothingFor('SFS.1'));
    expect(ends({ pgtt: 1, entry: { PWSNP: 0 } }, fs(3, 0x20n))).toBe(nothingFor('SFS.9'));
    expect(ends({ pgtt: 2 }, ss(IOVA, 1, 1n << 62n))).toBe('completer abort: SSS.3');
    expect(ends({ pgtt: 0, context: { TT: 1 } }, (m) => m.flip(m.contextEntry, 0x10n))).toBe('completer abort: LCT.3');
    expect(ends({ pgtt: 0 })).toBe('unsupported request: LCT.5');
  });

  it('translation requests are answered with what both stages grant', () => {
    const m = new WalkMachine();
    m.flip(m.ssEntry(DATA), 2n);
    expect(m.ats()).toMatchObject({ ok: true, pa: DATA + OFFSET });
    expect(m.unit.translator.granted & 3).toBe(1);
    const none = new WalkMachine();
    none.flip(none.fsEntry(IOVA), 1n);
    expect(none.ats()).toMatchObject({ ok: false, why: expect.stringContaining('SFS.2') });
    expect(none.unit.readRegister('FSTS_REG')).toBe(0n);
  });

  it('no large page that covers the interrupt addresses reaches a device TLB', () => {
    const m = new WalkMachine({ pgtt: 2 });
    m.write(m.ssEntry(IOVA, 3), 0xc000_0083n);
    expect(m.dma()).toMatchObject({ ok: true, pa: 0xd234_5678 });
    expect(m.ats()).toMatchObject({ ok: false });
    expect(m.device.atc.size).toBe(0);
  });
});
