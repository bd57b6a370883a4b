import { describe, expect, it } from 'vitest';
import { smmuv3Vendor } from '../../engine/smmuv3/index.ts';
import { featureValue, withFeature, withPolicy, withRule } from './change.ts';

const platform = { iommu: 'smmuv3', memory: '2GiB' } as const;

describe('a rule', () => {
  it('is broken and mended, and the document is the same as before', () => {
    const one = withRule(platform, smmuv3Vendor, 'vmm.no-forward-atc', true);
    const two = withRule(one, smmuv3Vendor, 'guest.no-tlbi', true);
    expect(two.deviations).toEqual(['guest.no-tlbi', 'vmm.no-forward-atc']);
    expect(withRule(one, smmuv3Vendor, 'vmm.no-forward-atc', true)).toEqual(one);
    expect(
      withRule(withRule(two, smmuv3Vendor, 'guest.no-tlbi', false), smmuv3Vendor, 'vmm.no-forward-atc', false),
    ).toEqual(platform);
  });
});

describe('a feature', () => {
  it('at its default is left out', () => {
    const off = withFeature(platform, smmuv3Vendor, 'RIL', false);
    expect(off).toEqual({ ...platform, features: { RIL: false } });
    expect(withFeature(off, smmuv3Vendor, 'OAS', 44).features).toEqual({ RIL: false, OAS: 44 });
    expect(withFeature(off, smmuv3Vendor, 'RIL', true)).toEqual(platform);
  });
  it('is read in the type of its default', () => {
    expect(featureValue('44', 48)).toBe(44);
    expect(featureValue('4x', 48)).toBeNull();
    expect(featureValue(' 16KiB', '4KiB')).toBe('16KiB');
  });
});

it('a policy at its default is left out', () => {
  const four = withPolicy(platform, 'batch', '4');
  expect(four).toEqual({ ...platform, policy: { batch: '4' } });
  expect(withPolicy(four, 'batch', undefined)).toEqual(platform);
});
