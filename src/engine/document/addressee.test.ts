import { describe, expect, test } from 'vitest';
import { checkScenario, validateOperation, whyNotRunnable } from './authoring.ts';
import { findFake } from './fixtures/fake-vendor.ts';
import { deviceSpecs, platformSpec, type ScenarioDocument } from './index.ts';
import { resolveOperation } from './resolve.ts';
import { Session } from './session.ts';

/** Two guests; vm0 has two virtual units on one physical unit and a third on another. */
const base = (steps: readonly object[], change: (d: Doc) => void = () => {}): Doc => {
  const d: Doc = {
    format: 'iommuscope/1',
    title: 'several',
    platform: {
      iommu: 'smmuv3',
      memory: '2GiB',
      iommus: ['smmu0', 'smmu1'],
      guests: [{ name: 'vm0' }, { name: 'vm1', memory: '128MiB' }],
    },
    devices: [
      { name: 'nic0', rid: '0000:01:00.0', guest: 'vm0', viommu: 'va' },
      { name: 'nic1', rid: '0000:02:00.0', guest: 'vm0', viommu: 'vb' },
      { name: 'nic2', rid: '0000:01:00.0', guest: 'vm0', iommu: 'smmu1' },
      { name: 'gpu0', rid: '0000:03:00.0', guest: 'vm1', iommu: 'smmu0' },
    ],
    steps: [...steps],
  };
  change(d);
  return d;
};
interface Doc {
  format: string;
  title: string;
  platform: Record<string, unknown> & { guests: Record<string, unknown>[] };
  devices: Record<string, unknown>[];
  steps: object[];
}

const errorOf = (d: Doc): string => {
  const r = checkScenario(d, findFake);
  return r.ok ? 'none' : `${r.error.path}: ${r.error.message}`;
};
const stepError = (...steps: object[]): string => errorOf(base(steps));

describe('names of guests and units, checked against the document', () => {
  const dev = (i: number, o: object) => (d: Doc) => Object.assign(d.devices[i]!, o);
  const cases: readonly (readonly [string, (d: Doc) => void, string])[] = [
    ['nothing wrong', () => {}, 'none'],
    ['guest', dev(3, { guest: 'vm2' }), 'devices[3].guest: expected a name in platform.guests: vm0, vm1; found "vm2"'],
    ['unit', dev(2, { iommu: 'smmu2' }), 'devices[2].iommu: expected a name in platform.iommus: smmu0, smmu1'],
    ['rid on one unit', dev(2, { iommu: 'smmu0' }), 'devices[2].rid: expected a requester id that no other one has'],
    [
      'vrid behind one virtual unit',
      (d) => {
        for (const i of [0, 1]) Object.assign(d.devices[i]!, { vrid: 8, viommu: 'va' });
      },
      'devices[1].vrid: expected a requester id in the guest that no other one has; found 8',
    ],
    [
      'the same vrid behind two virtual units',
      (d) => {
        for (const i of [0, 1]) Object.assign(d.devices[i]!, { vrid: 8 });
      },
      'none',
    ],
    [
      'a virtual unit of another guest',
      dev(3, { viommu: 'va' }),
      'devices[3].viommu: expected a virtual unit of vm1: va belongs to vm0, where nic0 is behind it; found "va"',
    ],
    [
      'a virtual unit for two physical ones',
      dev(2, { viommu: 'va' }),
      'devices[2].viommu: expected a virtual unit for smmu1: va stands for smmu0, where nic0 is behind it; found "va"',
    ],
    [
      'memory of one guest',
      (d) => Object.assign(d.platform.guests[0]!, { memory: '1536MiB' }),
      'platform.guests[0].memory: expected at most half of host memory (0x80000000 bytes); found "1536MiB"',
    ],
    [
      'memory of all guests',
      (d) => Object.assign(d.platform.guests[0]!, { memory: '1GiB' }),
      "platform.guests[1].memory: expected all guests' memory together to be at most half of host memory (0x80000000 bytes); found 0x48000000 bytes",
    ],
    ['two guests of a name', (d) => Object.assign(d.platform.guests[1]!, { name: 'vm0' }), 'platform.guests[1].name'],
    [
      'a guest’s name that ids need',
      (d) => Object.assign(d.platform.guests[1]!, { name: 's1' }),
      'platform.guests[1].name',
    ],
    ['a dot in a unit’s name', (d) => Object.assign(d.platform, { iommus: ['smmu0', 'smmu.1'] }), 'platform.iommus[1]'],
    [
      'a policy’s value',
      (d) => Object.assign(d.platform, { policy: { pageFaults: 'lost' } }),
      'platform.policy.pageFaults',
    ],
  ];
  test.each(cases)('%s', (_name, change, message) => {
    expect(errorOf(base([], change)).slice(0, message.length)).toBe(message);
  });

  test('a document with several of everything runs', () => {
    expect(whyNotRunnable(base([]) as unknown as ScenarioDocument, findFake)).toBeUndefined();
  });

  test('places in the guest are counted guest by guest', () => {
    const d = base([]) as unknown as ScenarioDocument;
    expect(deviceSpecs(d).map((x) => x.vrid)).toEqual([8, 16, 24, 8]);
    expect(platformSpec(d).guests.map((g) => g.memory)).toEqual([2 ** 28, 2 ** 27]);
  });
});

describe('whom a step is for', () => {
  const attach = { do: 'guest.attach', device: 'gpu0', domain: 'd1' };
  const cases: readonly (readonly [string, object[], string])[] = [
    [
      'nobody named',
      [{ do: 'guest.boot' }],
      'steps[0].guest: expected the name of a guest, since there are several: vm0, vm1; found nothing',
    ],
    [
      'a guest that is not there',
      [{ do: 'guest.boot', guest: 'vm3' }],
      'steps[0].guest: expected the name of a guest: vm0, vm1',
    ],
    ['an ioctl', [{ do: 'ioctl', call: 'IOMMU_IOAS_ALLOC' }], 'steps[0].guest'],
    ['guest memory', [{ do: 'memory.read', space: 'guest', at: 0 }], 'steps[0].guest'],
    ['host memory', [{ do: 'memory.read', space: 'host', at: 0 }], 'none'],
    [
      'a guest for host memory',
      [{ do: 'memory.read', space: 'host', at: 0, guest: 'vm0' }],
      'steps[0].guest: expected no guest unless the space is guest; found "vm0"',
    ],
    ['a physical register', [{ do: 'register.read', reg: 'CR0' }], 'steps[0].unit: expected the name of a unit, since'],
    ['a unit named', [{ do: 'register.read', reg: 'CR0', unit: 'smmu1' }], 'none'],
    [
      'a virtual name for it',
      [{ do: 'register.read', reg: 'CR0', unit: 'va' }],
      'steps[0].unit: expected the name of a unit: smmu0',
    ],
    ['a virtual register', [{ do: 'register.read', reg: 'CR0', iommu: 'virtual' }], 'steps[0].guest'],
    ['a unit that one guest has', [{ do: 'register.read', reg: 'CR0', iommu: 'virtual', unit: 'vb' }], 'none'],
    ['a guest with one unit', [{ do: 'register.read', reg: 'CR0', iommu: 'virtual', guest: 'vm1' }], 'none'],
    [
      'a guest with several',
      [{ do: 'guest.invalidate', guest: 'vm0', bytes: '00'.repeat(16) }],
      'steps[0].unit: expected the name of a virtual unit of vm0, since there are several: va, vb, vsmmu1; found nothing',
    ],
    ['a device tells', [attach], 'none'],
    [
      'a device of another guest',
      [{ ...attach, guest: 'vm0' }],
      'steps[0].guest: expected "vm1", the guest of gpu0; found "vm0"',
    ],
    ['a table of another guest', [{ ...attach, cdTable: 'nic0' }], 'steps[0].cdTable: expected a device of vm1'],
    ['a domain that one guest has', [attach, { do: 'guest.map', domain: 'd1', iova: 0, gpa: 0 }], 'none'],
    ['a domain that nobody has', [{ do: 'guest.map', domain: 'd1', iova: 0, gpa: 0 }, attach], 'steps[0].guest'],
    [
      'a domain that both have',
      [attach, { ...attach, device: 'nic0' }, { do: 'guest.map', domain: 'd1', iova: 0, gpa: 0 }],
      'steps[2].guest',
    ],
    [
      'a process',
      [
        { do: 'guest.bind', device: 'nic0', process: 'app' },
        { do: 'guest.exit', process: 'app' },
      ],
      'none',
    ],
    ['whose events', [{ ...attach, expect: { guest: 'vm2' } }], 'steps[0].expect.guest: expected the name of a guest'],
    ['whose commands', [{ ...attach, expect: { unit: 'vc' } }], 'steps[0].expect.unit: expected the name of a unit'],
  ];
  test.each(cases)('%s', (_name, steps, message) => {
    expect(stepError(...steps).slice(0, message.length)).toBe(message);
  });

  test('one step is checked as it would stand in the document', () => {
    const document = base([attach]) as unknown as ScenarioDocument;
    const map = { do: 'guest.map', domain: 'd1', iova: 0, gpa: 0 };
    expect(validateOperation(map, { document }, findFake).ok).toBe(true);
    expect(validateOperation(map, { document, at: 0 }, findFake).ok).toBe(false);
  });

  test('the platform is told, also after steps were cut off', () => {
    const steps = [attach, { do: 'guest.map', domain: 'd1', iova: 0, gpa: 0 }];
    const s = new Session(base(steps) as unknown as ScenarioDocument, findFake);
    s.runAll();
    expect(s.steps.map((r) => [r.operation['guest'], r.operation['unit']])).toEqual([
      [undefined, undefined],
      ['vm1', undefined],
      ['vm1', undefined],
    ]);
    s.truncate(0);
    s.append({ ...attach, device: 'nic0' } as never);
    expect(s.append(steps[1] as never).operation['guest']).toBe('vm0');
  });

  test('on a machine with one of each nothing is added', () => {
    const r = resolveOperation({ do: 'guest.boot' } as never, {});
    expect(r.ok && r.operation).toEqual({ do: 'guest.boot' });
  });
});
