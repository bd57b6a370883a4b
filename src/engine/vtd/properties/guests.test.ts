import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Step } from '../../document/index.ts';
import { apart, atWork, type Belongs, harm, twoGuests, unharmedBy } from '../../properties/two-guests.ts';
import { partsOf, vtd } from './kind.ts';

/** By device, requester id and domain id, from the PASID entries in the cache. Blocking and pass-through have DIDs 0 and 1. */
const belongs: Belongs = (platform, names) => {
  const [unit] = partsOf(platform).units;
  const rids = new Set(unit!.devices.flatMap((d) => (names.has(d.name) ? [BigInt(d.rid)] : [])));
  const dids = new Set(
    platform
      .cached()
      .flatMap((e) => (e.cache === 'PASID' && rids.has(e.fields['rid'] as bigint) ? [e.fields['did'] as bigint] : [])),
  );
  return ({ fields }) => {
    if ('device' in fields) return names.has(fields['device'] as string);
    if ('rid' in fields) return rids.has(fields['rid'] as bigint);
    return dids.has(fields['did'] as bigint) && (fields['did'] as bigint) > 1n;
  };
};

/** Descriptors that a guest might write to hurt: every type with any domain id, PASID and requester. */
const command = fc
  .record({
    type: fc.constantFrom(1n, 2n, 3n, 6n, 6n, 7n, 7n, 8n, 9n),
    g: fc.constantFrom(0n, 1n, 2n, 3n),
    did: fc.constantFrom(0n, 1n, 2n, 3n, 4n, 5n),
    rid: fc.constantFrom(0x8n, 0x10n, 0x100n, 0x101n, 0x200n, 0x201n),
    pasid: fc.constantFrom(0n, 1n, 2n),
    range: fc.constantFrom(0n, 0x10000n, 0x10002n, 0x10040n, 0x34n, 0x7fff_ffff_ffff_f001n, 0x7fff_ffff_ffff_f800n, 1n),
  })
  .map(({ type, g, did, rid, pasid, range }) => {
    const selective = type | (g << 4n);
    // Global and whole forms have no second word.
    switch (type) {
      case 1n:
        return [selective | (did << 16n) | (rid << 32n), 0n, 0n, 0n];
      case 2n:
      case 6n:
        return [
          selective | (did << 16n) | (type === 6n ? pasid << 32n : 0n),
          g === 3n ? range & 0xfffff07fn : 0n,
          0n,
          0n,
        ];
      case 3n:
        return [type | (rid << 32n), range & ~0xffen, 0n, 0n];
      case 7n:
        return [selective | (did << 16n) | (pasid << 32n), 0n, 0n, 0n];
      case 8n:
        return [type | (rid << 16n) | (pasid << 32n), range & ~0x7fen, 0n, 0n];
      default:
        return [type | 16n | (rid << 16n) | (pasid << 32n), 0x28n, 0n, 0n];
    }
  });

describe('two guests', () => {
  it('what one does removes, fills and reads nothing of the other', () => apart(vtd, belongs), 120_000);

  it('no descriptor of one reaches the other', () => unharmedBy(vtd, belongs, command), 120_000);

  it('the comparison sees an entry that goes', () => {
    const before = atWork(vtd);
    const everything = [{ do: 'register.write', iommu: 'physical', reg: 'GCMD_REG', value: '0xc4000000' }];
    const m = { ...twoGuests, features: { ESRTPS: true } };
    const done = harm(vtd, m, belongs, before, [everything as unknown as Step[]]);
    expect(done.some((h) => h.includes('removes') && h.includes('IOTLB'))).toBe(true);
  });
});
