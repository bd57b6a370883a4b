import { describe, expect, it } from 'vitest';
import { decodeFeatures, kernelPage, physicalFeatures, smmuFeatureNames } from './features.ts';

/** Where each feature stands: register, lowest bit, bits. Source: Arm IHI 0070 6.3.1 to 6.3.6. */
const places: Readonly<Record<string, readonly [number, number, number]>> = {
  S2P: [0, 0, 1],
  S1P: [0, 1, 1],
  COHACC: [0, 4, 1],
  HTTU: [0, 6, 2],
  HYP: [0, 9, 1],
  ATS: [0, 10, 1],
  ASID16: [0, 12, 1],
  MSI: [0, 13, 1],
  SEV: [0, 14, 1],
  PRI: [0, 16, 1],
  VMID16: [0, 18, 1],
  CD2L: [0, 19, 1],
  STALL_MODEL: [0, 24, 2],
  TERM_MODEL: [0, 26, 1],
  ST_LEVEL: [0, 27, 2],
  SIDSIZE: [1, 0, 6],
  SSIDSIZE: [1, 6, 5],
  PRIQS: [1, 11, 5],
  EVENTQS: [1, 16, 5],
  CMDQS: [1, 21, 5],
  ATTR_PERMS_OVR: [1, 26, 1],
  ATTR_TYPES_OVR: [1, 27, 1],
  HAD: [3, 2, 1],
  XNX: [3, 4, 1],
  FWB: [3, 8, 1],
  STT: [3, 9, 1],
  RIL: [3, 10, 1],
  BBML: [3, 11, 2],
  OAS: [5, 0, 3],
  GRAN4K: [5, 4, 1],
  GRAN16K: [5, 5, 1],
  GRAN64K: [5, 6, 1],
  VAX: [5, 10, 2],
};
/** What is no ID field. */
const others = ['contiguous', 'prefetch', 'hostPage', 'guestPage', 'iotlbEntries', 'atcEntries'];
const names = Object.keys(smmuFeatureNames) as (keyof typeof smmuFeatureNames)[];

const fieldOf = (idr: readonly number[], name: string): number => {
  const [reg, lo, bits] = places[name]!;
  return (idr[reg]! >>> lo) & (2 ** bits - 1);
};
/** OAS is set in bits and coded. */
const coded = (name: string, v: number): number => (name === 'OAS' ? [32, 36, 40, 42, 44, 48, 52].indexOf(v) : v);

describe('features of a document', () => {
  it('are all placed or no ID field', () => {
    expect([...Object.keys(places), ...others].sort()).toEqual([...names].sort());
    for (const n of names) expect(smmuFeatureNames[n].about.length).toBeGreaterThan(20);
  });

  it('have their defaults in the ID registers', () => {
    const { idr } = physicalFeatures({});
    for (const n of Object.keys(places))
      expect(fieldOf(idr, n), n).toBe(coded(n, Number(smmuFeatureNames[n as keyof typeof smmuFeatureNames].default)));
    // TTF 2 (AArch64), TTENDIAN 2 (little) are not for documents.
    expect([(idr[0]! >>> 2) & 3, (idr[0]! >>> 21) & 3, idr[2], idr[4]]).toEqual([2, 2, 0, 0]);
  });

  for (const n of Object.keys(places) as (keyof typeof smmuFeatureNames)[])
    it(`${n} changes its field and no other`, () => {
      const standard = smmuFeatureNames[n].default;
      const set =
        typeof standard === 'boolean' ? !standard : n === 'OAS' ? 44 : standard === 0 ? 1 : Number(standard) - 1;
      const before = physicalFeatures({}).idr;
      const after = physicalFeatures({ [n]: set }).idr;
      expect(fieldOf(after, n)).toBe(coded(n, Number(set)));
      // Without PRI its queue has no size.
      for (const o of Object.keys(places))
        if (o !== n && !(n === 'PRI' && o === 'PRIQS')) expect(fieldOf(after, o), o).toBe(fieldOf(before, o));
    });

  it('are refused with the values there are', () => {
    for (const [f, text] of [
      [{ HTTU: 3 }, 'HTTU is 3: a whole number from 0 to 2'],
      [{ BBML: -1 }, 'BBML is -1: a whole number from 0 to 2'],
      [{ SSIDSIZE: 21 }, 'SSIDSIZE is 21: a whole number from 0 to 20'],
      [{ STALL_MODEL: 1.5 }, 'STALL_MODEL is 1.5: a whole number from 0 to 2'],
      [{ iotlbEntries: -1 }, 'iotlbEntries is -1: a whole number from 0 to 2147483648'],
      [{ atcEntries: 1.5 }, 'atcEntries is 1.5: a whole number from 0 to 2147483648'],
      [{ OAS: 50 }, 'OAS is 50: 32, 36, 40, 42, 44, 48 or 52'],
      [{ OAS: 56 }, 'OAS is 56: 32, 36, 40, 42, 44, 48 or 52'],
      [{ GRAN4K: false, GRAN16K: false, GRAN64K: false }, 'GRAN64K is false: true: an SMMU has one granule at least'],
    ] as const)
      expect(() => physicalFeatures(f), text).toThrow(new RangeError(text));
  });

  it('pages of a kernel', () => {
    expect(kernelPage({}, 'hostPage')).toBe(4096);
    expect(kernelPage({ hostPage: '64KiB', guestPage: '16KiB' }, 'hostPage')).toBe(65536);
    expect(kernelPage({ hostPage: '64KiB', guestPage: '16KiB' }, 'guestPage')).toBe(16384);
    expect(() => kernelPage({ guestPage: '8KiB' }, 'guestPage')).toThrow(
      'guestPage is 8KiB: "4KiB", "16KiB" or "64KiB"',
    );
  });

  it('decoded again from the registers', () => {
    const wide = physicalFeatures({
      OAS: 52,
      VAX: true,
      GRAN16K: false,
      HTTU: 1,
      FWB: true,
      STT: true,
      BBML: 1,
      PRIQS: 7,
    });
    expect(wide).toMatchObject({
      oas: 52,
      vax: true,
      granules: [12, 16],
      httu: 1,
      s2fwb: true,
      stt: true,
      bbml: 1,
      priqsLog2: 7,
      contiguous: true,
    });
    expect(decodeFeatures(wide.idr, wide.iidr, wide.aidr)).toEqual({ ...wide, contiguous: false });
    // SMMUv3.1 without range invalidation, v3.2 with it.
    expect([physicalFeatures({ RIL: false }).aidr, wide.aidr]).toEqual([1, 2]);
  });
});
