import { describe, expect, it } from 'vitest';
import { encodeDescriptor } from '../layout/index.ts';
import { vmmDeviations, vmmRulesWith } from './deviations.ts';
import {
  plugged,
  type RecorderOptions,
  severalBindings,
  translating,
  vmmOnRecorder,
} from './fixtures/recording-vmm.ts';

type Machine = ReturnType<typeof plugged>;
type Scenario = (o: RecorderOptions) => unknown;

const wait = encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 2, STADDR: 0x40400000n });
const page = (fields: Record<string, number | bigint>): bigint[] =>
  encodeDescriptor('P_IOTLB_INV', { G: 3, ...fields });
const hwpts = (v: Machine): string[] =>
  v.kernel.take().flatMap((c) => (c.startsWith('HWPT_INVALIDATE') ? [c.split(/[ =]/)[2]!] : []));
const bound = (v: Machine): number[] =>
  v.vmm.units[0]!.deviceOf('nic0')!
    .bindings.map((b) => b.pasid)
    .sort((a, b) => a - b);
const calls = (v: Machine): string[] => v.kernel.take().map((c) => c.replace(/ .*/, ''));

const flushed =
  (fields: Record<string, number | bigint>): Scenario =>
  (o) => {
    const v = severalBindings(o);
    v.flush('P_IOTLB_INV', { G: 3, DID: 2, ...fields });
    return hwpts(v);
  };
const entries =
  (fields: Record<string, number | bigint>): Scenario =>
  (o) => {
    const v = translating(o);
    v.flush('P_IOTLB_INV', { G: 3, DID: 2, ...fields });
    return v.kernel.invalidations;
  };
/** FSTS and IQH after two descriptors. */
const queued =
  (words: bigint[], wide = true): Scenario =>
  (o) => {
    const v = plugged(o);
    v.firstStage('nic0', 0, 2, 0x40500000);
    v.boot(true, wide);
    v.post(words, wait);
    return [v.read('FSTS_REG'), v.read('IQH_REG'), v.status()];
  };
const changed =
  (change: (v: Machine) => void, fields: Record<string, number | bigint>, what: (v: Machine) => unknown): Scenario =>
  (o) => {
    const v = severalBindings(o);
    change(v);
    v.flush('PC_INV', fields);
    return what(v);
  };
const fault = (more: object = {}): Record<string, unknown> => ({
  flags: 3,
  dev_id: 2,
  pasid: 5,
  grpid: 7,
  perm: 3,
  addr: 0x7f0012345000n,
  cookie: 41,
  ...more,
});
const requested =
  (rc: number | null, what: (v: Machine) => unknown, prepare: (v: Machine) => void = () => {}): Scenario =>
  (o) => {
    const v = plugged({ ...o, pageFaults: 'forwarded' });
    for (const pasid of [0, 5]) v.firstStage('nic0', pasid, 2, 0x40500000);
    v.boot();
    prepare(v);
    v.kernel.faults.push(fault());
    v.run(v.vmm.pollEvents());
    if (rc !== null) v.post(encodeDescriptor('PAGE_GRP_RESP', { PP: 1, RID: 8, PASID: 5, PRGI: 7, RC: rc }));
    return what(v);
  };

const scenarios: Record<string, readonly [Scenario, unknown, unknown]> = {
  'vmm.no-forward-piotlb': [flushed({}), ['5', '8'], []],
  'vmm.forward-by-address-only': [flushed({ G: 2 }), ['5', '8'], []],
  'vmm.first-match-only': [flushed({}), ['5', '8'], ['5']],
  'vmm.match-did-only': [flushed({ DID: 3, PASID: 5 }), ['6'], ['7', '6']],
  'vmm.match-pasid-zero': [flushed({ DID: 3, PASID: 5 }), ['6'], []],
  'vmm.leaf-always': [entries({ ADDR: 0x1000n, IH: 0 }), [['0x1000 0x1 0']], [['0x1000 0x1 1']]],
  'vmm.leaf-ignored': [entries({ ADDR: 0x1000n, IH: 1 }), [['0x1000 0x1 1']], [['0x1000 0x1 0']]],
  'vmm.mask-ignored': [entries({ ADDR: 0x10000n, AM: 4 }), [['0x10000 0x10 0']], [['0x10000 0x1 0']]],
  'vmm.mask-from-address': [entries({ ADDR: 0x13000n, AM: 2 }), [['0x13000 0x4 0']], [['0x13000 0x1 0']]],
  'vmm.invalidate-later': [
    (o) => {
      const v = translating(o);
      v.post(page({ DID: 2 }), wait);
      const first = [v.status(), hwpts(v)];
      v.post(wait);
      return [first, hwpts(v)];
    },
    [[2, ['5']], []],
    [[2, []], ['5']],
  ],
  'vmm.batch-across-wait': [
    (o) => {
      const v = translating({ ...o, batch: 4 });
      v.post(page({ DID: 2 }), wait);
      return [v.status(), hwpts(v), v.vmm.units[0]!.state.batch.length];
    },
    [2, ['5'], 0],
    [2, [], 1],
  ],
  'vmm.batch-overtaken': [
    (o) => {
      const v = translating({ ...o, batch: 4 });
      v.pasidEntry('nic0', 0);
      v.post(page({ DID: 2 }), encodeDescriptor('PC_INV', { G: 1, DID: 2 }), wait);
      return calls(v);
    },
    ['HWPT_INVALIDATE', 'DETACH_IOMMUFD_PT', 'DESTROY'],
    ['DETACH_IOMMUFD_PT', 'DESTROY', 'HWPT_INVALIDATE'],
  ],
  'vmm.batch-error-drops-rest': [
    (o) => {
      const v = translating({ ...o, batch: 4 });
      v.kernel.answers.set('IOMMU_HWPT_INVALIDATE', { errno: 'EINVAL', out: { entry_num: 0 } });
      v.post(page({ DID: 2 }), page({ DID: 2, ADDR: 0x9000n }), wait);
      return v.kernel.invalidations;
    },
    [['0x9000 0x1 0']],
    [],
  ],

  'vmm.reserved-unchecked': [queued([0x37n, 0x1000n, 0n, 0n]), [0x10n, 0n, 0], [0n, 0x40n, 2]],
  'vmm.wide-in-narrow-queue': [queued([0x26n, 0n], false), [0x10n, 0n, 0], [0n, 0x20n, 2]],
  'vmm.type-of-four-bits': [queued([0x237n, 0n, 0n, 0n]), [0x10n, 0n, 0], [0n, 0x40n, 2]],
  'vmm.am-unchecked': [queued([0x20036n, 0x13n, 0n, 0n]), [0x10n, 0n, 0], [0n, 0x40n, 2]],
  'vmm.iqe-skips': [queued([0xan, 0n, 0n, 0n]), [0x10n, 0n, 0], [0n, 0x40n, 2]],
  'vmm.iqa-width-unread': [(o) => translating(o).read('IQA_REG'), 0x40000801n, 0x40000001n],
  'vmm.iqe-clear-restarts': [
    (o) => {
      const v = translating(o);
      v.post([0xan, 0n, 0n, 0n], wait);
      v.memory.writeWord(0x40000000, 4n);
      v.write('FSTS_REG', 0x10);
      return v.status();
    },
    0,
    2,
  ],

  'vmm.pc-forgotten': [changed((v) => v.pasidEntry('nic0', 5), { G: 1, DID: 3, PASID: 5 }, bound), [0, 6], [0, 5, 6]],
  'vmm.pc-selective-only': [changed((v) => v.pasidEntry('nic0', 5), { G: 3 }, bound), [0, 6], [0, 5, 6]],
  'vmm.pc-did-unchecked': [
    changed((v) => v.firstStage('nic0', 9, 4, 0x40600000), { G: 0, DID: 3 }, bound),
    [0, 5, 6],
    [0, 5, 6, 9],
  ],
  'vmm.pc-any-binding': [changed((v) => v.pasidEntry('nic0', 5), { G: 0, DID: 2 }, bound), [0, 5, 6], [0, 6]],
  'vmm.no-replace': [
    changed((v) => v.firstStage('nic0', 5, 3, 0x40600000), { G: 1, DID: 3, PASID: 5 }, calls),
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    [],
  ],
  'vmm.replace-by-table-only': [
    (o) => {
      const v = severalBindings(o);
      v.firstStage('nic0', 5, 4, 0x40500000);
      v.flush('PC_INV', { G: 1, DID: 4, PASID: 5 });
      v.kernel.take();
      v.flush('P_IOTLB_INV', { G: 2, DID: 4, PASID: 5 });
      return hwpts(v);
    },
    ['9'],
    [],
  ],
  'vmm.pasid0-not-needed': [
    changed((v) => v.pasidEntry('nic0', 0), { G: 1, DID: 3, PASID: 5 }, bound),
    [0, 6],
    [0, 5, 6],
  ],
  'vmm.cc-device-rebinds': [
    (o) => {
      const v = severalBindings(o);
      v.pasidEntry('nic0', 5);
      v.flush('CC_INV', { G: 3, SID: 8 });
      return bound(v);
    },
    [0, 5, 6],
    [0, 6],
  ],
  'vmm.cc-global-local': [
    (o) => {
      const v = severalBindings(o);
      v.pasidEntry('nic0', 5);
      v.flush('CC_INV', { G: 1 });
      return bound(v);
    },
    [0, 6],
    [0, 5, 6],
  ],
  'vmm.no-replay-at-te': [(o) => bound(severalBindings(o)), [0, 5, 6], []],
  'vmm.te-blocks-unbound': [
    (o) => {
      const v = plugged(o);
      v.firstStage('nic1', 0, 2, 0x40500000);
      v.boot();
      return calls(v);
    },
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT'],
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DETACH_IOMMUFD_PT'],
  ],
  'vmm.te-off-detaches': [
    (o) => {
      const v = severalBindings(o);
      v.write('GCMD_REG', 0x04000000);
      return bound(v);
    },
    [0, 5, 6],
    [],
  ],
  'vmm.pass-through-refused': [
    (o) => {
      const v = translating(o);
      v.pasidEntry('nic0', 0, 0x109n, 1n);
      v.flush('PC_INV', { G: 1, DID: 1 });
      return calls(v);
    },
    ['ATTACH_IOMMUFD_PT', 'DESTROY'],
    [],
  ],
  'vmm.table-address-unmasked': [
    changed(
      (v) => v.pasidEntry('nic0', 9, 0x49n, 3n, 0x40600011n),
      { G: 0, DID: 3 },
      (v) => v.kernel.take()[0],
    ),
    'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=5,0x40600000,48',
    'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=5,0x40600011,48',
  ],
  'vmm.supervisor-flags-lost': [
    changed(
      (v) => v.pasidEntry('nic0', 9, 0x49n, 3n, 0x40600011n),
      { G: 0, DID: 3 },
      (v) => v.kernel.take()[0],
    ),
    'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=5,0x40600000,48',
    'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,48',
  ],
  'vmm.width-from-aw': [
    changed(
      (v) => v.pasidEntry('nic0', 9, 0x41n, 3n, 0x40600000n),
      { G: 0, DID: 3 },
      (v) => v.kernel.take()[0],
    ),
    'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,48',
    'HWPT_ALLOC flags=8 dev_id=2 pt_id=3 s1=0,0x40600000,30',
  ],
  'vmm.destroy-before-attach': [
    changed((v) => v.firstStage('nic0', 5, 3, 0x40600000), { G: 1, DID: 3, PASID: 5 }, calls),
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    ['HWPT_ALLOC', 'DESTROY', 'ATTACH_IOMMUFD_PT'],
  ],
  'vmm.detach-before-attach': [
    changed((v) => v.firstStage('nic0', 5, 3, 0x40600000), { G: 1, DID: 3, PASID: 5 }, calls),
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    ['HWPT_ALLOC', 'DETACH_IOMMUFD_PT', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
  ],
  'vmm.failed-attach-leaks': [
    changed(
      (v) => {
        v.firstStage('nic0', 9, 3, 0x40600000);
        v.kernel.answers.set('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { errno: 'EINVAL' });
      },
      { G: 0, DID: 3 },
      calls,
    ),
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT'],
  ],
  'vmm.unbind-to-parent': [
    changed(
      (v) => v.pasidEntry('nic0', 0),
      { G: 1, DID: 2 },
      (v) => v.kernel.take()[0],
    ),
    'DETACH_IOMMUFD_PT',
    'ATTACH_IOMMUFD_PT pt_id=3',
  ],

  'vmm.reset-register-only': [
    (o) => {
      const v = severalBindings(o);
      v.run(v.vmm.reset());
      return [bound(v), v.read('GSTS_REG')];
    },
    [[], 0n],
    [[0, 5, 6], 0n],
  ],
  'vmm.registers-survive-reset': [
    (o) => {
      const v = severalBindings(o);
      v.run(v.vmm.reset());
      return [bound(v), v.read('GSTS_REG')];
    },
    [[], 0n],
    [[0, 5, 6], 0xc4000000n],
  ],
  'vmm.parent-not-shared': [(o) => plugged(o).vmm.state.parents.map((p) => p.users), [2], [1, 1]],
  'vmm.parent-einval-fatal': [
    (o) => {
      const v = vmmOnRecorder(o);
      v.run(v.vmm.start());
      v.run(v.vmm.plug('nic0'));
      v.kernel.answers.set('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { errno: 'EINVAL' });
      return v.run(v.vmm.plug('nic1')).ok;
    },
    true,
    false,
  ],
  'vmm.unplug-forgets-bindings': [
    (o) => {
      const v = translating(o);
      v.run(v.vmm.unplug('nic0'));
      return calls(v);
    },
    ['ATTACH_IOMMUFD_PT', 'DESTROY', 'DETACH_IOMMUFD_PT', 'close'],
    ['DETACH_IOMMUFD_PT', 'close'],
  ],
  'vmm.fault-pasid-whole': [
    requested(
      null,
      (v) => (v.read('FRCD_REG0_HI') >> 40n) & 0xfffffn,
      (v) => {
        const d = v.vmm.units[0]!.deviceOf('nic0')!;
        const b = d.bindings.find((x) => x.pasid === 5)!;
        d.bindings = [{ ...b, pasid: 0x51234 }];
        v.memory.writeWord(0x40100000, 0n);
      },
    ),
    0x1234n,
    0x51234n,
  ],
  'vmm.request-page-kept': [requested(null, (v) => v.kernel.invalidations.splice(0)), [['0x7f0012345000 0x1 0']], []],
  'vmm.request-never-last': [requested(null, (v) => v.prq(0)[1]! & 4n), 4n, 0n],
  'vmm.request-write-lost': [requested(null, (v) => v.prq(0)[1]! & 3n), 3n, 1n],
  'vmm.lost-group-answered': [
    requested(
      null,
      (v) => v.kernel.responses,
      (v) => v.context('nic0', false),
    ),
    [],
    [{ cookie: 41, code: 1 }],
  ],
  'vmm.response-dropped': [requested(0, (v) => v.kernel.responses), [{ cookie: 41, code: 0 }], []],
  'vmm.response-always-success': [
    requested(1, (v) => v.kernel.responses),
    [{ cookie: 41, code: 1 }],
    [{ cookie: 41, code: 0 }],
  ],
  'vmm.response-failure-as-invalid': [
    requested(15, (v) => v.kernel.responses),
    [{ cookie: 41, code: 2 }],
    [{ cookie: 41, code: 1 }],
  ],
  'vmm.response-without-pasid': [queued([0x80009n, 0x38n, 0n, 0n]), [0x10n, 0n, 0], [0n, 0x40n, 2]],
};

describe('deviations of the VMM', () => {
  it.each(vmmDeviations.map((d) => d.name))('%s', (name) => {
    const scenario = scenarios[name];
    if (!scenario) throw new Error('no scenario');
    const [play, usual, different] = scenario;
    expect(play({})).toEqual(usual);
    expect(play({ deviations: [name] })).toEqual(different);
  });

  it('have one name each, and text', () => {
    expect(new Set(vmmDeviations.map((d) => d.name)).size).toBe(vmmDeviations.length);
    for (const d of vmmDeviations) expect(d.about).toMatch(/^[^\n]{30,}\.$/);
    expect(Object.keys(scenarios)).toHaveLength(vmmDeviations.length);
    expect(() => vmmRulesWith(['vmm.nonsense'])).toThrow('no deviation is named vmm.nonsense');
    expect(vmmRulesWith(['host.nonsense'])).toBeDefined();
  });
});
