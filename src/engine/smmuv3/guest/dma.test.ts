import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { booted, type Machine, type Options } from './whole-machine.ts';

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

  it('no command and no register value can make it throw or hang', () => {
    const word = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const opcode = fc.constantFrom(
      1,
      2,
      3,
      4,
      5,
      6,
      7,
      0x10,
      0x11,
      0x12,
      0x13,
      0x28,
      0x2a,
      0x30,
      0x40,
      0x41,
      0x44,
      0x46,
    );
    const command = fc
      .tuple(word, word, fc.option(opcode))
      .map(([a, b, op]) => (op === null ? [a, b] : [(a & ~0xffn) | BigInt(op), b]));
    const regs = [
      'CMDQ_PROD',
      'CMDQ_CONS',
      'CMDQ_BASE',
      'EVENTQ_PROD',
      'EVENTQ_BASE',
      'CR0',
      'GERRORN',
      'GBPA',
      'STRTAB_BASE',
    ];
    fc.assert(
      fc.property(
        fc.array(fc.oneof(command, fc.tuple(fc.constantFrom(...regs), word)), { minLength: 1, maxLength: 8 }),
        (list) => {
          const m = mapped({ ats: true });
          let events = 0;
          m.listen(() => events++);
          for (const x of list)
            if (typeof x[0] === 'string') runToEnd(m.vmm.writeVirtual(x[0], x[1] as bigint));
            else runToEnd(m.guest.invalidate(x as bigint[]));
          runToEnd(m.guest.unmap({ domain: 'dma0', iova: 0xfffff000, size: 4096 }));
          m.dma(IOVA);
          expect(events).toBeLessThan(100_000);
        },
      ),
      { numRuns: 25 },
    );
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
