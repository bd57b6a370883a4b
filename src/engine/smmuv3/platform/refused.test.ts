import { describe, expect, it } from 'vitest';
import { Session } from '../../document/index.ts';
import { parseDocument } from '../../document/parse.ts';
import { loadVendors } from '../../machine/vendors.ts';

await loadVendors(['smmuv3']);

/** A document of one device with these features and what the device is beside. */
const document = (features: object, device: object = {}, more: object = {}): string =>
  JSON.stringify({
    format: 'iommuscope/1',
    title: 't',
    platform: { iommu: 'smmuv3', features },
    devices: [{ name: 'nic0', rid: '0000:01:00.0', ...device }],
    steps: [],
    ...more,
  });

const refusal = (text: string) => {
  const parsed = parseDocument(text);
  return parsed.ok ? null : [parsed.error.path, parsed.error.message];
};

describe('a machine that cannot be had', () => {
  it.each([
    [{ guestPage: '8KiB' }, 'guestPage', 'expected "4KiB", "16KiB" or "64KiB"; found "8KiB"'],
    [{ OAS: 33 }, 'OAS', 'expected 32, 36, 40, 42, 44, 48 or 52; found 33'],
    [{ OAS: 56 }, 'OAS', 'expected 32, 36, 40, 42, 44, 48 or 52; found 56'],
    [{ HTTU: 3 }, 'HTTU', 'expected a whole number from 0 to 2; found 3'],
    [{ iotlbEntries: -1 }, 'iotlbEntries', 'expected a whole number from 0 to 2147483648; found -1'],
    [{ atcEntries: 1.5 }, 'atcEntries', 'expected a whole number from 0 to 2147483648; found 1.5'],
    [
      { GRAN4K: false, GRAN16K: false, GRAN64K: false },
      'GRAN64K',
      'expected true: an SMMU has one granule at least; found false',
    ],
  ])('%o is refused where it stands', (features, name, message) => {
    expect(refusal(document(features))).toEqual([`platform.features.${name}`, message]);
  });

  it('a device that stalls has no ATS unless the document insists, which is refused', () => {
    const stall = { STALL_MODEL: 0 };
    expect(refusal(document(stall, { stall: true, ats: true }))?.[0]).toBe('devices[0].ats');
    const steps = [
      { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
      { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000' },
      { do: 'device.dma', device: 'nic0', iova: '0x10000' },
    ];
    const parsed = parseDocument(document(stall, { stall: true }, { steps }));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const session = new Session(parsed.document);
    session.runTo(3);
    expect(session.steps[3]?.result.text).toMatch(/reaches PA/);
  });

  it.each([
    [{ CMDQS: 2 }, 'command queue size <= 64 entries not supported'],
    [{ SIDSIZE: 8 }, 'nic0: StreamID 0x100 is beyond the stream table'],
  ])('%o leaves the device without a VFIO file', (features, log) => {
    const steps = [
      { do: 'fd.open', device: 'nic0' },
      { do: 'device.reset', device: 'nic0' },
    ];
    const parsed = parseDocument(document(features, {}, { steps }));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const session = new Session(parsed.document);
    session.runAll();
    expect(session.steps[2]?.result).toMatchObject({ ok: true, text: 'nic0 is reset' });
    expect(session.steps[0]?.result).toMatchObject({ ok: false, errno: 'ENOENT' });
    expect(session.steps[1]?.result).toMatchObject({ ok: false, errno: 'ENOENT' });
    const notes = session.steps[0]?.events.map((e) => (e.kind === 'note' ? e.text : ''));
    expect(notes?.join()).toContain(log);
  });
});

describe('an ioctl', () => {
  it.each([
    [{ idd: 3 }, 'IOMMU_DESTROY has no field "idd": id'],
    [{ id: 'x' }, 'IOMMU_DESTROY: id needs a whole number, found "x"'],
    [{ id: 3, size: 8 }, 'IOMMU_DESTROY: ENOENT'],
  ])('with %o says what is wrong', (input, text) => {
    const steps = [{ do: 'ioctl', call: 'IOMMU_DESTROY', in: input }];
    const parsed = parseDocument(document({}, {}, { setup: 'bare', steps }));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const session = new Session(parsed.document);
    session.runAll();
    expect(session.steps[1]?.result).toMatchObject({ ok: false, text });
  });
});

describe('a bare document', () => {
  const word = (at: number, u64: readonly string[]) => ({
    do: 'memory.write',
    space: 'host',
    at: `0x${at.toString(16)}`,
    u64,
  });
  const register = (reg: string, value: string) => ({ do: 'register.write', reg, value });
  /** Config 4 (bypass) for StreamID 8, with EATS as given. */
  const steps = (dw1: string) => [
    word(0x1000000 + 8 * 64, ['0x9', dw1]),
    register('STRTAB_BASE', '0x1000000'),
    register('STRTAB_BASE_CFG', '0x8'),
    register('EVENTQ_BASE', '0x1200004'),
    register('CR0', '0x15'),
    { do: 'device.ats', device: 'nic0', iova: '0x5000' },
  ];
  const play = (text: string) => {
    const parsed = parseDocument(text);
    if (!parsed.ok) throw new Error(parsed.error.message);
    const session = new Session(parsed.document);
    session.runAll();
    return session.steps.map((s) => s.result);
  };
  const bare = (steps: readonly object[]) => document({}, { rid: 8 }, { setup: 'bare', steps });

  it('has the answer to a translation request that its STE gives', () => {
    // IHI 0070, 7.3.6: EATS = 0 in a valid STE makes a translation request an F_BAD_ATS_TREQ.
    expect(play(bare(steps('0x100000000000'))).at(-1)).toMatchObject({ ok: false, fault: { name: 'F_BAD_ATS_TREQ' } });
  });

  it('says why an access came to nothing', () => {
    const abort = [register('GBPA', '0x80100000'), { do: 'device.dma', device: 'nic0', iova: '0x5000' }];
    expect(play(bare(abort)).at(-1)?.text).toBe('nic0: read of 0x5000 is aborted: no event');
    const off = play(bare([{ do: 'device.ats', device: 'nic0', iova: '0x5000' }])).at(-1);
    expect(off).toMatchObject({ ok: false, fault: { name: 'F_BAD_ATS_TREQ' } });
  });

  it('has ATS off once the kernel is up', () => {
    const kernel = [
      { do: 'fd.open', device: 'nic0', as: 'fd' },
      { do: 'ioctl', call: 'IOMMU_IOAS_ALLOC', in: {} },
    ];
    const r = play(bare([...kernel, { do: 'device.ats', device: 'nic0', iova: '0x5000' }]));
    expect(r.at(-1)).toMatchObject({ ok: false });
    expect(r.at(-1)?.fault).toBeUndefined();
  });
});
