import { describe, expect, it } from 'vitest';
import { decodeEvent, encodeCommand } from '../layout/index.ts';
import { bootedMachine } from './real-machine.ts';
import { plugged, type RecorderOptions, translating, vmmOnRecorder } from './recording-kernel.ts';

const forwarded: RecorderOptions = { pageFaults: 'forwarded' };

/** As the kernel gives it: nic0 is device 2, a write without PASID. */
const fault = (cookie: number, more: object = {}) => ({
  flags: 2,
  dev_id: 2,
  pasid: 0,
  grpid: 7,
  perm: 2,
  addr: 0x1_2345_6000n,
  length: 0,
  cookie,
  ...more,
});

/** Event queue of 4 entries at 0x4020_0000, everything on. */
function stalling(o: RecorderOptions = {}) {
  const v = translating({ ...forwarded, ...o });
  v.write('EVENTQ_BASE', 0x40200002n);
  v.write('CR0', 0xd);
  const read = () => v.run(v.vmm.pollEvents());
  const record = (i: number) => [0, 8, 16, 24].map((x) => v.memory.readWord(0x40200000 + i * 32 + x));
  const prod = () => v.vmm.readVirtual('EVENTQ_PROD');
  const resume = (stag: number, more: object = { Ac: 1 }, sid = 8) =>
    v.post(encodeCommand('RESUME', { SID: sid, STAG: stag, ...more }));
  return { ...v, read, record, prod, resume };
}

describe('policy pageFaults', () => {
  it('terminated: no fault queue, STALL_MODEL 1, CMD_RESUME and CMD_STALL_TERM consumed', () => {
    const v = vmmOnRecorder();
    v.kernel.idr[0] = v.kernel.idr[0]! & ~(3 << 24);
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    v.enableQueue();
    v.kernel.take();
    expect((v.vmm.readVirtual('IDR0') >> 24n) & 3n).toBe(1n);
    v.post(encodeCommand('RESUME', { SID: 8, STAG: 0, Ac: 1 }), encodeCommand('STALL_TERM', { SID: 8 }));
    expect(v.kernel.take()).toEqual([]);
    expect(v.kernel.responses).toEqual([]);
    expect(v.vmm.readVirtual('CMDQ_CONS') >> 24n).toBe(0n);
  });

  it('forwarded: a fault queue with the vIOMMU, on translating HWPTs only, freed last', () => {
    const v = plugged(forwarded);
    v.write('CR0', 9);
    v.ste(8, 0x4810000bn, 0xd6n);
    v.post(encodeCommand('CFGI_STE', { SID: 8, Leaf: 1 }));
    expect(v.vmm.units[0]!.state.faultQueue).toEqual({ id: 5, fd: 98 });
    expect(v.kernel.take()).toEqual([
      'VDEVICE_ALLOC viommu_id=4 dev_id=2 virt_id=0x8',
      'HWPT_ALLOC flags=4 dev_id=2 pt_id=4 fault_id=5 ste=0x4810000b,0xd6',
      'ATTACH_IOMMUFD_PT pt_id=9',
    ]);
    v.run(v.vmm.unplug('nic0'));
    expect(v.kernel.take().slice(-9)).toEqual([
      'DESTROY id=8',
      'DESTROY id=7',
      'DESTROY id=6',
      'DESTROY id=4',
      'close 98',
      'DESTROY id=5',
      'DETACH_IOMMUFD_PT',
      'DESTROY id=3',
      'close 10',
    ]);
  });

  it('forwarded: the queue comes before the fixed HWPTs, which do not take it', () => {
    const v = vmmOnRecorder(forwarded);
    v.run(v.vmm.start());
    v.kernel.take();
    v.run(v.vmm.plug('nic0'));
    expect(v.kernel.take().slice(4, 8)).toEqual([
      'VIOMMU_ALLOC dev_id=2 hwpt_id=3',
      'FAULT_QUEUE_ALLOC',
      'HWPT_ALLOC dev_id=2 pt_id=4 ste=0x1,0x0',
      'HWPT_ALLOC dev_id=2 pt_id=4 ste=0x9,0x0',
    ]);
    const w = vmmOnRecorder(forwarded);
    w.run(w.vmm.start());
    w.kernel.refuse = (call) => (call === 'IOMMU_FAULT_QUEUE_ALLOC' ? 'EMFILE' : null);
    expect(w.run(w.vmm.plug('nic0'))).toMatchObject({ ok: false, errno: 'EMFILE' });
    expect(w.kernel.take().slice(-4)).toEqual(['DESTROY id=4', 'DETACH_IOMMUFD_PT', 'DESTROY id=3', 'close 10']);
  });

  it.each([
    [0, 0n],
    [1, 1n],
    [2, 2n],
  ])('forwarded: STALL_MODEL %i of the host is the vSMMU’s', (host, guest) => {
    const v = vmmOnRecorder(forwarded);
    v.kernel.idr[0] = (v.kernel.idr[0]! & ~(3 << 24)) | (host << 24);
    v.run(v.vmm.start());
    v.run(v.vmm.plug('nic0'));
    expect((v.vmm.readVirtual('IDR0') >> 24n) & 3n).toBe(guest);
  });
});

describe('a stalled transaction', () => {
  it('becomes an event record with a virtual STAG', () => {
    const v = stalling();
    v.kernel.faults.push(
      fault(1),
      fault(2, { flags: 3, pasid: 5, perm: 1 | 4 | 8, grpid: 9, addr: 0xffffffffffff0000n }),
    );
    v.read();
    expect(v.prod()).toBe(2n);
    expect(v.vmm.irq.evtq).toBe(true);
    // F_TRANSLATION of SID 8; STAG 0, Stall, CLASS IN, a write.
    expect(v.record(0)).toEqual([0x0000000800000010n, 0x0000020080000000n, 0x123456000n, 0n]);
    expect(decodeEvent(v.record(1))).toMatchObject({
      EventID: 0x10n,
      SID: 8n,
      SSV: 1n,
      SSID: 5n,
      STAG: 1n,
      Stall: 1n,
      RnW: 1n,
      InD: 1n,
      PnU: 1n,
      S2: 0n,
      InputAddr: 0xffffffffffff0000n,
    });
  });

  it('is answered by the guest’s CMD_RESUME: retry with SUCCESS, all else with INVALID', () => {
    const v = stalling();
    v.kernel.faults.push(fault(11), fault(12), fault(13));
    v.read();
    v.resume(1);
    v.resume(0, { Ac: 0, Ab: 1 });
    v.resume(2, { Ac: 0, Ab: 0 });
    expect(v.kernel.responses).toEqual([
      { cookie: 12, code: 0 },
      { cookie: 11, code: 1 },
      { cookie: 13, code: 1 },
    ]);
    expect(v.vmm.units[0]!.state.faults).toEqual([]);
    // Responses are written to the fault queue; no ioctl is made.
    expect(v.kernel.take()).toEqual([]);
  });

  it('a CMD_RESUME that names no waiting fault has no effect and is no error', () => {
    const v = stalling();
    v.kernel.faults.push(fault(1));
    v.read();
    v.resume(1);
    v.resume(0, { Ac: 1 }, 0x10);
    expect(v.kernel.responses).toEqual([]);
    v.resume(0);
    v.resume(0);
    expect(v.kernel.responses).toEqual([{ cookie: 1, code: 0 }]);
    expect(v.vmm.readVirtual('GERROR')).toBe(0n);
  });

  it('CMD_STALL_TERM ends all of the stream, also what the guest has not been told', () => {
    const v = stalling();
    v.kernel.faults.push(...[1, 2, 3, 4, 5].map((c) => fault(c)));
    v.read();
    expect(v.prod()).toBe(4n);
    v.post(encodeCommand('STALL_TERM', { SID: 0x10 }));
    expect(v.kernel.responses).toEqual([]);
    v.post(encodeCommand('STALL_TERM', { SID: 8 }));
    expect(v.kernel.responses).toEqual([1, 2, 3, 4, 5].map((cookie) => ({ cookie, code: 1 })));
  });

  it('waits for room in the guest’s event queue, in order, and is never lost', () => {
    const v = stalling();
    v.kernel.faults.push(...[1, 2, 3, 4, 5, 6].map((c) => fault(c)));
    v.read();
    expect(v.prod()).toBe(4n);
    expect(v.vmm.readVirtual('GERROR')).toBe(0n);
    // Nobody can answer what has not been reported.
    v.resume(4);
    expect(v.kernel.responses).toEqual([]);
    v.write('EVENTQ_CONS', 1);
    expect(v.prod()).toBe(5n);
    expect(v.record(0)[1]! & 0xffffn).toBe(4n);
    v.write('EVENTQ_CONS', 2);
    expect(v.prod()).toBe(6n);
    v.write('EVENTQ_CONS', 6);
    expect(v.prod()).toBe(6n);
  });

  it('waits while the queue is off, and comes when it is switched on', () => {
    const v = stalling();
    v.write('CR0', 9);
    v.kernel.faults.push(fault(1));
    v.read();
    expect([v.prod(), v.vmm.readVirtual('GERROR')]).toEqual([0n, 0n]);
    v.write('CR0', 0xd);
    expect(v.prod()).toBe(1n);
  });

  it('of a device that is not in the guest is answered at once', () => {
    const v = stalling();
    v.kernel.faults.push(fault(1, { dev_id: 77 }));
    v.read();
    expect(v.prod()).toBe(0n);
    expect(v.kernel.responses).toEqual([{ cookie: 1, code: 1 }]);
  });

  it('ends with its attachment, and its tag is not given again', () => {
    const v = stalling();
    v.kernel.faults.push(fault(1));
    v.read();
    v.ste(8, 1n, 0n);
    v.post(encodeCommand('CFGI_STE', { SID: 8 }));
    expect(v.vmm.units[0]!.state.faults).toEqual([]);
    v.kernel.faults.push(fault(1));
    v.read();
    expect(v.record(1)[1]! & 0xffffn).toBe(1n);
    v.resume(0);
    expect(v.kernel.responses).toEqual([]);
    v.resume(1);
    expect(v.kernel.responses).toEqual([{ cookie: 1, code: 0 }]);
  });

  it('a machine reset and an unplug forget what waits', () => {
    for (const end of ['reset', 'unplug'] as const) {
      const v = stalling();
      v.kernel.faults.push(fault(1));
      v.read();
      v.run(end === 'reset' ? v.vmm.reset() : v.vmm.unplug('nic0'));
      expect(v.vmm.units[0]!.state.faults).toEqual([]);
      expect(v.kernel.responses).toEqual([]);
    }
  });

  it('so does an unplug whose way back to the parent fails', () => {
    const v = stalling();
    v.kernel.faults.push(fault(1));
    v.read();
    v.kernel.refuse = (call) => (/ATTACH/.test(call) ? 'EBUSY' : null);
    v.run(v.vmm.unplug('nic0'));
    expect(v.vmm.state.errors).toContain('Unable to attach the default HW pagetable: nic0');
    expect(v.vmm.units[0]!.state.faults).toEqual([]);
  });

  it('a response that the kernel refuses is reported', () => {
    const v = stalling();
    v.kernel.faults.push(fault(3));
    v.read();
    v.kernel.refuse = (call) => (call === 'write' ? 'EINVAL' : null);
    v.resume(0);
    expect(v.vmm.state.errors).toContain('page response for cookie 3 failed: EINVAL');
  });
});

describe('on the real kernel and SMMU', () => {
  const GPA = 0x40300000;
  const machine = (o: { deviations?: string[] } = {}) => {
    const m = bootedMachine({
      ...o,
      pageFaults: 'forwarded',
      features: { STALL_MODEL: 0 },
      devices: [{ name: 'nic0', rid: 0x108, vrid: 8, stall: true, pasidBits: 8 }],
    });
    const { vmm, guest } = m.guests[0]!;
    m.step(guest.bind({ device: 'nic0', process: 'app' }));
    m.step(guest.map({ domain: 'app', iova: 0x10000, gpa: GPA, size: 4096, present: false }));
    const dma = (iova: bigint) => m.dmaOf('nic0', { pasid: 1, iova, write: true });
    return { ...m, vmm, guest, dma };
  };

  it('a page that is not there: stall, guest fault, CMD_RESUME, retry, done', () => {
    const m = machine();
    const r = m.dma(0x10123n);
    expect(r).toMatchObject({ ok: false });
    expect(m.smmu.stalled()).toHaveLength(1);
    const from = m.events.length;
    m.settle();
    expect(m.smmu.stalled()).toEqual([]);
    const told = m.events.slice(from).flatMap((e) => (e.kind === 'guest.event' ? [e.name] : []));
    expect(told).toEqual(['F_TRANSLATION']);
    expect(m.smmu.outcomeOf(r.stag!)).toMatchObject({ ok: true, pa: m.guests[0]!.memory.resolve(GPA) + 0x123 });
    expect(m.dma(0x10123n)).toMatchObject({ ok: true });
  });

  it('an address that the process does not have: the guest answers with an abort', () => {
    const m = machine();
    const r = m.dma(0x990000n);
    m.settle();
    expect(m.smmu.stalled()).toEqual([]);
    expect(m.smmu.outcomeOf(r.stag!)).toMatchObject({ ok: false });
    expect(m.vmm.units[0]!.state.faults).toEqual([]);
  });

  it('unplugged meanwhile, nothing stays behind', () => {
    const m = machine();
    m.dma(0x10000n);
    for (const u of m.drivers.units) m.run(u.interrupt());
    m.run(m.vmm.pollEvents());
    expect(m.vmm.units[0]!.state.faults).toHaveLength(1);
    m.run(m.vmm.unplug('nic0'));
    m.settle();
    expect(m.smmu.stalled()).toEqual([]);
    expect(m.vmm.units[0]!.state.faults).toEqual([]);
    expect(m.iommufd.objects().map((o) => o.type)).toEqual(['IOAS']);
  });

  it('a machine reset meanwhile ends the stall, and the late CMD_RESUME does nothing', () => {
    const m = machine();
    m.dma(0x10000n);
    for (const u of m.drivers.units) m.run(u.interrupt());
    m.run(m.vmm.pollEvents());
    m.run(m.vmm.reset());
    expect(m.smmu.stalled()).toEqual([]);
    m.settle();
    expect(m.vmm.state.errors).toEqual([]);
  });

  it('a CMD_RESUME that the VMM drops leaves the device waiting', () => {
    const m = machine({ deviations: ['vmm.resume-dropped'] });
    m.dma(0x10000n);
    m.settle();
    expect(m.smmu.stalled()).toHaveLength(1);
  });
});
