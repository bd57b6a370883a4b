import { describe, expect, it } from 'vitest';
import { PageAllocator } from '../../memory/index.ts';
import type { TraceEvent } from '../../trace/index.ts';
import { GuestDriver } from '../guest/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { vmmOnRecorder } from './recording-kernel.ts';

/** A Linux guest on the VMM; only the host kernel is a recorder. */
function machine(o: { batch?: number; deviations?: string[] } = {}) {
  const v = vmmOnRecorder(o);
  const guest = new GuestDriver({
    memory: v.memory,
    pages: new PageAllocator(0x48000000, 0x50000000),
    smmu: v.vmm,
    devices: [
      { name: 'nic0', vrid: 8, pasidBits: 0, atsCapable: true },
      { name: 'nic1', vrid: 0x10, pasidBits: 0, atsCapable: true },
    ],
    present: (name) => v.vmm.isPlugged(name),
    trace: v.trace,
    injector: v.injector,
    ...(o.deviations ? { deviations: o.deviations } : {}),
  });
  v.run(v.vmm.start());
  v.run(v.vmm.plug('nic0'));
  expect(v.run(guest.boot())).toMatchObject({ ok: true });
  return { ...v, guest };
}

function attached(o: Parameters<typeof machine>[0] = {}) {
  const m = machine(o);
  expect(m.run(m.guest.attach({ device: 'nic0', domain: 'dma0' }))).toMatchObject({ ok: true });
  m.kernel.take();
  m.kernel.invalidations.length = 0;
  return m;
}

describe('a guest on the VMM', () => {
  it('boots: the vDEVICE with CFGI_ALL, the event queue with EVENTQEN', () => {
    const m = machine();
    expect(m.kernel.take().slice(-3)).toEqual([
      'VDEVICE_ALLOC viommu_id=4 dev_id=2 virt_id=0x8',
      'HWPT_INVALIDATE hwpt_id=4 entry_num=1',
      'VEVENTQ_ALLOC viommu_id=4 veventq_depth=32768',
    ]);
    expect(m.guest.views().devices.map((d) => d.name)).toEqual(['nic0']);
    expect(m.vmm.readVirtual('CR0')).toBe(0x1dn);
  });

  it('a first attach is two CFGI_CD, abort, nested', () => {
    const m = machine();
    m.kernel.take();
    m.run(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    const ptr = m.guest.views().devices[0]!.cdTable!.address;
    expect(m.kernel.take()).toEqual([
      'HWPT_INVALIDATE hwpt_id=4 entry_num=1',
      'HWPT_INVALIDATE hwpt_id=4 entry_num=1',
      'ATTACH_IOMMUFD_PT pt_id=5',
      `HWPT_ALLOC dev_id=2 pt_id=4 ste=0x${(BigInt(ptr) | 0xbn).toString(16)},0x100000d6`,
      'ATTACH_IOMMUFD_PT pt_id=9',
      'HWPT_INVALIDATE hwpt_id=4 entry_num=1',
    ]);
  });

  it('a device plugged after boot has no vDEVICE before its first CFGI_STE', () => {
    const m = machine();
    m.run(m.vmm.plug('nic1'));
    m.kernel.take();
    m.kernel.invalidations.length = 0;
    m.run(m.guest.attach({ device: 'nic1', domain: 'dma0' }));
    const calls = m.kernel.take();
    expect(calls[0]).toMatch(/^VDEVICE_ALLOC .*virt_id=0x10$/);
    // Both CFGI_CD were consumed; the ATC_INV at the end is the first command that reaches the host.
    expect(m.kernel.invalidations).toEqual([['0000001000000040 0000000000000034']]);
  });

  it('shows an invalidation on its way', () => {
    const m = attached();
    m.run(m.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: 0x48300000, size: 4096 }));
    const seen: TraceEvent[] = [];
    m.trace.listener = (e) => seen.push(e);
    m.trace.resetCounts();
    m.run(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }));
    expect(seen.slice(0, 8).map((e) => `${e.kind} ${e.at}`)).toEqual([
      'table.write guest.s1.dma0',
      'command.post guest.cmdq',
      'command.post guest.cmdq',
      'register.write guest.cmdq',
      'trap vmm.vsmmu',
      'command.fetch vmm.vsmmu',
      'command.fetch vmm.vsmmu',
      'trap vmm.vsmmu',
    ]);
    const write = seen[0]!;
    expect(write.kind === 'table.write' && write.text).toBe('S1 L3[511] = 0: page of 4 KiB at 0xfffff000 cleared');
    expect(m.kernel.invalidations).toEqual([
      ['0001000000000012 00000000fffff701'],
      ['0000000800000040 00000000fffff000'],
    ]);
    // TLBI and ATC_INV: for each the doorbell and one read of CONS.
    expect(m.trace.exits).toBe(4);
    const traps = seen.filter((e) => e.kind === 'trap').length;
    expect(traps).toBe(4);
  });

  it('writes descriptors that read well', () => {
    const m = attached();
    const seen: string[] = [];
    m.trace.listener = (e) => e.kind === 'table.write' && seen.push(e.text);
    m.run(m.guest.map({ domain: 'dma0', iova: 0x10000, gpa: 0x48300000, size: 3 * 4096 }));
    expect(seen.at(-1)).toBe('S1 L3[16..18] = 0x4830_0f47: 3 x 4 KiB 0x1_0000 → 0x4830_0000');
    expect(seen[0]).toMatch(/^S1 L0\[0\] = 0x[0-9a-f_]+3: table for 0x0 at 0x[0-9a-f_]+$/);
  });

  it('collects a batch up to the SYNC', () => {
    const m = attached({ batch: 16 });
    m.run(m.guest.map({ domain: 'dma0', iova: 0xfff00000, gpa: 0x48300000, size: 45 * 4096 }));
    m.run(m.guest.unmap({ domain: 'dma0', iova: 0xfff00000, size: 45 * 4096 }));
    expect(m.kernel.invalidations.map((b) => b.length)).toEqual([2, 1]);
  });

  it('an illegal command is replaced by a CMD_SYNC and the queue goes on', () => {
    const m = attached();
    const notes: string[] = [];
    m.trace.listener = (e) => (e.kind === 'note' || e.kind === 'command.error') && notes.push(e.text);
    const before = m.guest.views().cmdq!.prod;
    const r = m.run(m.guest.invalidate([0xffn, 0x1234n]));
    expect(r.ok).toBe(false);
    expect(notes.map((t) => t.replace('guest kernel log: ', ''))).toEqual([
      '0xff refused: CERROR_ILL',
      'unexpected global error reported (0x00000001), this could be serious',
      `CMDQ error (cons 0x${(0x01000000 + before).toString(16).padStart(8, '0')}): Illegal command`,
      'skipping command in error state: 0x00000000000000ff 0x0000000000001234',
    ]);
    const at = m.guest.views().cmdq!.base + before * 16;
    expect(m.memory.readWord(at)).toBe(0x0fc02046n);
    expect(m.vmm.readVirtual('GERRORN')).toBe(m.vmm.readVirtual('GERROR'));
    expect(m.run(m.guest.invalidate(encodeCommand('TLBI_NSNH_ALL', {})))).toMatchObject({ ok: true });
  });

  it('gives up waiting when the queue is off', () => {
    const m = attached();
    m.run(m.vmm.writeVirtual('CR0', 0n));
    const r = m.run(m.guest.invalidate(encodeCommand('TLBI_NSNH_ALL', {})));
    expect(r.ok).toBe(false);
    expect(r.text).toMatch(/CMD_SYNC timeout at 0x[0-9a-f]{8} \[hwprod 0x[0-9a-f]{8}, hwcons 0x[0-9a-f]{8}\]/);
  });

  it('reads its events and moves CONS', () => {
    const m = attached();
    m.kernel.events.push(
      { flags: 0, sequence: 0, evt: [0x0000000800000010n, 0x0000020000000000n, 0xfffff040n, 0n] },
      { flags: 0, sequence: 1, evt: ['0x000000080000000a', 0, 0, 0] },
    );
    m.run(m.vmm.pollEvents());
    const notes: string[] = [];
    m.trace.listener = (e) => e.kind === 'note' && notes.push(e.text);
    m.run(m.guest.interrupt());
    expect(notes.map((t) => t.replace('guest kernel log: ', ''))).toEqual([
      'event 0x10 received:',
      '\t0x0000000800000010',
      '\t0x0000020000000000',
      '\t0x00000000fffff040',
      '\t0x0000000000000000',
      'event: F_TRANSLATION client: nic0 sid: 0x8 ssid: 0 iova: 0xfffff040 ipa: 0',
      'unpriv data write s1 "Input address caused fault" stag: 0',
      'event 0x0a received:',
      '\t0x000000080000000a',
      '\t0x0000000000000000',
      '\t0x0000000000000000',
      '\t0x0000000000000000',
      'event: C_BAD_CD client: nic0 sid: 0x8 ssid: 0',
    ]);
    expect(m.vmm.readVirtual('EVENTQ_CONS')).toBe(2n);
    expect(m.guest.views().evtq).toMatchObject({ prod: 2, cons: 2 });
    m.run(m.guest.interrupt());
    expect(notes).toHaveLength(13);
  });

  it('leaves a vSMMU alone that somebody drives by hand before it boots', () => {
    const v = vmmOnRecorder();
    const guest = new GuestDriver({
      memory: v.memory,
      pages: new PageAllocator(0x48000000, 0x50000000),
      smmu: v.vmm,
      devices: [],
      trace: v.trace,
      injector: v.injector,
    });
    v.enableQueue();
    v.post([0xffn, 0n]);
    expect(v.vmm.irq.gerror).toBe(true);
    v.run(guest.interrupt());
    expect(v.vmm.irq.gerror).toBe(false);
    expect([v.vmm.readVirtual('GERROR'), v.vmm.readVirtual('GERRORN')]).toEqual([1n, 0n]);
  });

  it('drops, holds back and changes commands before they reach the queue', () => {
    const m = attached();
    m.injector.active.push({ at: 'guest.command', action: 'drop', count: 1, xor: [0n, 0n] });
    m.run(m.guest.invalidate(encodeCommand('TLBI_NH_ASID', { ASID: 5 })));
    expect(m.kernel.invalidations).toEqual([]);
    m.injector.active.push({ at: 'guest.command', action: 'delay', count: 1, xor: [0n, 0n] });
    m.run(m.guest.invalidate(encodeCommand('TLBI_NH_ASID', { ASID: 6 })));
    expect(m.kernel.invalidations).toEqual([]);
    for (const h of m.injector.takeHeld()) m.run(m.guest.deliver(h.words));
    expect(m.kernel.invalidations).toEqual([['0006000000000011 0000000000000000']]);
  });

  it('keeps going through any interleaving of its saved states', () => {
    const m = attached();
    const guest = m.guest.save();
    const vmm = m.vmm.save();
    m.run(m.guest.detach({ device: 'nic0' }));
    m.guest.load(guest);
    m.vmm.load(vmm);
    expect(m.vmm.units[0]!.state.devices[0]!.s1Hwpt).toBe(9);
    expect(m.guest.views().devices[0]!.domain).toBe('dma0');
  });

  it('runs out of guest memory with ENOMEM', () => {
    const v = vmmOnRecorder();
    const guest = new GuestDriver({
      memory: v.memory,
      pages: new PageAllocator(0x48000000, 0x48010000),
      smmu: v.vmm,
      devices: [],
      trace: v.trace,
      injector: v.injector,
    });
    v.run(v.vmm.start());
    expect(v.run(guest.boot())).toMatchObject({ ok: false, errno: 'ENOMEM' });
  });
});
