import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../trace/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { plugged, translating, vmmOnRecorder } from './recording-kernel.ts';

const words = (c: bigint[]): string => c.map((w) => w.toString(16).padStart(16, '0')).join(' ');

describe('other commands, arm-smmuv3.md 8.4', () => {
  const forwarded = [
    encodeCommand('CFGI_CD', { SID: 8, Leaf: 1 }),
    encodeCommand('CFGI_CD_ALL', { SID: 8 }),
    encodeCommand('TLBI_NH_ALL', {}),
    encodeCommand('TLBI_NH_ASID', { ASID: 1 }),
    encodeCommand('TLBI_NH_VA', { ASID: 1, Address: 0xfffff000n, Leaf: 1, TG: 1, TTL: 3 }),
    encodeCommand('TLBI_NH_VAA', { Address: 0x1000n }),
    encodeCommand('TLBI_NSNH_ALL', {}),
    encodeCommand('ATC_INV', { SID: 8, Size: 52 }),
  ];
  const consumed = [
    'PREFETCH_CONFIG',
    'PREFETCH_ADDR',
    'SYNC',
    'TLBI_EL2_ALL',
    'TLBI_EL2_ASID',
    'TLBI_EL2_VA',
    'TLBI_EL2_VAA',
    'TLBI_EL3_ALL',
    'TLBI_EL3_VA',
    'PRI_RESP',
    'RESUME',
    'STALL_TERM',
  ].map((n) => encodeCommand(n, {}));
  const illegal = [
    ...['TLBI_S12_VMALL', 'TLBI_S2_IPA', 'CFGI_VMS_PIDM', 'TLBI_SNH_ALL'].map((n) => encodeCommand(n, {})),
    [0xffn, 0n],
    [0n, 0n],
    encodeCommand('CFGI_STE', { SID: 8, SSec: 1 }),
    encodeCommand('CFGI_CD', { SID: 8, SSec: 1 }),
  ];

  it('forwards each as it is, one ioctl a command', () => {
    const v = translating();
    v.post(...forwarded);
    expect(v.kernel.invalidations).toEqual(forwarded.map((c) => [words(c)]));
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(v.vmm.readVirtual('CMDQ_PROD'));
  });

  it.each(consumed.map((c) => [words(c), c] as const))('consumes %s', (_t, c) => {
    const v = translating();
    v.post(c);
    expect(v.kernel.take()).toEqual([]);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(2n);
  });

  it.each(illegal.map((c) => [words(c), c] as const))('refuses %s', (_t, c) => {
    const v = translating();
    v.post(c);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(0x01000001n);
    expect(v.vmm.readVirtual('GERROR')).toBe(1n);
  });

  it('drops what names a StreamID without device or vDEVICE', () => {
    const v = plugged();
    v.post(encodeCommand('CFGI_CD', { SID: 8 }), encodeCommand('ATC_INV', { SID: 9, Size: 52 }));
    expect(v.kernel.take()).toEqual([]);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(2n);
  });

  it('without IDR0.ATS an ATC_INV goes nowhere', () => {
    const v = vmmOnRecorder();
    v.kernel.idr[0]! &= ~0x400;
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    v.enableQueue();
    v.post(encodeCommand('CFGI_ALL', {}));
    v.kernel.take();
    v.post(encodeCommand('ATC_INV', { SID: 8, Size: 52 }));
    expect(v.kernel.take()).toEqual([]);
  });

  it('without a device nothing is forwarded', () => {
    const v = vmmOnRecorder();
    v.run(v.vmm.start());
    v.enableQueue();
    v.kernel.take();
    v.post(...forwarded);
    expect(v.kernel.take()).toEqual([]);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(8n);
  });

  it('stops at an error until GERRORN acknowledges it', () => {
    const v = translating();
    const asid = encodeCommand('TLBI_NH_ASID', { ASID: 1 });
    v.post(asid, [0xffn, 0n], asid);
    expect(v.kernel.invalidations).toHaveLength(1);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(0x01000002n);
    v.write('CMDQ_PROD', v.vmm.readVirtual('CMDQ_PROD'));
    expect(v.kernel.invalidations).toHaveLength(1);
    v.memory.writeWord(0x40000000 + 2 * 16, 0x0fc02046n);
    v.write('GERRORN', 1);
    expect(v.kernel.invalidations).toHaveLength(2);
    expect(v.vmm.readVirtual('CMDQ_CONS') & 0xffffffn).toBe(4n);
  });

  it('a queue outside guest memory is an abort on fetch', () => {
    const v = translating();
    v.write('CR0', 0);
    v.write('CMDQ_BASE', 0x10000008n);
    v.write('CMDQ_PROD', 3);
    v.write('CR0', 8);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(0x02000001n);
  });

  it('survives any register value', () => {
    for (const value of [0n, 0xffffffffn, 0xffffffffffffffffn, 0x80000005n]) {
      const v = translating();
      for (const reg of ['CMDQ_BASE', 'CMDQ_PROD', 'CMDQ_CONS', 'EVENTQ_BASE', 'STRTAB_BASE', 'STRTAB_BASE_CFG', 'CR1'])
        v.write(reg, value);
      v.write('CR0', 0xd);
      v.write('GERRORN', value);
      v.write('GBPA', value);
      v.write('NO_SUCH_REGISTER', value);
      expect(v.vmm.readVirtual('NO_SUCH_REGISTER')).toBe(0n);
    }
  });
});

describe('policy batch', () => {
  const asid = (n: number) => encodeCommand('TLBI_NH_ASID', { ASID: n });
  const sync = encodeCommand('SYNC', { CS: 2 });

  it('collects up to n, and sends at a SYNC, at a command of its own, and at the end of the queue', () => {
    const v = translating({ batch: 3 });
    v.post(asid(1), asid(2), asid(3), asid(4), sync, asid(5), encodeCommand('CFGI_STE', { SID: 8, Leaf: 1 }), asid(6));
    expect(v.kernel.invalidations.map((b) => b.length)).toEqual([3, 1, 1, 1]);
    const calls = v.kernel.take().map((s) => s.split(' ')[0]);
    expect(calls).toEqual([
      'HWPT_INVALIDATE',
      'HWPT_INVALIDATE',
      'HWPT_INVALIDATE',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
      'DESTROY',
      'HWPT_INVALIDATE',
    ]);
  });

  it('sends a refused batch again, command by command: CONS ends at the one that fails by itself', () => {
    const v = translating({ batch: 8 });
    const bad = encodeCommand('CFGI_CD', { SID: 8, SSID: 3 });
    v.kernel.refuse = (call, input) => {
      const entries = (input['entries'] ?? []) as { cmd: bigint[] }[];
      return call === 'IOMMU_HWPT_INVALIDATE' && entries.some((e) => e.cmd[0] === bad[0]) ? 'EIO' : null;
    };
    v.post(asid(1), asid(2), bad, asid(4), sync);
    expect(v.kernel.invalidations).toEqual([[words(asid(1))], [words(asid(2))]]);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(0x01000003n);
    expect(v.vmm.readVirtual('GERROR')).toBe(1n);
    v.kernel.refuse = () => null;
    v.write('GERRORN', 1);
    expect(v.kernel.invalidations[2]).toEqual([words(bad), words(asid(4))]);
    expect(v.vmm.readVirtual('CMDQ_CONS') & 0xffffffn).toBe(6n);
  });
});

describe('events', () => {
  const record = (sequence: number, low = 0x10n) => ({
    flags: 0,
    sequence,
    evt: [low | (8n << 32n), 0x20000000000n, 0xfffff040n, 0n],
  });

  it('are written into the guest’s queue', () => {
    const v = plugged();
    v.write('EVENTQ_BASE', 0x40200004n);
    v.write('CR0', 0xd);
    expect(v.kernel.take()).toEqual(['VEVENTQ_ALLOC viommu_id=4 veventq_depth=16']);
    v.kernel.events.push(record(0), record(1));
    const seen: TraceEvent[] = [];
    v.trace.listener = (e) => seen.push(e);
    v.run(v.vmm.pollEvents());
    expect(v.vmm.readVirtual('EVENTQ_PROD')).toBe(2n);
    expect(v.vmm.irq.evtq).toBe(true);
    expect([0, 8, 16, 24].map((o) => v.memory.readWord(0x40200020 + o))).toEqual([
      0x0000000800000010n,
      0x0000020000000000n,
      0xfffff040n,
      0n,
    ]);
    expect(seen.filter((e) => e.kind === 'guest.event')).toHaveLength(2);
  });

  it('a full or disabled queue loses them, and GERROR says so once', () => {
    const v = plugged();
    v.write('EVENTQ_BASE', 0x40200001n);
    v.write('CR0', 0xd);
    v.kernel.events.push(record(0), record(1), record(2), record(5));
    v.run(v.vmm.pollEvents());
    expect(v.vmm.readVirtual('EVENTQ_PROD')).toBe(2n);
    expect(v.vmm.readVirtual('GERROR')).toBe(4n);
    expect(v.vmm.state.errors).toEqual(['vEVENTQ(type 1 id 7): lost 2 event(s)']);
  });
});

describe('injection and deviations', () => {
  const atc = encodeCommand('ATC_INV', { SID: 8, Size: 52 });

  it('drops and changes commands on their way into the ioctl', () => {
    const v = translating();
    v.injector.active.push({ at: 'vmm.forward', action: 'drop', count: 1, xor: [0n, 0n] });
    v.post(atc, atc);
    expect(v.kernel.invalidations).toHaveLength(1);
    v.injector.active.push({ at: 'vmm.forward', action: 'corrupt', count: 1, xor: [1n << 32n, 0n] });
    v.post(atc);
    expect(v.kernel.invalidations[1]).toEqual(['0000000900000040 0000000000000034']);
  });

  it('vmm.no-forward-atc, vmm.no-forward-cd, vmm.forward-by-address-only', () => {
    const all = [
      atc,
      encodeCommand('CFGI_CD', { SID: 8, Leaf: 1 }),
      encodeCommand('TLBI_NH_ASID', { ASID: 1 }),
      encodeCommand('TLBI_NH_VA', { ASID: 1 }),
    ];
    const left = (name: string): string[] => {
      const v = translating({ deviations: [name] });
      v.post(...all);
      return v.kernel.invalidations.map((b) => b[0]!.slice(14, 16));
    };
    expect(left('vmm.no-forward-atc')).toEqual(['05', '11', '12']);
    expect(left('vmm.no-forward-cd')).toEqual(['40', '11', '12']);
    expect(left('vmm.forward-by-address-only')).toEqual(['40', '05', '12']);
  });

  it('vmm.cfgi-range-local and vmm.cfgi-range-unaligned', () => {
    const local = translating({ deviations: ['vmm.cfgi-range-local'] });
    local.post(encodeCommand('CFGI_ALL', {}));
    expect(local.kernel.take()).toEqual([]);
    const range = encodeCommand('CFGI_STE_RANGE', { SID: 9, Range: 2 });
    const right = translating();
    right.post(range);
    expect(right.kernel.take()).not.toEqual([]);
    const unaligned = translating({ deviations: ['vmm.cfgi-range-unaligned'] });
    unaligned.post(range);
    expect(unaligned.kernel.take()).toEqual([]);
  });

  it('vmm.ste-unmasked, vmm.gbpa-register-only, vmm.smmuen-moves-devices', () => {
    const raw = plugged({ deviations: ['vmm.ste-unmasked'] });
    raw.write('CR0', 0xd);
    raw.ste(8, 0x4810000bn, 0x1000000000d6n);
    raw.post(encodeCommand('CFGI_STE', { SID: 8, Leaf: 1 }));
    expect(raw.kernel.take()).toContain('HWPT_ALLOC dev_id=2 pt_id=4 ste=0x4810000b,0x1000000000d6');
    const gbpa = translating({ deviations: ['vmm.gbpa-register-only'] });
    gbpa.write('GBPA', 0x80101000n);
    expect(gbpa.kernel.take()).toEqual([]);
    const moved = translating({ deviations: ['vmm.smmuen-moves-devices'] });
    moved.write('CR0', 0xc);
    expect(moved.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=6']);
  });
});
