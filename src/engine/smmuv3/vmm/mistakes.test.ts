import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../layout/index.ts';
import { plugged, translating } from './recording-kernel.ts';

const asid = (n: number) => encodeCommand('TLBI_NH_ASID', { ASID: n });
const cfgi = (SID = 8) => encodeCommand('CFGI_STE', { SID, Leaf: 1 });
const CERROR_ILL = 1n;
const CERROR_ABT = 2n;

type V = ReturnType<typeof plugged>;
const cons = (v: V): bigint => v.vmm.readVirtual('CMDQ_CONS') & 0xffffffn;
const error = (v: V): bigint => v.vmm.readVirtual('CMDQ_CONS') >> 24n;
const device = (v: V, name = 'nic0') => v.vmm.units[0]!.deviceOf(name)!;

describe('configuration commands, arm-smmuv3.md 8.3', () => {
  it('a StreamID that no device has is ignored', () => {
    const v = translating();
    v.post(cfgi(9), cfgi(0xffff), encodeCommand('CFGI_STE_RANGE', { SID: 0x40, Range: 3 }));
    expect(v.kernel.take()).toEqual([]);
    expect([cons(v), error(v)]).toEqual([4n, 0n]);
  });

  it.each([
    [0, 'abort', 5],
    [1, 'abort', 5],
    [2, 'abort', 5],
    [3, 'abort', 5],
    [4, 'bypass', 6],
  ])('Config %i is %s', (config, _what, hwpt) => {
    const v = translating();
    v.ste(8, BigInt(config << 1) | 1n, 0n);
    v.post(cfgi());
    expect(device(v)).toMatchObject({ hwpt, s1Hwpt: 0 });
    expect(error(v)).toBe(0n);
  });

  it.each([6, 7])('Config %i is refused: CERROR_ILL, and the device keeps what it has', (config) => {
    const v = translating();
    v.ste(8, BigInt(config << 1) | 1n, 0n);
    v.post(cfgi());
    expect(v.kernel.take()).toEqual([]);
    expect(device(v)).toMatchObject({ hwpt: 9, s1Hwpt: 9 });
    expect([cons(v), error(v), v.vmm.readVirtual('GERROR')]).toEqual([1n, CERROR_ILL, 1n]);
    expect(v.vmm.state.errors).toEqual(['Invalid STE config for sid 0x8']);
  });

  it('a nested HWPT that the kernel refuses is CERROR_ILL; a later attempt starts afresh', () => {
    const v = translating();
    v.kernel.answers.set('IOMMU_HWPT_ALLOC', { errno: 'EIO' });
    v.post(cfgi());
    expect(error(v)).toBe(CERROR_ILL);
    expect(device(v)).toMatchObject({ hwpt: 9, s1Hwpt: 9 });
    expect(v.vmm.state.errors).toEqual(['IOMMU_HWPT_ALLOC: EIO']);
    v.kernel.take();
    v.write('GERRORN', 1);
    expect(v.kernel.take()).toEqual([
      'HWPT_ALLOC dev_id=2 pt_id=4 ste=0x4810000b,0xd6',
      'ATTACH_IOMMUFD_PT pt_id=10',
      'DESTROY id=9',
    ]);
    expect(cons(v)).toBe(2n);
  });

  it('a vDEVICE that the kernel refuses is CERROR_ILL and is asked for again', () => {
    const v = plugged();
    v.kernel.answers.set('IOMMU_VDEVICE_ALLOC', { errno: 'EEXIST' });
    v.post(cfgi());
    expect([error(v), device(v).vdevice]).toEqual([CERROR_ILL, 0]);
    v.write('GERRORN', 1);
    expect(device(v).vdevice).not.toBe(0);
  });

  it('a range tries every device although one fails, then stops the queue', () => {
    const v = plugged();
    v.run(v.vmm.plug('nic1'));
    v.write('CR0', 0xd);
    v.ste(8, 9n, 0n);
    v.ste(0x10, 0xdn, 0n);
    v.kernel.take();
    v.post(encodeCommand('CFGI_ALL', {}), asid(1));
    // The newest device comes first: nic1 fails, nic0 is installed all the same.
    expect(v.kernel.take()).toEqual([
      'VDEVICE_ALLOC viommu_id=4 dev_id=7 virt_id=0x10',
      'VDEVICE_ALLOC viommu_id=4 dev_id=2 virt_id=0x8',
      'ATTACH_IOMMUFD_PT pt_id=6',
    ]);
    expect(v.vmm.state.errors).toEqual(['Invalid STE config for sid 0x10', 'Device 0x10: Failed to install STE']);
    expect([cons(v), error(v)]).toEqual([0n, CERROR_ILL]);
  });

  it('a two-level table stays two-level until a reset, whatever FMT says later', () => {
    const v = plugged();
    v.write('CR0', 0xd);
    // L1STD of SIDs 0..255 at 0x4011_0000: span 9 (256 STEs) at 0x4012_0000.
    v.memory.writeWord(0x40110000, 0x40120009n);
    v.memory.writeWord(0x40120000 + 8 * 64, 9n);
    // The level-1 table has 2^8 entries: the base is aligned to 1 KiB (half of its size).
    v.write('STRTAB_BASE', 0x401103e0n);
    v.write('STRTAB_BASE_CFG', 0x10000 | (8 << 6) | 16);
    v.post(cfgi());
    expect(v.kernel.take().at(-1)).toBe('ATTACH_IOMMUFD_PT pt_id=6');
    v.write('STRTAB_BASE_CFG', 16);
    v.memory.writeWord(0x40120000 + 8 * 64, 1n);
    v.post(cfgi());
    expect(v.kernel.take()).toEqual(['ATTACH_IOMMUFD_PT pt_id=5']);
    // An empty descriptor, and an index beyond the span: no STE, nothing is installed and nothing is wrong.
    for (const l1std of [0x40120000n, 0x40120003n]) {
      v.memory.writeWord(0x40110000, l1std);
      v.post(cfgi());
      expect(v.kernel.take()).toEqual([]);
    }
    expect(error(v)).toBe(0n);
    v.run(v.vmm.reset());
    expect(v.vmm.units[0]!.state.twoLevel).toBeNull();
  });

  it('a linear table’s base is aligned to half of its size', () => {
    const v = plugged();
    v.write('CR0', 0xd);
    // 256 entries of 64 bytes; bit 13 of the base is kept although the table has 16 KiB.
    v.write('STRTAB_BASE', 0x40102fc0n);
    v.memory.writeWord(0x40102000 + 8 * 64, 9n);
    v.post(cfgi());
    expect(v.kernel.take().at(-1)).toBe('ATTACH_IOMMUFD_PT pt_id=6');
  });

  it('a table outside guest memory installs nothing', () => {
    const v = translating();
    v.write('STRTAB_BASE', 0xfffffffff0000n);
    v.post(cfgi());
    expect([v.kernel.take(), error(v)]).toEqual([[], 0n]);
  });
});

describe('the command queue', () => {
  it('a PROD that is more than a queue ahead runs entries twice', () => {
    const v = translating();
    // Four entries at 0x4030_0000.
    v.write('CR0', 1);
    for (let i = 0; i < 4; i++) {
      v.memory.writeWord(0x40300000 + i * 16, asid(i + 1)[0]!);
      v.memory.writeWord(0x40300008 + i * 16, 0n);
    }
    v.write('CMDQ_BASE', 0x40300002n);
    v.write('CMDQ_CONS', 0);
    v.write('CMDQ_PROD', 6);
    v.write('CR0', 9);
    expect(v.kernel.invalidations.map((b) => Number.parseInt(b[0]!.slice(0, 4), 16))).toEqual([1, 2, 3, 4, 1, 2]);
    expect(cons(v)).toBe(6n);
  });

  it('bits of PROD above the wrap bit count for nothing', () => {
    const v = translating();
    v.write('CMDQ_PROD', 0xfff00001n);
    expect(v.kernel.take()).toEqual([]);
    expect(cons(v)).toBe(1n);
  });

  it('does nothing while it is off, and all of it when it comes on', () => {
    const v = translating();
    v.write('CR0', 1);
    v.post(asid(1), asid(2));
    expect([v.kernel.take(), cons(v)]).toEqual([[], 1n]);
    v.write('CR0', 9);
    expect([v.kernel.invalidations.length, cons(v)]).toEqual([2, 3n]);
  });

  it('a fetch outside guest memory is CERROR_ABT; a right base and the acknowledgement go on', () => {
    const v = translating();
    v.write('CMDQ_BASE', 0xffffffffffffffffn);
    v.post(asid(1));
    expect([cons(v), error(v), v.vmm.readVirtual('GERROR')]).toEqual([1n, CERROR_ABT, 1n]);
    v.write('CMDQ_BASE', 0x40000008n);
    expect(v.kernel.invalidations).toEqual([]);
    v.write('GERRORN', 1);
    expect([v.kernel.invalidations.length, cons(v)]).toEqual([1, 2n]);
    // ERR keeps its last value until the next error.
    expect(error(v)).toBe(CERROR_ABT);
    v.post([0xffn, 0n]);
    expect(error(v)).toBe(CERROR_ILL);
  });

  it('what a batch holds is sent before a fetch aborts', () => {
    const v = translating({ batch: 16 });
    v.write('CR0', 1);
    // The last entry of guest memory, and the one after it.
    v.write('CMDQ_BASE', 0x4fffffe2n);
    v.memory.writeWord(0x4fffffe0, asid(1)[0]!);
    v.memory.writeWord(0x4ffffff0, asid(2)[0]!);
    v.write('CMDQ_CONS', 0);
    v.write('CMDQ_PROD', 3);
    v.write('CR0', 9);
    expect(v.kernel.invalidations).toEqual([[expect.stringMatching(/^0001/), expect.stringMatching(/^0002/)]]);
    expect([cons(v), error(v)]).toEqual([2n, CERROR_ABT]);
  });

  it('an error keeps the queue until GERRORN repeats GERROR; a second error toggles it back', () => {
    const v = translating();
    v.post([0xffn, 0n], [0xfen, 0n]);
    expect([cons(v), v.vmm.readVirtual('GERROR')]).toEqual([1n, 1n]);
    v.write('GERRORN', 0);
    expect(cons(v)).toBe(1n);
    v.memory.writeWord(0x40000010, encodeCommand('SYNC', {})[0]!);
    v.write('GERRORN', 1);
    expect([cons(v), v.vmm.readVirtual('GERROR')]).toEqual([2n, 0n]);
  });

  it('GERRORN of an error that is not there makes one, and the queue stands', () => {
    const v = translating();
    v.write('GERRORN', 1);
    v.post(asid(1));
    expect(v.kernel.invalidations).toEqual([]);
    v.write('GERRORN', 0);
    expect(v.kernel.invalidations).toHaveLength(1);
  });

  it('no interrupt while IRQ_CTRL forbids it', () => {
    const v = translating();
    v.write('IRQ_CTRL', 0);
    v.post([0xffn, 0n]);
    expect(v.vmm.irq.gerror).toBe(false);
    expect(v.vmm.readVirtual('GERROR')).toBe(1n);
  });

  it('an invalidation that the kernel refuses is CERROR_ILL', () => {
    const v = translating();
    v.kernel.answers.set('IOMMU_HWPT_INVALIDATE', { errno: 'EIO', out: { entry_num: 0 } });
    v.post(asid(1), asid(2));
    expect([cons(v), error(v)]).toEqual([1n, CERROR_ILL]);
    expect(v.vmm.state.errors).toEqual(['IOMMU_HWPT_INVALIDATE failed: EIO, 0 of 1 done']);
  });

  it('CONS follows each command, so that a guest that looks meanwhile sees how far it is', () => {
    const v = translating();
    v.write('CR0', 1);
    v.post(asid(1), asid(2), asid(3));
    const seen: bigint[] = [];
    const op = v.vmm.writeVirtual('CR0', 9n);
    while (!op.next().done) seen.push(cons(v));
    expect([...new Set(seen)]).toEqual([1n, 2n, 3n]);
    expect(cons(v)).toBe(4n);
  });
});

describe('a batch', () => {
  it('CONS never passes a command that has not been sent', () => {
    const v = translating({ batch: 2 });
    v.write('CR0', 1);
    v.post(asid(1), asid(2), asid(3), encodeCommand('PREFETCH_CONFIG', { SID: 8 }), asid(4));
    const op = v.vmm.writeVirtual('CR0', 9n);
    const seen = new Set<string>();
    while (!op.next().done) seen.add(`${cons(v)} ${v.kernel.invalidations.flat().length}`);
    expect([...seen]).toEqual(['1 0', '3 2', '5 3']);
    expect(cons(v)).toBe(6n);
  });

  it('an illegal command stops the queue after what came before it has been sent', () => {
    const v = translating({ batch: 8 });
    v.post(asid(1), encodeCommand('CFGI_CD', { SID: 8, SSec: 1 }));
    expect(v.kernel.invalidations).toHaveLength(1);
    expect([cons(v), error(v)]).toEqual([2n, CERROR_ILL]);
  });
});

describe('the event queue', () => {
  const record = { flags: 0, sequence: 0, evt: [0x0000000800000010n, 0n, 0n, 0n] };
  const event = (v: V): void => {
    v.kernel.events.push(record);
    v.run(v.vmm.pollEvents());
  };

  it.each([
    ['off', 9, 0x40200004n],
    ['outside guest memory', 0xd, 0xff00200004n],
  ])('%s: the record is lost and GERROR.EVENTQ_ABT says so', (_what, cr0, base) => {
    const v = translating();
    v.write('EVENTQ_BASE', base);
    v.write('CR0', 0xd);
    v.write('CR0', cr0);
    event(v);
    expect([v.vmm.readVirtual('EVENTQ_PROD'), v.vmm.readVirtual('GERROR')]).toEqual([0n, 4n]);
    expect(v.vmm.irq).toEqual({ evtq: false, gerror: true });
    // An error of the event queue does not stop the commands.
    v.post(asid(1));
    expect(v.kernel.invalidations).toHaveLength(1);
  });

  it('GERRORN acknowledges it, and the next loss is told again', () => {
    const v = translating();
    v.write('CR0', 9);
    v.write('CR0', 0xd);
    v.write('EVENTQ_BASE', 0x40200000n);
    event(v);
    expect([v.vmm.readVirtual('EVENTQ_PROD'), v.vmm.readVirtual('GERROR')]).toEqual([1n, 0n]);
    event(v);
    expect(v.vmm.readVirtual('GERROR')).toBe(4n);
    event(v);
    expect(v.vmm.readVirtual('GERROR')).toBe(4n);
    v.write('GERRORN', 4);
    event(v);
    expect(v.vmm.readVirtual('GERROR')).toBe(0n);
  });

  it('lost and overflowed vEVENTQ records are reported the first time only', () => {
    const v = translating();
    v.write('EVENTQ_BASE', 0x40200008n);
    v.write('CR0', 0xd);
    const at = (sequence: number, flags = 0) => ({ ...record, sequence, flags });
    v.kernel.events.push(at(0), at(3), at(9), at(12, 1), at(20), at(21), at(30, 1));
    v.run(v.vmm.pollEvents());
    expect(v.vmm.readVirtual('EVENTQ_PROD')).toBe(5n);
    const id = v.vmm.units[0]!.state.veventq!.id;
    expect(v.vmm.state.errors).toEqual([
      `vEVENTQ(type 1 id ${id}): lost 2 event(s)`,
      `vEVENTQ(type 1 id ${id}): overflowed`,
    ]);
  });

  it('after an overflow the next sequence number is anybody’s', () => {
    const v = translating();
    v.write('EVENTQ_BASE', 0x40200008n);
    v.write('CR0', 0xd);
    v.kernel.events.push(record, { ...record, flags: 1, sequence: 5 }, { ...record, sequence: 9 });
    v.run(v.vmm.pollEvents());
    expect(v.vmm.state.errors).toEqual([expect.stringMatching(/overflowed$/)]);
  });

  it('the vEVENTQ is tried again at every write of CR0', () => {
    const v = plugged();
    v.kernel.answers.set('IOMMU_VEVENTQ_ALLOC', { errno: 'ENOMEM' });
    v.write('CR0', 0xc);
    expect(v.vmm.state.errors).toEqual(['IOMMU_VEVENTQ_ALLOC: ENOMEM']);
    v.write('CR0', 0xc);
    v.write('CR0', 0xc);
    expect(v.kernel.take().map((c) => c.split(' ')[0])).toEqual(['VEVENTQ_ALLOC', 'VEVENTQ_ALLOC']);
  });
});

describe('off switches and machine reset', () => {
  it('SMMUEN = 0 and GBPA: only a GBPA update, a CFGI_STE or a reset moves a device', () => {
    const v = translating();
    v.write('CR0', 0xc);
    expect(device(v).hwpt).toBe(9);
    v.post(cfgi());
    expect(device(v)).toMatchObject({ hwpt: 6, s1Hwpt: 0 });
    v.write('GBPA', 0x80100000n);
    expect(device(v).hwpt).toBe(5);
    v.write('GBPA', 0x80000000n);
    expect(device(v).hwpt).toBe(6);
    v.write('GBPA', 0x100000n);
    expect(v.vmm.readVirtual('GBPA')).toBe(0n);
  });

  it('a GBPA update moves even a device that translates: QEMU does not look at SMMUEN', () => {
    const v = translating();
    v.write('GBPA', 0x80001000n);
    // The nested HWPT is kept until the next CFGI_STE.
    expect(device(v)).toMatchObject({ hwpt: 6, s1Hwpt: 9 });
  });

  it('reset: registers, GBPA’s HWPT, no pending error; the nested HWPT goes with the next CFGI_STE', () => {
    const v = translating();
    v.post([0xffn, 0n]);
    v.run(v.vmm.reset());
    expect(device(v)).toMatchObject({ hwpt: 6, s1Hwpt: 9 });
    for (const [reg, value] of Object.entries({
      CR0: 0n,
      CR0ACK: 0n,
      GERROR: 0n,
      CMDQ_PROD: 0n,
      CMDQ_CONS: 0n,
      GBPA: 0x1000n,
    }))
      expect([reg, v.vmm.readVirtual(reg)]).toEqual([reg, value]);
    expect(v.vmm.irq).toEqual({ evtq: false, gerror: false });
    expect(v.vmm.readVirtual('CMDQ_BASE') & 31n).toBe(19n);
    v.kernel.take();
    v.enableQueue();
    v.write('CMDQ_PROD', 0);
    v.write('CR0', 9);
    v.memory.writeWord(0x40000000, cfgi()[0]!);
    v.memory.writeWord(0x40000008, cfgi()[1]!);
    v.write('CMDQ_PROD', 1);
    expect(v.kernel.take().at(-1)).toBe('DESTROY id=9');
  });

  it('reset in the middle of the command loop ends it; nothing of the old queue is run or counted', () => {
    const v = translating();
    v.write('CR0', 1);
    v.post(asid(1), asid(2), asid(3));
    const op = v.vmm.writeVirtual('CR0', 9n);
    while (v.kernel.invalidations.length < 2) op.next();
    v.run(v.vmm.reset());
    v.run(op);
    expect(v.kernel.invalidations).toHaveLength(2);
    expect(v.vmm.readVirtual('CMDQ_CONS')).toBe(0n);
    // A new queue is served.
    v.enableQueue();
    v.memory.writeWord(0x40000000, asid(7)[0]!);
    v.memory.writeWord(0x40000008, 0n);
    v.write('CMDQ_PROD', 1);
    expect(v.kernel.invalidations).toHaveLength(3);
  });
});
