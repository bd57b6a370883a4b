import { describe, expect, it } from 'vitest';
import { wordsToBytes } from '../../bits/index.ts';
import { Session } from '../../document/index.ts';
import { parseDocument } from '../../document/parse.ts';
import { loadVendors } from '../../machine/vendors.ts';
import { encodeDescriptor } from '../layout/index.ts';

await loadVendors(['vtd']);

const document = (more: object, platform: object = {}, device: object = {}): string =>
  JSON.stringify({
    format: 'iommuscope/1',
    title: 't',
    platform: { iommu: 'vtd', ...platform },
    devices: [{ name: 'nic0', rid: '0000:01:00.0', ...device }],
    steps: [],
    ...more,
  });

const refusal = (text: string) => {
  const parsed = parseDocument(text);
  return parsed.ok ? null : `${parsed.error.path}: ${parsed.error.message}`;
};

function play(text: string): Session {
  const parsed = parseDocument(text);
  if (!parsed.ok) throw new Error(`${parsed.error.path}: ${parsed.error.message}`);
  const session = new Session(parsed.document);
  session.runAll();
  return session;
}

describe('what only another IOMMU has is refused where it stands', () => {
  it.each([
    [document({}, {}, { stall: true }), /^devices\[0\]\.stall: expected no "stall": an access .* never waits/],
    [
      document({ steps: [{ do: 'guest.attach', device: 'nic0', domain: 'dma0', cdTable: 'nic0' }] }),
      /^steps\[0\]\.cdTable: expected no "cdTable": VT-d has no table of context descriptors/,
    ],
    [
      document({ steps: [{ do: 'guest.invalidate', command: { name: 'TLBI_NH_ASID', ASID: 1 } }] }),
      /^steps\[0\]\.command\.name: expected the name of a command/,
    ],
    [
      document({ steps: [{ do: 'guest.invalidate', command: { name: 'P_IOTLB_INV', ASID: 1 } }] }),
      /^steps\[0\]\.command\.ASID: expected a field of P_IOTLB_INV/,
    ],
    [document({ steps: [{ do: 'register.read', reg: 'CR0' }] }), /^steps\[0\]\.reg: expected a register/],
    [
      document({ steps: [{ do: 'guest.flush', expect: { notCached: [{ cache: 'STE' }] } }] }),
      /^steps\[0\]\.expect\.notCached\[0\]\.cache: expected the name of a cache/,
    ],
    [
      document({ steps: [{ do: 'guest.flush', expect: { cached: [{ cache: 'IOTLB', asid: 1 }] } }] }),
      /^steps\[0\]\.expect\.cached\[0\]\.asid: expected a field of the cache/,
    ],
    [document({}, { features: { BTM: true } }), /^platform\.features\.BTM: expected a feature of vtd/],
    [document({}, { features: { MGAW: '57 bits' } }), /^platform\.features\.MGAW: expected a number/],
    [document({}, { policy: { invalidation: 'viommu' } }), /^platform\.policy\.invalidation: expected "hwpt"/],
    [document({}, { deviations: ['guest.no-such'] }), /^platform\.deviations\[0\]: expected a deviation of vtd/],
  ])('%#', (text, message) => {
    expect(refusal(text)).toMatch(message);
  });

  it('what holds anyway may stand there', () => {
    expect(refusal(document({}, { policy: { invalidation: 'hwpt', deviceId: 'none' } }, { stall: false }))).toBeNull();
  });
});

describe('a descriptor of the guest', () => {
  const hexOf = (words: readonly bigint[]): string =>
    [...wordsToBytes(words)].map((b) => b.toString(16).padStart(2, '0')).join('');
  const all = encodeDescriptor('PC_INV', { G: 3 });
  const send = (bytes: string) => document({ steps: [{ do: 'guest.invalidate', bytes }] });

  it('has 16 or 32 bytes', () => {
    expect(refusal(send(hexOf(all.slice(0, 1))))).toMatch(/^steps\[0\]\.bytes: expected a command of 16 or 32 bytes/);
    for (const words of [2, 4]) {
      const s = play(send(hexOf(all.slice(0, words))));
      const posted = s.steps[1]!.events.find((e) => e.kind === 'command.post' && e.actor === 'guest');
      expect(posted).toMatchObject({ command: { name: 'PC_INV', words: all } });
    }
  });

  it('is refused by the VMM, not by the document, when the hardware would refuse it', () => {
    const s = play(document({ steps: [{ do: 'guest.invalidate', command: { name: 'P_IOTLB_INV', G: 1, DID: 2 } }] }));
    expect(s.steps[1]!.events.some((e) => e.kind === 'command.error' && e.error === 'IQE')).toBe(true);
    expect(s.steps[1]!.result.ok).toBe(false);
  });
});

describe('without names', () => {
  it('the unit is dmar0, and vdmar0 in the guest', () => {
    const steps = [
      { do: 'register.read', unit: 'dmar0', reg: 'CAP_REG', as: 'cap', expect: { value: '0x19ed008c40780c66' } },
      {
        do: 'register.read',
        iommu: 'virtual',
        unit: 'vdmar0',
        reg: 'ECAP_REG',
        expect: { value: '0x8d9a20000f46' },
      },
      { do: 'register.read', reg: 'FRCD_REG0_HI', expect: { value: 0 } },
    ];
    expect(play(document({ steps })).steps.flatMap((r) => r.failures)).toEqual([]);
  });
});

it.each([
  [{ QI: false }, 'VFIO has no file of nic0'],
  [{ NEST: false }, 'IOMMU_HWPT_ALLOC: EOPNOTSUPP'],
  [{ SMTS: false }, 'IOMMU_HWPT_ALLOC: EOPNOTSUPP'],
  [{ SAGAW: 2, MGAW: 39 }, 'aw-bits 48 > host aw-bits 39'],
])('%o leaves the device out of the guest', (features, why) => {
  const s = play(document({ steps: [{ do: 'device.reset', device: 'nic0' }] }, { features }));
  expect(s.steps[0]!.result).toMatchObject({ ok: false, text: expect.stringContaining(why) });
  expect(s.steps[1]!.result).toMatchObject({ ok: true });
  const p = s.platformAt(1);
  for (const o of p.scene([]).objects) expect(p.inspect(o.id), o.id).not.toBeNull();
});

describe('a bare document', () => {
  it('keeps the unit to itself until the kernel is asked for', () => {
    const steps = [
      { do: 'register.read', reg: 'GSTS_REG', expect: { value: 0 } },
      { do: 'device.dma', device: 'nic0', iova: '0x5000', expect: { pa: '0x5000', hit: 'none' } },
      { do: 'fd.open', device: 'nic0', as: 'fd' },
      { do: 'register.read', reg: 'GSTS_REG', expect: { mask: '0x84000000', value: '0x84000000' } },
      { do: 'ioctl', call: 'IOMMU_IOAS_ALLOC', in: {}, as: 'ioas' },
      { do: 'ioctl', call: 'VFIO_DEVICE_BIND_IOMMUFD', fd: '$fd', in: { iommufd: 0 }, as: 'dev' },
      { do: 'ioctl', call: 'IOMMU_HWPT_ALLOC', in: { flags: 9, dev_id: '$dev', pt_id: '$ioas' }, as: 'parent' },
      // 48 bits are wide enough for a first stage of four levels; whether the table lies anywhere is not looked at.
      {
        do: 'ioctl',
        call: 'IOMMU_HWPT_ALLOC',
        in: {
          flags: 8,
          dev_id: '$dev',
          pt_id: '$parent',
          data_type: 1,
          data_len: 24,
          data: { flags: 0, pgtbl_addr: '0x104567000', addr_width: 48 },
        },
        as: 'nested',
      },
      { do: 'ioctl', call: 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', fd: '$fd', in: { pt_id: '$nested' } },
      { do: 'device.dma', device: 'nic0', iova: '0x5000', expect: { fault: 'SSS.2' } },
    ];
    const s = play(document({ setup: 'bare', steps }));
    expect(s.steps.flatMap((r, i) => r.failures.map((f) => ({ step: i, ...f })))).toEqual([]);
    const hwpt = s
      .platformAt(9)
      .scene([])
      .objects.find((o) => o.type === 'HWPT_NESTED')!;
    expect(hwpt.lines).toEqual(['PASID 0x0 · DID 2', 'FS 0x1_0456_7000']);
  });
});
