import { describe, expect, it } from 'vitest';
import { Session } from '../../document/index.ts';
import { parseDocument } from '../../document/parse.ts';

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
    const steps = [{ do: 'fd.open', device: 'nic0' }];
    const parsed = parseDocument(document(features, {}, { steps }));
    if (!parsed.ok) throw new Error(parsed.error.message);
    const session = new Session(parsed.document);
    session.runTo(1);
    expect(session.steps[0]?.result).toMatchObject({ ok: false, errno: 'ENOENT' });
    expect(session.steps[1]?.result).toMatchObject({ ok: false, errno: 'ENOENT' });
    const notes = session.steps[0]?.events.map((e) => (e.kind === 'note' ? e.text : ''));
    expect(notes?.join()).toContain(log);
  });
});
