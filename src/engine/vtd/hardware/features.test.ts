import { describe, expect, it } from 'vitest';
import {
  decodeFeatures,
  featureProblem,
  physicalFeatures,
  serverCap,
  serverEcap,
  type VtdFeatures,
  vtdFeatureNames,
} from './features.ts';

describe('the features of a unit', () => {
  it('by default are those of the server part, whether they are named or not', () => {
    const all = Object.fromEntries(Object.entries(vtdFeatureNames).map(([k, v]) => [k, v.default]));
    for (const f of [physicalFeatures({}), physicalFeatures(all)]) {
      expect(f.cap).toBe(serverCap);
      expect(f.ecap).toBe(serverEcap);
    }
  });

  it('are read from the words as 1.9 reads them', () => {
    expect(decodeFeatures(serverCap, serverEcap)).toMatchObject({
      didBits: 16,
      cm: false,
      sagaw: 0xc,
      mgaw: 57,
      zlr: true,
      fro: 0x400,
      sslps: 3,
      psi: true,
      nfr: 1,
      mamv: 45,
      fs1gp: true,
      fs5lp: true,
      sc: true,
      nest: true,
      prs: true,
      srs: true,
      ers: false,
      nwfs: true,
      eafs: true,
      pasidBits: 20,
      dit: true,
      pds: true,
      smts: true,
      ssads: true,
      ssts: true,
      fsts: true,
      smpwcs: true,
      rps: true,
      rprivs: false,
      adms: false,
      iro: 0x500,
    });
    // QEMU with caching mode, and with device TLBs, PASIDs and page requests.
    expect(decodeFeatures(0x81d2008c222f0686n, 0x00008d9a20000f46n)).toMatchObject({
      didBits: 16,
      cm: true,
      sagaw: 6,
      mgaw: 48,
      zlr: false,
      fro: 0x220,
      sslps: 3,
      psi: true,
      nfr: 1,
      mamv: 18,
      dwd: true,
      drd: true,
      fs1gp: true,
      fs5lp: false,
      esrtps: true,
      qi: true,
      dt: true,
      pt: true,
      nest: false,
      prs: true,
      nwfs: true,
      pasidBits: 20,
      pds: true,
      smts: true,
      ssts: false,
      fsts: true,
      iro: 0xf0,
    });
  });

  /** A feature, a value, the bit of which word changes, and the field that shows it. */
  const flags: readonly (readonly [string, 'cap' | 'ecap', number, keyof VtdFeatures])[] = [
    ['CM', 'cap', 7, 'cm'],
    ['RWBF', 'cap', 4, 'rwbf'],
    ['ZLR', 'cap', 22, 'zlr'],
    ['PSI', 'cap', 39, 'psi'],
    ['DWD', 'cap', 54, 'dwd'],
    ['DRD', 'cap', 55, 'drd'],
    ['FS1GP', 'cap', 56, 'fs1gp'],
    ['FS5LP', 'cap', 60, 'fs5lp'],
    ['ESRTPS', 'cap', 63, 'esrtps'],
    ['C', 'ecap', 0, 'c'],
    ['QI', 'ecap', 1, 'qi'],
    ['DT', 'ecap', 2, 'dt'],
    ['IR', 'ecap', 3, 'ir'],
    ['PT', 'ecap', 6, 'pt'],
    ['SC', 'ecap', 7, 'sc'],
    ['NEST', 'ecap', 26, 'nest'],
    ['PRS', 'ecap', 29, 'prs'],
    ['ERS', 'ecap', 30, 'ers'],
    ['SRS', 'ecap', 31, 'srs'],
    ['NWFS', 'ecap', 33, 'nwfs'],
    ['EAFS', 'ecap', 34, 'eafs'],
    ['PASID', 'ecap', 40, 'pasid'],
    ['DIT', 'ecap', 41, 'dit'],
    ['PDS', 'ecap', 42, 'pds'],
    ['SMTS', 'ecap', 43, 'smts'],
    ['SSADS', 'ecap', 45, 'ssads'],
    ['SSTS', 'ecap', 46, 'ssts'],
    ['FSTS', 'ecap', 47, 'fsts'],
    ['SMPWCS', 'ecap', 48, 'smpwcs'],
    ['RPS', 'ecap', 49, 'rps'],
    ['ADMS', 'ecap', 52, 'adms'],
    ['RPRIVS', 'ecap', 53, 'rprivs'],
  ];

  it.each(flags)('%s is bit %s.%i', (name, word, bit, field) => {
    const on = physicalFeatures({ [name]: true });
    const off = physicalFeatures({ [name]: false });
    expect([on[field], off[field]]).toEqual([true, false]);
    expect(on[word] ^ off[word]).toBe(1n << BigInt(bit));
    const other = word === 'cap' ? 'ecap' : 'cap';
    expect(on[other]).toBe(off[other]);
  });

  it('numbers are as they are meant, and the register holds what it holds', () => {
    const f = physicalFeatures({ MGAW: 48, NFR: 8, PSS: 16, ND: 2, SAGAW: 4, SSLPS: 1, MAMV: 18, haw: 46 });
    expect(f).toMatchObject({ mgaw: 48, nfr: 8, pasidBits: 16, didBits: 8, sagaw: 4, sslps: 1, mamv: 18, haw: 46 });
    expect([(f.cap >> 16n) & 63n, (f.cap >> 40n) & 255n, (f.ecap >> 35n) & 31n]).toEqual([47n, 7n, 15n]);
    expect(physicalFeatures({ PASID: false }).pasidBits).toBe(0);
  });

  it('fault records do not lie over other registers, however many there are', () => {
    for (const NFR of [1, 16, 17, 256]) {
      const { fro, iro } = physicalFeatures({ NFR });
      expect(fro + 16 * NFR <= iro || fro >= iro + 16).toBe(true);
      expect(fro + 16 * NFR).toBeLessThanOrEqual(4096 * 2);
    }
  });

  it.each([
    ['MGAW', 0],
    ['MGAW', 65],
    ['SAGAW', 0],
    ['SAGAW', 16],
    ['SAGAW', 1],
    ['ND', 7],
    ['NFR', 0],
    ['PSS', 21],
    ['MAMV', 64],
    ['SSLPS', 4],
    ['haw', 53],
    ['iotlbEntries', -1],
    ['atcEntries', 0.5],
  ] as const)('%s %d is refused with the values that it can have', (name, value) => {
    expect(featureProblem({ [name]: value })).toMatchObject({ name });
    expect(() => physicalFeatures({ [name]: value })).toThrow(RangeError);
    expect(featureProblem({})).toBeUndefined();
  });
});
