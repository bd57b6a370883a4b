import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Step } from '../../document/index.ts';
import { apart, atWork, type Belongs, harm, twoGuests, unharmedBy } from '../../properties/two-guests.ts';
import { smmuv3, unitsOf } from './kind.ts';

/** By device, StreamID and VMID, from the STEs in the cache. VMID 0 belongs to nobody. */
const belongs: Belongs = (platform, names) => {
  const [unit] = unitsOf(platform);
  const sids = new Set(unit!.devices.flatMap((d) => (names.has(d.name) ? [BigInt(d.rid)] : [])));
  const vmids = new Set(
    platform
      .cached()
      .flatMap((e) => (e.cache === 'STE' && sids.has(e.fields['sid'] as bigint) ? [e.fields['vmid'] as bigint] : [])),
  );
  return ({ fields }) => {
    if ('device' in fields) return names.has(fields['device'] as string);
    if ('sid' in fields) return sids.has(fields['sid'] as bigint);
    return 'vmid' in fields && vmids.has(fields['vmid'] as bigint) && fields['vmid'] !== 0n;
  };
};

/** Commands that a guest might send to hurt: everything that can be forwarded, with any VMID, ASID and StreamID. */
const command = fc
  .tuple(
    fc.constantFrom(0x10, 0x11, 0x12, 0x13, 0x30, 0x40, 0x05, 0x06, 0x03, 0x04, 0x28, 0x2a, 0x20),
    fc.constantFrom(0, 1, 2, 3),
    fc.constantFrom(0, 1, 2),
    fc.constantFrom(0x8n, 0x10n, 0x100n, 0x101n, 0x200n, 0x201n),
    fc.constantFrom(0n, 1n, 0x10000n, 0x10001n, 0x34n, 0x1fn),
  )
  .map(([op, vmid, asid, sid, w1]) => {
    const tags = (BigInt(vmid) << 32n) | (BigInt(asid) << 48n);
    return [BigInt(op) | (op < 0x10 || op === 0x40 ? sid << 32n : tags), w1];
  });

describe('two guests', () => {
  it('what one does removes, fills and reads nothing of the other', () => apart(smmuv3, belongs), 120_000);

  it('no command of one reaches the other', () => unharmedBy(smmuv3, belongs, command), 120_000);

  it('a driver that forwards NSNH_ALL as it is takes everybody’s entries away', () => {
    const m = { ...twoGuests, deviations: ['host.nsnh-all-as-is'] };
    const before = atWork(smmuv3);
    const nsnh = [{ do: 'guest.invalidate', guest: 'vm0', command: { name: 'TLBI_NSNH_ALL' } } as unknown as Step];
    const done = harm(smmuv3, m, belongs, before, [nsnh]);
    expect(done.some((h) => h.includes('removes') && h.includes('IOTLB'))).toBe(true);
    expect(harm(smmuv3, twoGuests, belongs, before, [nsnh])).toEqual([]);
  });
});
