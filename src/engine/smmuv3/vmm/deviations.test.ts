import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../layout/index.ts';
import { vmmDeviations, vmmRulesWith } from './deviations.ts';
import { bootedMachine } from './real-machine.ts';
import { plugged, type RecorderOptions, translating, vmmOnRecorder } from './recording-kernel.ts';
import { vmmRules } from './rules.ts';

type Recorder = ReturnType<typeof vmmOnRecorder>;

/** A small scenario: what is seen of it with QEMU's rules, and with the deviation. */
interface Effect {
  readonly options?: RecorderOptions;
  run(v: Recorder): unknown;
  readonly from?: (o: RecorderOptions) => Recorder;
  readonly right: unknown;
  readonly wrong: unknown;
}

const atc = encodeCommand('ATC_INV', { SID: 8, Size: 52 });
const cd = encodeCommand('CFGI_CD', { SID: 8, Leaf: 1 });
const asid = (n: number) => encodeCommand('TLBI_NH_ASID', { ASID: n });
const cfgi = encodeCommand('CFGI_STE', { SID: 8, Leaf: 1 });
const all = encodeCommand('CFGI_ALL', {});
const sync = encodeCommand('SYNC', { CS: 2 });
const range = (address: bigint, NUM: number, TG = 1) =>
  encodeCommand('TLBI_NH_VA', { ASID: 1, Address: address, NUM, TG, Leaf: 1 });

/** Opcodes that reached the kernel. */
const forwarded = (v: Recorder): string[] => v.kernel.invalidations.flat().map((c) => c.slice(14, 16));
const raw = (v: Recorder): string[] => v.kernel.invalidations.flat();
const calls = (v: Recorder): string[] => v.kernel.take().map((c) => c.split(' ')[0]!);
const cerror = (v: Recorder): bigint => v.vmm.readVirtual('CMDQ_CONS') >> 24n;
const posting =
  (...commands: bigint[][]) =>
  (v: Recorder): string[] => {
    v.post(...commands);
    return forwarded(v);
  };
/** Without ATS on the host, so that the vSMMU has none. */
const withoutAts = (o: RecorderOptions): Recorder => {
  const v = vmmOnRecorder(o);
  v.kernel.idr[0]! &= ~0x400;
  v.run(v.vmm.start());
  v.run(v.vmm.plug('nic0'));
  v.enableQueue();
  v.post(all);
  v.kernel.take();
  return v;
};
const fault = (cookie: number) => ({ flags: 2, dev_id: 2, perm: 2, addr: 0x1000n, cookie });
const stalls = { pageFaults: 'forwarded' } as const;
/** Faults given to the VMM, event queue of two entries. */
const faulted = (v: Recorder, ...cookies: number[]): void => {
  v.write('EVENTQ_BASE', 0x40200001n);
  v.write('CR0', 0xd);
  v.kernel.faults.push(...cookies.map(fault));
  v.run(v.vmm.pollEvents());
};
const resume = (v: Recorder, stag: number, more: object = { Ac: 1 }): unknown[] => {
  v.post(encodeCommand('RESUME', { SID: 8, STAG: stag, ...more }));
  return v.kernel.responses;
};

const effects: Readonly<Record<string, Effect>> = {
  'vmm.no-forward-atc': { run: posting(atc, asid(1)), right: ['40', '11'], wrong: ['11'] },
  'vmm.no-forward-cd': { run: posting(cd, asid(1)), right: ['05', '11'], wrong: ['11'] },
  'vmm.forward-by-address-only': { run: posting(asid(1), range(0x1000n, 0)), right: ['11', '12'], wrong: ['12'] },
  'vmm.atc-inv-unchecked': { from: withoutAts, run: posting(atc), right: [], wrong: ['40'] },
  'vmm.atc-inv-strict': {
    from: withoutAts,
    run: (v) => {
      v.post(atc);
      return cerror(v);
    },
    right: 0n,
    wrong: 1n,
  },
  'vmm.range-as-mask': {
    // real-bugs.md VMM-01: 32 pages from 0xff395000.
    run: (v) => {
      v.post(range(0xff395000n, 31));
      return raw(v).map((c) => c.slice(17));
    },
    right: ['00000000ff395401'],
    wrong: ['00000000ff380401'],
  },
  'vmm.granule-as-shift': {
    run: (v) => {
      v.post(range(0xff380000n, 31));
      return raw(v).map((c) => (Number.parseInt(c.slice(11, 14), 16) >> 4) & 0x1f);
    },
    right: [31],
    wrong: [0],
  },
  'vmm.all-asids-by-key': {
    run: (v) => {
      v.post(encodeCommand('TLBI_NH_VAA', { Address: 0x1000n, TTL: 3, TG: 1 }));
      return raw(v).map((c) => [c.slice(0, 4), c.slice(14, 16)]);
    },
    right: [['0000', '13']],
    wrong: [['0000', '12']],
  },
  'vmm.batch-across-sync': {
    options: { batch: 4 },
    run: (v) => {
      v.post(asid(1), sync);
      return [forwarded(v), v.vmm.readVirtual('CMDQ_CONS')];
    },
    right: [['11'], 3n],
    wrong: [[], 3n],
  },
  'vmm.batch-overtaken': {
    options: { batch: 4 },
    run: (v) => {
      v.post(asid(1), cfgi);
      return calls(v);
    },
    right: ['HWPT_INVALIDATE', 'HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    wrong: ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY', 'HWPT_INVALIDATE'],
  },
  'vmm.batch-trusts-index': {
    options: { batch: 4 },
    // The kernel converts two commands, refuses the third and issues none (arm-smmuv3.md 5.5).
    run: (v) => {
      v.kernel.answers.set('IOMMU_HWPT_INVALIDATE', { errno: 'EIO', out: { entry_num: 2 } });
      v.post(asid(1), asid(2), cd, sync);
      return forwarded(v);
    },
    right: ['11', '11', '05'],
    wrong: [],
  },
  'vmm.sync-cs3-illegal': {
    run: (v) => {
      v.post([0x3046n, 0n]);
      return cerror(v);
    },
    right: 0n,
    wrong: 1n,
  },
  'vmm.cfgi-range-local': {
    run: (v) => {
      v.ste(8, 0x4820000bn, 0xd6n);
      v.post(all);
      return calls(v);
    },
    right: ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    wrong: [],
  },
  'vmm.cfgi-range-unaligned': {
    run: (v) => {
      v.post(encodeCommand('CFGI_STE_RANGE', { SID: 9, Range: 2 }));
      return calls(v).length;
    },
    right: 3,
    wrong: 0,
  },
  'vmm.cfgi-all-overflow': {
    run: (v) => {
      v.post(all);
      return calls(v).length;
    },
    right: 3,
    wrong: 0,
  },
  'vmm.abort-as-bypass': {
    run: (v) => {
      v.ste(8, 0n, 0n);
      v.post(cfgi);
      return v.kernel.take()[0];
    },
    right: 'ATTACH_IOMMUFD_PT pt_id=5',
    wrong: 'ATTACH_IOMMUFD_PT pt_id=6',
  },
  'vmm.ste-unmasked': {
    run: (v) => {
      v.ste(8, 0x4810000bn, 0x1000000000d6n);
      v.post(cfgi);
      return v.kernel.take()[0]!.split('ste=')[1];
    },
    right: '0x4810000b,0xd6',
    wrong: '0x4810000b,0x1000000000d6',
  },
  'vmm.ste-fields-shifted': {
    run: (v) => {
      v.ste(8, 0x4810000bn, 0x100000d6n);
      v.post(cfgi);
      return v.kernel.take()[0]!.split('ste=')[1];
    },
    right: '0x4810000b,0x100000d6',
    wrong: '0x4810000b,0x80000d6',
  },
  'vmm.no-vdevice': {
    from: plugged,
    run: (v) => {
      v.post(all);
      return calls(v);
    },
    right: ['VDEVICE_ALLOC', 'ATTACH_IOMMUFD_PT'],
    wrong: ['ATTACH_IOMMUFD_PT'],
  },
  'vmm.destroy-before-attach': {
    run: (v) => {
      v.post(cfgi);
      return calls(v);
    },
    right: ['HWPT_ALLOC', 'ATTACH_IOMMUFD_PT', 'DESTROY'],
    wrong: ['HWPT_ALLOC', 'DESTROY', 'ATTACH_IOMMUFD_PT'],
  },
  'vmm.gbpa-register-only': {
    run: (v) => {
      v.write('GBPA', 0x80101000n);
      return [calls(v), v.vmm.readVirtual('GBPA')];
    },
    right: [['ATTACH_IOMMUFD_PT'], 0x101000n],
    wrong: [[], 0x101000n],
  },
  'vmm.smmuen-moves-devices': {
    run: (v) => {
      v.write('CR0', 0xc);
      return v.kernel.take();
    },
    right: [],
    wrong: ['ATTACH_IOMMUFD_PT pt_id=6'],
  },
  'vmm.reset-register-only': {
    run: (v) => {
      v.run(v.vmm.reset());
      return v.vmm.units[0]!.deviceOf('nic0')!.hwpt;
    },
    right: 6,
    wrong: 9,
  },
  'vmm.registers-survive-reset': {
    run: (v) => {
      v.run(v.vmm.reset());
      return [v.vmm.readVirtual('CR0'), v.vmm.readVirtual('CMDQ_PROD')];
    },
    right: [0n, 0n],
    wrong: [0xdn, 1n],
  },
  'vmm.cons-read-only': {
    // A second driver, without a machine reset between: what is left in the ring is run again.
    run: (v) => {
      v.post(asid(1), asid(2));
      v.write('CR0', 0);
      v.write('CMDQ_PROD', 0);
      v.write('CMDQ_CONS', 0);
      v.kernel.invalidations.length = 0;
      v.write('CR0', 8);
      return [v.vmm.readVirtual('CMDQ_CONS') & 0xffffn, cerror(v)];
    },
    right: [0n, 0n],
    wrong: [3n, 1n],
  },
  'vmm.parent-not-shared': {
    run: (v) => {
      v.run(v.vmm.plug('nic1'));
      return v.vmm.state.parents.length;
    },
    right: 1,
    wrong: 2,
  },
  'vmm.parent-einval-fatal': {
    run: (v) => {
      v.kernel.refuse = (call, input) => (/ATTACH/.test(call) && input['pt_id'] === 3 ? 'EINVAL' : null);
      return v.run(v.vmm.plug('nic1')).ok;
    },
    right: true,
    wrong: false,
  },
  'vmm.vdevice-leaked': {
    run: (v) => {
      v.run(v.vmm.unplug('nic0'));
      return v.kernel.take().filter((c) => c.startsWith('DESTROY id=8')).length;
    },
    right: 1,
    wrong: 0,
  },
  'vmm.empty-read-is-event': {
    run: (v) => {
      v.write('EVENTQ_BASE', 0x40200004n);
      v.run(v.vmm.pollEvents());
      return v.vmm.readVirtual('EVENTQ_PROD');
    },
    right: 0n,
    wrong: 1n,
  },
  'vmm.stall-bit-lost': {
    options: stalls,
    run: (v) => {
      faulted(v, 1);
      return (v.memory.readWord(0x40200008) >> 31n) & 1n;
    },
    right: 1n,
    wrong: 0n,
  },
  'vmm.stag-reused': {
    options: stalls,
    // The fault goes with its attachment; the guest then answers the old record while a new fault waits.
    run: (v) => {
      faulted(v, 1);
      v.post(cfgi);
      v.kernel.faults.push(fault(1));
      v.run(v.vmm.pollEvents());
      return resume(v, 0).length;
    },
    right: 0,
    wrong: 1,
  },
  'vmm.stall-dropped-when-full': {
    options: stalls,
    run: (v) => {
      faulted(v, 1, 2, 3);
      v.write('EVENTQ_CONS', 2);
      return v.vmm.readVirtual('EVENTQ_PROD');
    },
    right: 3n,
    wrong: 2n,
  },
  'vmm.resume-dropped': {
    options: stalls,
    run: (v) => {
      faulted(v, 1);
      return resume(v, 0);
    },
    right: [{ cookie: 1, code: 0 }],
    wrong: [],
  },
  'vmm.resume-always-success': {
    options: stalls,
    run: (v) => {
      faulted(v, 1);
      return resume(v, 0, { Ac: 0, Ab: 1 });
    },
    right: [{ cookie: 1, code: 1 }],
    wrong: [{ cookie: 1, code: 0 }],
  },
  'vmm.stall-term-dropped': {
    options: stalls,
    run: (v) => {
      faulted(v, 1);
      v.post(encodeCommand('STALL_TERM', { SID: 8 }));
      return v.kernel.responses;
    },
    right: [{ cookie: 1, code: 1 }],
    wrong: [],
  },
  'vmm.faults-kept': {
    options: stalls,
    run: (v) => {
      faulted(v, 1);
      v.post(cfgi);
      return resume(v, 0);
    },
    right: [],
    wrong: [{ cookie: 1, code: 0 }],
  },
};

describe('deviations', () => {
  it('every rule has one, and every one has a scenario here', () => {
    expect(new Set(vmmDeviations.map((d) => d.rule))).toEqual(new Set(Object.keys(vmmRules)));
    expect(Object.keys(effects).sort()).toEqual(vmmDeviations.map((d) => d.name).sort());
    for (const d of vmmDeviations) {
      expect(d.name).toMatch(/^vmm\.[a-z0-9-]+$/);
      expect(d.about).toMatch(/^[A-Z].*[.]$/s);
    }
  });

  it.each(Object.entries(effects))('%s', (name, e) => {
    const from = e.from ?? translating;
    expect(e.run(from(e.options ?? {}))).toEqual(e.right);
    expect(e.run(from({ ...e.options, deviations: [name] }))).toEqual(e.wrong);
  });

  it('names of other actors are skipped, unknown ones of this one are refused', () => {
    expect(vmmRulesWith(['guest.whatever'])).toEqual(vmmRules);
    expect(() => vmmRulesWith(['vmm.whatever'])).toThrow(
      /no deviation is named vmm.whatever; known: vmm.no-forward-atc/,
    );
  });
});

/** On the real kernel and SMMU: the device still gets an answer that a fresh walk would not give. */
describe('what a lost or late command leaves behind', () => {
  const GPA = 0x40200000;
  const stale = (deviations: string[], batch = 1): boolean => {
    const m = bootedMachine({ devices: [{ name: 'nic0', rid: 0x108, vrid: 8 }], deviations, batch });
    const { guest } = m.guests[0]!;
    m.step(guest.attach({ device: 'nic0', domain: 'dma0' }));
    m.step(guest.map({ domain: 'dma0', iova: 0xff395000, gpa: GPA, size: 64 * 4096 }));
    for (let i = 0; i < 64; i++) m.dma('nic0', 0xff395000n + BigInt(i * 4096));
    m.run(guest.unmap({ domain: 'dma0', iova: 0xff395000, size: 64 * 4096, flush: 'none' }));
    m.run(guest.invalidate(encodeCommand('TLBI_NH_VA', { ASID: 1, Address: 0xff395000n, NUM: 31, TG: 1 })));
    m.run(guest.invalidate(encodeCommand('TLBI_NH_VA', { ASID: 1, Address: 0xff3b5000n, NUM: 31, TG: 1 })));
    // All is unmapped: whatever still gets through was not invalidated.
    return Array.from({ length: 64 }, (_, i) => m.dma('nic0', 0xff395000n + BigInt(i * 4096))).some((r) => r.ok);
  };

  it('nothing with QEMU’s rules, with batches neither', () => {
    expect(stale([])).toBe(false);
    expect(stale([], 16)).toBe(false);
  });

  it.each(['vmm.range-as-mask', 'vmm.granule-as-shift'])('%s', (name) => {
    expect(stale([name])).toBe(true);
  });

  it('vmm.batch-across-sync', () => {
    expect(stale(['vmm.batch-across-sync'], 16)).toBe(true);
  });
});
