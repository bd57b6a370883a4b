import { describe, expect, it } from 'vitest';
import { Iommufd } from '../iommufd/index.ts';
import { Injector, type Op, type OpResult, runToEnd } from '../machine/index.ts';
import { GuestMemory, Memory, PageAllocator, ProcessMemory } from '../memory/index.ts';
import { PciDevice } from '../pci/index.ts';
import { Trace, type TraceEvent } from '../trace/index.ts';
import { GuestDriver } from './guest/index.ts';
import { physicalFeatures, Smmu } from './hardware/index.ts';
import { HostDriver, hostRulesWith } from './host/index.ts';
import { Vmm } from './vmm/index.ts';

const GiB = 2 ** 30;
const UVA = 0x7f0000000000;
/** 0000:01:01.0 on the host, 0000:00:01.0 in the guest. */
const RID = 0x108;
const VRID = 8;

interface Options {
  readonly ats?: boolean;
  readonly deviations?: string[];
  readonly batch?: number;
  /** A second device: 0000:01:02.0, 0000:00:02.0. */
  readonly two?: boolean;
}

/** All parts, wired as on a machine; nothing is started. */
function machine(o: Options = {}) {
  const memory = new Memory(2 ** 48);
  const trace = new Trace();
  const injector = new Injector(trace);
  const device = (name: string, rid: number, vrid: number) =>
    new PciDevice({ name, rid, vrid, pasidBits: 0, ats: o.ats ?? false, pri: false });
  const devices = [device('nic0', RID, VRID), ...(o.two ? [device('nic1', 0x110, 0x10)] : [])];
  const smmu = new Smmu(memory, physicalFeatures({}), devices, trace, injector);
  const hostPages = new PageAllocator(0x880000000000, 0x880400000000);
  const rules = hostRulesWith(o.deviations ?? []);
  const host = new HostDriver({ smmu, memory, pages: hostPages, devices, trace, injector, rules });
  const process = new ProcessMemory();
  process.add({ uva: UVA, size: GiB, base: 0x880800000000, chunk: 2 ** 21 });
  const guestMemory = new GuestMemory(memory, process);
  guestMemory.addSlot({ gpa: 0x40000000, size: GiB, uva: UVA });
  const kernel = new Iommufd({ driver: host, process, trace });
  const deviations = o.deviations ?? [];
  const vmm = new Vmm({
    kernel,
    memory: guestMemory,
    process,
    hostPages,
    devices,
    trace,
    injector,
    deviations,
    batch: o.batch ?? 1,
  });
  const guest = new GuestDriver({
    memory: guestMemory,
    pages: new PageAllocator(0x48000000, 0x50000000),
    smmu: vmm,
    devices,
    present: (name) => vmm.isPlugged(name),
    trace,
    injector,
    deviations,
  });
  const events: TraceEvent[] = [];
  trace.listener = (e) => events.push(e);

  /** Interrupts on their way up: hardware to host, host to VMM, VMM to guest. */
  const settle = (): void => {
    runToEnd(host.interrupt());
    runToEnd(vmm.pollEvents());
    runToEnd(guest.interrupt());
  };
  /** One operation, then what it put on each queue and which ioctls it made. */
  const step = (op: Op<OpResult>) => {
    events.length = 0;
    const result = runToEnd(op);
    settle();
    expect(result.text && result).toMatchObject({ ok: true });
    return seen();
  };
  const seen = () => {
    const posts = (queue: string): string[] =>
      events.flatMap((e) => (e.kind === 'command.post' && e.queue === queue ? [short(e.command)] : []));
    const ioctls = events.flatMap((e) =>
      e.kind === 'ioctl.enter' ? [e.call.replace(/^(IOMMU|VFIO_DEVICE)_/, '')] : [],
    );
    return { guest: posts('virtual'), host: posts('physical'), ioctls };
  };
  const dma = (iova: bigint, write = false, translated = false, d = devices[0]!) => {
    const r = runToEnd(smmu.dma({ device: d, pasid: -1, iova, write, translated }));
    settle();
    return r;
  };
  const listen = (f: (e: TraceEvent) => void): void => {
    trace.listener = f;
  };
  return { guestMemory, kernel, host, vmm, guest, devices, events, step, dma, listen, injector };
}

/** Raw words where the reference gives them, the text otherwise. */
function short(c: { name: string; text: string; words: readonly bigint[] }): string {
  if (c.name === 'SYNC') return 'SYNC';
  if (!/^(TLBI|ATC)/.test(c.name)) return c.text;
  return c.words.map((w) => w.toString(16).padStart(16, '0')).join(' ');
}

type Machine = ReturnType<typeof machine>;

function booted(o: Options = {}): Machine {
  const m = machine(o);
  runToEnd(m.host.probe());
  m.step(m.vmm.start());
  for (const d of m.devices) m.step(m.vmm.plug(d.name));
  m.step(m.guest.boot());
  return m;
}

const cfgiSte = (sid: string): string[] => [`CFGI_STE sid ${sid} leaf`, 'SYNC'];
const cfgiCd = (sid: string): string[] => [`CFGI_CD sid ${sid} ssid 0x0 leaf`, 'SYNC'];
const prefetch = (sid: string): string => `PREFETCH_CONFIG sid ${sid}`;

describe('arm-smmuv3.md 10.6, command by command', () => {
  it('VMM start, probe, attach, map, unmap', () => {
    const m = machine();
    runToEnd(m.host.probe());

    expect(m.step(m.vmm.start())).toEqual({ guest: [], host: [], ioctls: ['IOAS_ALLOC', 'IOAS_MAP'] });
    const plug = m.step(m.vmm.plug('nic0'));
    expect(plug.ioctls).toEqual([
      'BIND_IOMMUFD',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
      'GET_HW_INFO',
      'VIOMMU_ALLOC',
      'HWPT_ALLOC',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
    ]);
    // The claim of DMA ownership finds the STE at abort already; what follows is the parent, then the bypass HWPT.
    expect(plug.host.slice(-6)).toEqual([
      ...cfgiSte('0x108'),
      ...cfgiSte('0x108'),
      prefetch('0x108'),
      prefetch('0x108'),
    ]);
    expect(m.step(m.vmm.reset())).toEqual({ guest: [], host: [], ioctls: ['ATTACH_IOMMUFD_PT'] });

    expect(m.step(m.guest.boot())).toEqual({
      guest: ['CFGI_ALL', 'SYNC', '0000000000000030 0000000000000000', 'SYNC'],
      host: ['0000000100000010 0000000000000000', 'SYNC'],
      ioctls: ['VDEVICE_ALLOC', 'HWPT_INVALIDATE', 'VEVENTQ_ALLOC'],
    });

    const attach = m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    expect(attach.guest).toEqual([
      ...cfgiCd('0x8'),
      ...cfgiCd('0x8'),
      ...cfgiSte('0x8'),
      ...cfgiSte('0x8'),
      prefetch('0x8'),
    ]);
    expect(attach.ioctls).toEqual([
      'HWPT_INVALIDATE',
      'HWPT_INVALIDATE',
      'ATTACH_IOMMUFD_PT',
      'HWPT_ALLOC',
      'ATTACH_IOMMUFD_PT',
    ]);
    expect(attach.host).toEqual([
      ...cfgiCd('0x108'),
      ...cfgiCd('0x108'),
      // Guest STE still abort: S2 to abort.
      ...cfgiSte('0x108'),
      ...cfgiSte('0x108'),
      prefetch('0x108'),
      // Abort to nested.
      ...cfgiSte('0x108'),
      ...cfgiSte('0x108'),
      prefetch('0x108'),
    ]);

    expect(m.step(m.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: 0x48300000, size: 4096 }))).toEqual({
      guest: [],
      host: [],
      ioctls: [],
    });
    expect(m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }))).toEqual({
      guest: ['0001000000000012 00000000fffff701', 'SYNC'],
      host: ['0001000100000012 00000000fffff701', 'SYNC'],
      ioctls: ['HWPT_INVALIDATE'],
    });
  });

  it('with ATS: the ATC is emptied when EATS turns on, and after the TLBI', () => {
    const m = machine({ ats: true });
    runToEnd(m.host.probe());
    m.step(m.vmm.start());
    m.step(m.vmm.plug('nic0'));
    m.step(m.guest.boot());
    const attach = m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    expect(attach.host.filter((c) => c.startsWith('0000010800000040')).length).toBeGreaterThanOrEqual(1);
    expect(attach.host.at(-2)).toBe('0000010800000040 0000000000000034');
    expect(m.devices[0]!.atsEnabled).toBe(true);
    m.step(m.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: 0x48300000, size: 4096 }));
    expect(m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }))).toEqual({
      guest: ['0001000000000012 00000000fffff701', 'SYNC', '0000000800000040 00000000fffff000', 'SYNC'],
      host: ['0001000100000012 00000000fffff701', 'SYNC', '0000010800000040 00000000fffff000', 'SYNC'],
      ioctls: ['HWPT_INVALIDATE', 'HWPT_INVALIDATE'],
    });
  });
});

describe('DMA through both stages', () => {
  const IOVA = 0xfffff040n;
  const mapped = (o: Options = {}): Machine => {
    const m = booted(o);
    for (const d of m.devices) m.step(m.guest.attach({ device: d.name, domain: 'dma0' }));
    m.step(m.guest.map({ domain: 'dma0', iova: 0xfffff000, gpa: 0x48300000, size: 4096 }));
    return m;
  };

  it('arrives where the guest’s own window says', () => {
    const m = mapped();
    expect(m.dma(IOVA)).toMatchObject({ ok: true, pa: m.guestMemory.resolve(0x48300040), hit: 'walk' });
    expect(m.dma(IOVA)).toMatchObject({ ok: true, hit: 'IOTLB', reads: 0 });
  });

  it('faults after the unmap, and the guest reads V1 of arm-smmuv3.md 10.3', () => {
    const m = mapped();
    m.dma(IOVA, true);
    m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }));
    m.events.length = 0;
    expect(m.dma(IOVA, true)).toMatchObject({ ok: false, fault: { name: 'F_TRANSLATION' } });
    const event = m.events.find((e) => e.kind === 'guest.event');
    expect(event?.kind === 'guest.event' && event.words).toEqual([
      0x0000000800000010n,
      0x0000020000000000n,
      0x00000000fffff040n,
      0n,
    ]);
    const log = m.events
      .filter((e) => e.kind === 'note' && e.actor === 'guest')
      .map((e) => e.kind === 'note' && e.text);
    expect(log).toContain(
      'guest kernel log: event: F_TRANSLATION client: nic0 sid: 0x8 ssid: 0 iova: 0xfffff040 ipa: 0',
    );
    expect(m.guest.views().evtq).toMatchObject({ prod: 1, cons: 1 });
  });

  it('a guest without TLBI leaves the old translation in the IOTLB', () => {
    const m = mapped({ deviations: ['guest.no-tlbi'] });
    m.dma(IOVA);
    m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }));
    expect(m.dma(IOVA)).toMatchObject({ ok: true, hit: 'IOTLB' });
  });

  it.each(['guest.no-atc-inv', 'vmm.no-forward-atc'])('%s leaves it in the ATC', (deviation) => {
    const m = mapped({ ats: true, deviations: [deviation] });
    expect(m.dma(IOVA, false, true).ok).toBe(true);
    m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }));
    expect(m.dma(IOVA, false, true)).toMatchObject({ ok: true, hit: 'ATC' });
    expect(m.dma(IOVA, false, false).ok).toBe(false);
  });

  it('an STE that goes to bypass and abort takes the device along', () => {
    const m = mapped();
    m.step(m.guest.attach({ device: 'nic0', domain: 'bypass' }));
    expect(m.dma(0x48300040n)).toMatchObject({ ok: true, pa: m.guestMemory.resolve(0x48300040) });
    m.step(m.guest.detach({ device: 'nic0' }));
    expect(m.dma(0x48300040n)).toMatchObject({ ok: false });
    expect(m.kernel.objects().filter((o) => o.type === 'HWPT_NESTED')).toHaveLength(2);
  });

  it('two devices on one CD table: one CFGI_CD is not enough', () => {
    const moved = (deviation: string[]) => {
      const m = booted({ two: true, deviations: deviation });
      m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
      m.step(m.guest.attach({ device: 'nic1', domain: 'dma0', cdTable: 'nic0' }));
      for (const [domain, gpa] of [
        ['dma0', 0x48300000],
        ['dma1', 0x48400000],
      ] as const)
        m.step(m.guest.map({ domain, iova: 0x10000, gpa, size: 4096 }));
      for (const d of m.devices) expect(m.dma(0x10000n, false, false, d).pa).toBe(m.guestMemory.resolve(0x48300000));
      m.step(m.guest.attach({ device: 'nic0', domain: 'dma1' }));
      return m.devices.map((d) => m.dma(0x10000n, false, false, d).pa === m.guestMemory.resolve(0x48400000));
    };
    expect(moved([])).toEqual([true, true]);
    expect(moved(['guest.cfgi-cd-one-stream'])).toEqual([true, false]);
  });

  it('CFGI_ALL must reach the nested HWPT', () => {
    const table = (o: Options) => {
      const m = mapped(o);
      m.dma(IOVA);
      // The guest rewrites its STE by hand and announces it with CFGI_ALL only.
      const ste = m.guest.views().devices[0]!.steAddress;
      m.guestMemory.writeWord(ste, 1n);
      m.step(m.guest.invalidate([0x4n, 0x1fn]));
      return m.dma(IOVA).ok;
    };
    expect(table({})).toBe(false);
    expect(table({ deviations: ['vmm.cfgi-range-local'] })).toBe(true);
  });

  it('memory that the host takes away faults on the host only', () => {
    const m = mapped();
    m.step(m.vmm.map({ gpa: 0x80000000, size: 2 ** 21 }));
    m.step(m.guest.map({ domain: 'dma0', iova: 0x200000, gpa: 0x80000000, size: 2 ** 21 }));
    expect(m.dma(0x200123n)).toMatchObject({ ok: true, pa: m.guestMemory.resolve(0x80000123) });
    m.step(m.vmm.unmap({ gpa: 0x80000000, size: 2 ** 21 }));
    m.events.length = 0;
    expect(m.dma(0x200123n)).toMatchObject({ ok: false, fault: { name: 'F_TRANSLATION' } });
    expect(m.events.some((e) => e.kind === 'guest.event')).toBe(false);
  });

  it('a corrupted StreamID is refused by the kernel and skipped by the guest', () => {
    const m = mapped({ ats: true });
    m.injector.active.push({ at: 'vmm.forward', action: 'corrupt', count: 1, xor: [1n << 40n, 0n] });
    const r = runToEnd(m.guest.invalidate([0x0000000800000040n, 0x34n]));
    expect(r.ok).toBe(false);
    expect(r.text).toContain('Illegal command');
    expect(runToEnd(m.guest.invalidate([0x0000000800000040n, 0x34n])).ok).toBe(true);
  });

  it('a batch costs one ioctl and one wait on the host', () => {
    const count = (batch: number) => {
      const m = booted({ batch });
      m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
      m.step(m.guest.map({ domain: 'dma0', iova: 0xfff00000, gpa: 0x48300000, size: 45 * 4096 }));
      return m.step(m.guest.unmap({ domain: 'dma0', iova: 0xfff00000, size: 45 * 4096 }));
    };
    const two = ['000100010000c012 00000000fff00701', '0001000100500012 00000000fff0d701'] as const;
    expect(count(1)).toMatchObject({
      ioctls: ['HWPT_INVALIDATE', 'HWPT_INVALIDATE'],
      host: [two[0], 'SYNC', two[1], 'SYNC'],
    });
    expect(count(16)).toMatchObject({ ioctls: ['HWPT_INVALIDATE'], host: [two[0], two[1], 'SYNC'] });
  });

  it('the same operations give the same trace', () => {
    const trace = (): string => {
      const m = mapped({ ats: true, two: true });
      m.events.length = 0;
      m.dma(IOVA, true, true);
      runToEnd(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }));
      m.dma(IOVA, true, true);
      return JSON.stringify(m.events, (_k, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v));
    };
    expect(trace()).toBe(trace());
  });

  it('the guest’s bus number decides what an unplugged device’s commands reach', () => {
    const m = mapped({ two: true });
    m.step(m.guest.remove({ device: 'nic1' }));
    m.step(m.vmm.unplug('nic1'));
    expect(m.dma(IOVA).ok).toBe(true);
    m.step(m.vmm.plug('nic1'));
    m.step(m.guest.attach({ device: 'nic1', domain: 'dma0' }));
    expect(m.dma(IOVA, false, false, m.devices[1]!).pa).toBe(m.guestMemory.resolve(0x48300040));
  });
});
