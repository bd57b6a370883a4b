import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { booted, type Machine, type Options } from './whole-machine.ts';

/** What a guest does wrong by hand, through VMM, kernel and hardware, and what it gets for it. */

const IOVA = 0x10000;
const GPA = 0x48300000;

function mapped(o: Options = {}) {
  const m = booted({ pasidBits: 8, ...o });
  m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
  m.step(m.guest.map({ domain: 'dma0', iova: IOVA, gpa: GPA, size: 4096 }));
  const view = () => m.guest.views().devices[0]!;
  const ste = view().steAddress;
  const cd = view().cdTable!.address;
  const xor = (address: number, word: number, bits: bigint): void =>
    m.guestMemory.writeWord(address + word * 8, m.guestMemory.readWord(address + word * 8) ^ bits);
  /** One command; the guest's own view of what became of it. */
  const send = (name: string, fields: Record<string, number | bigint> = {}) =>
    runToEnd(m.guest.invalidate(encodeCommand(name, fields)));
  /** A DMA; where it arrived or 'fault', and the events that reached the guest. */
  const dma = (iova = IOVA, pasid = -1) => {
    m.events.length = 0;
    const r = m.dma(BigInt(iova), false, false, m.devices[0]!, pasid);
    const to = m.events.flatMap((e) => (e.kind === 'guest.event' ? [Number(e.words[0]! & 0xffn)] : []));
    return { at: r.ok ? r.pa : 'fault', name: r.fault?.name ?? '', guestSees: to };
  };
  const home = m.guestMemory.resolve(GPA);
  return { ...m, ste, cd, xor, send, dma, home };
}

const old = (m: ReturnType<typeof mapped>) => ({ at: m.home, name: '', guestSees: [] });

describe('a wrong context descriptor', () => {
  it.each([
    ['V = 0', 0, 1n << 31n, 'C_BAD_CD', [0x0a]],
    ['A = 0 where hardware cannot return zeros', 0, 1n << 46n, 'C_BAD_CD', [0x0a]],
    ['an input size out of range', 0, 0x38n, 'C_BAD_CD', [0x0a]],
    ['a granule that is reserved', 0, 0xc0n, 'C_BAD_CD', [0x0a]],
    ['AArch32 tables', 0, 1n << 41n, 'C_BAD_CD', [0x0a]],
    ['a table beyond its output size', 1, 1n << 47n, 'C_BAD_CD', [0x0a]],
    ['walks switched off', 0, 1n << 14n, 'F_TRANSLATION', [0x10]],
    ['an empty table in RAM', 1, 0x10000n, 'F_TRANSLATION', [0x10]],
    // Stage 2 has nothing there: the record carries S2 = 1 and stays on the host (arm-smmuv3.md 11, point 2).
    ['a table outside the guest’s RAM', 1, 1n << 38n, 'F_TRANSLATION', []],
  ] as const)('%s', (_what, word, bits, name, guestSees) => {
    const m = mapped();
    m.xor(m.cd, word, bits);
    m.send('CFGI_CD', { SID: 8, Leaf: 1 });
    expect(m.dma()).toEqual({ at: 'fault', name, guestSees });
    m.xor(m.cd, word, bits);
    m.send('CFGI_CD', { SID: 8, Leaf: 1 });
    expect(m.dma()).toEqual(old(m));
  });
});

describe('a wrong stream table entry', () => {
  it('V = 0 is taken as a silent abort: the guest hears nothing (arm-smmuv3.md 11, point 1)', () => {
    const m = mapped();
    m.xor(m.ste, 0, 1n);
    expect(m.send('CFGI_STE', { SID: 8, Leaf: 1 }).ok).toBe(true);
    expect(m.dma()).toEqual({ at: 'fault', name: '', guestSees: [] });
  });

  it.each([
    ['a second stage of its own (Config 7)', 0, 1n << 2n],
    ['split-stage ATS (EATS 2)', 1, 2n << 28n],
  ])('%s is refused by the kernel; the command counts as illegal and the old STE stays', (_what, word, bits) => {
    const m = mapped();
    m.xor(m.ste, word, bits);
    const r = m.send('CFGI_STE', { SID: 8, Leaf: 1 });
    expect(r).toMatchObject({ ok: false, text: expect.stringContaining('Illegal command') });
    expect(m.dma()).toEqual(old(m));
  });

  it.each([
    ['more PASIDs than hardware has', 0, 1n << 63n, 'C_BAD_STE', [0x04]],
    // IDR0.STALL_MODEL is 1.
    ['stalling forbidden where there is none', 1, 1n << 27n, 'C_BAD_STE', [0x04]],
    ['requests without PASID terminated', 1, 2n, 'F_STREAM_DISABLED', [0x06]],
    ['a CD table outside its RAM', 0, 1n << 38n, 'F_TRANSLATION', []],
  ] as const)('%s: hardware refuses', (_what, word, bits, name, guestSees) => {
    const m = mapped();
    m.xor(m.ste, word, bits);
    expect(m.send('CFGI_STE', { SID: 8, Leaf: 1 }).ok).toBe(true);
    expect(m.dma()).toEqual({ at: 'fault', name, guestSees });
  });

  it('without CFGI_STE nobody looks at it; announced before it is written, the old one is taken', () => {
    const m = mapped();
    m.guestMemory.writeWord(m.ste, 9n);
    expect(m.dma()).toEqual(old(m));
    const early = mapped();
    early.send('CFGI_STE', { SID: 8, Leaf: 1 });
    early.guestMemory.writeWord(early.ste, 9n);
    expect(early.dma()).toEqual(old(early));
    early.send('CFGI_STE', { SID: 8, Leaf: 1 });
    expect(early.dma(GPA)).toEqual(old(early));
  });
});

describe('a missing or wrong TLB invalidation', () => {
  const cleared = () => {
    const m = mapped();
    expect(m.dma()).toEqual(old(m));
    m.step(m.guest.unmap({ domain: 'dma0', iova: IOVA, size: 4096, flush: 'none' }));
    return m;
  };
  const page = { Address: BigInt(IOVA), Leaf: 1 };

  it.each([
    ['none', null, {}],
    ['another ASID', 'TLBI_NH_VA', { ...page, ASID: 2 }],
    ['another page', 'TLBI_NH_VA', { ...page, ASID: 1, Address: BigInt(IOVA + 4096) }],
    ['a range that ends before it', 'TLBI_NH_VA', { ...page, ASID: 1, Address: 0xf000n, TG: 1, TTL: 3 }],
    ['another level', 'TLBI_NH_VA', { ...page, ASID: 1, Address: 0n, TG: 1, TTL: 2, SCALE: 9 }],
    ['all of another ASID', 'TLBI_NH_ASID', { ASID: 2 }],
    ['configuration only', 'CFGI_STE_RANGE', { Range: 31 }],
    ['the CD only', 'CFGI_CD_ALL', { SID: 8 }],
    ['the device’s cache only', 'ATC_INV', { SID: 8, Size: 52 }],
  ] as const)('%s: the IOTLB answers with the old page', (_what, name, fields) => {
    const m = cleared();
    if (name) m.send(name, fields);
    expect(m.dma()).toEqual(old(m));
  });

  it.each([
    ['TLBI_NH_VA', { ...page, ASID: 1 }],
    ['TLBI_NH_VA', { ...page, ASID: 1, TG: 1, TTL: 3 }],
    ['TLBI_NH_VA', { ...page, ASID: 1, VMID: 0x77 }],
    ['TLBI_NH_VAA', page],
    ['TLBI_NH_ASID', { ASID: 1 }],
    ['TLBI_NH_ALL', {}],
    ['TLBI_NSNH_ALL', {}],
  ] as const)('%s removes it, whatever VMID the guest writes', (name, fields) => {
    const m = cleared();
    expect(m.send(name, fields).ok).toBe(true);
    expect(m.dma()).toEqual({ at: 'fault', name: 'F_TRANSLATION', guestSees: [0x10] });
  });

  it('a table freed without a flush is read as whatever its page is used for next', () => {
    const MiB2 = 2 ** 21;
    const reuse = (deviations: string[]) => {
      const m = mapped({ deviations });
      for (let i = 0; i < 512; i++)
        m.step(m.guest.map({ domain: 'dma0', iova: MiB2 + i * 4096, gpa: GPA + i * 4096, size: 4096 }));
      m.step(m.guest.map({ domain: 'dma1', iova: MiB2, gpa: 0x4a000000, size: 4096 }));
      m.dma(MiB2);
      m.step(m.guest.unmap({ domain: 'dma0', iova: MiB2, size: MiB2 }));
      // The next page that the kernel takes is that one: it becomes another domain's table of pages.
      m.step(m.guest.map({ domain: 'dma1', iova: 4096, gpa: 0x4a000000, size: 4096 }));
      const { at } = m.dma(MiB2 + 4096);
      return typeof at === 'number' ? at - m.guestMemory.resolve(0x4a000000) : at;
    };
    expect(reuse([])).toBe('fault');
    expect(reuse(['guest.no-walk-flush'])).toBe(0);
  });
});

describe('a missing CFGI_CD', () => {
  const moved = () => {
    const m = mapped();
    m.step(m.guest.map({ domain: 'dma1', iova: IOVA, gpa: GPA + 4096, size: 4096 }));
    m.dma();
    // ASID and table of the other domain, by hand.
    const { root } = m.guest.views().domains[1]!;
    m.xor(m.cd, 0, 3n << 48n);
    m.guestMemory.writeWord(m.cd + 8, BigInt(root));
    return m;
  };

  it.each([
    ['none', null, {}],
    ['another PASID’s', 'CFGI_CD', { SID: 8, SSID: 1, Leaf: 1 }],
    ['another device’s', 'CFGI_CD', { SID: 16, Leaf: 1 }],
    ['the TLB only', 'TLBI_NSNH_ALL', {}],
  ] as const)('%s: the old address space stays', (_what, name, fields) => {
    const m = moved();
    if (name) m.send(name, fields);
    expect(m.dma()).toEqual(old(m));
  });

  it.each([
    ['CFGI_CD', { SID: 8, Leaf: 1 }],
    ['CFGI_CD', { SID: 8 }],
    ['CFGI_CD_ALL', { SID: 8 }],
  ] as const)('%s makes it the new one', (name, fields) => {
    const m = moved();
    m.send(name, fields);
    expect(m.dma().at).toBe(m.guestMemory.resolve(GPA + 4096));
  });
});

describe('commands for what is not there', () => {
  it.each([
    ['CFGI_CD', { SID: 0x99, Leaf: 1 }],
    ['CFGI_CD_ALL', { SID: 0x99 }],
    ['CFGI_STE', { SID: 0x99, Leaf: 1 }],
    ['CFGI_STE_RANGE', { SID: 0x98, Range: 2 }],
    ['PREFETCH_CONFIG', { SID: 0x99 }],
  ])('%s of an unknown StreamID does nothing and is no error', (name, fields) => {
    const m = mapped();
    m.events.length = 0;
    expect(m.send(name, fields).ok).toBe(true);
    expect(m.events.some((e) => e.kind === 'ioctl.enter')).toBe(false);
    expect(m.dma()).toEqual(old(m));
  });

  it.each([
    ['TLBI_S2_IPA', {}],
    ['TLBI_S12_VMALL', {}],
  ])('%s belongs to a stage that the vSMMU has not: illegal', (name, fields) => {
    const m = mapped();
    expect(m.send(name, fields)).toMatchObject({ ok: false, text: expect.stringContaining('Illegal command') });
    expect(m.send('TLBI_NSNH_ALL').ok).toBe(true);
  });

  it('an SSID beyond the table, and one that nobody attached', () => {
    const m = mapped();
    expect(m.dma(IOVA, 3)).toEqual({ at: 'fault', name: 'C_BAD_CD', guestSees: [0x0a] });
    expect(m.dma(IOVA, 255)).toEqual({ at: 'fault', name: 'C_BAD_CD', guestSees: [0x0a] });
    // S1DSS = 2: PASID 0 may not be sent.
    expect(m.dma(IOVA, 0)).toEqual({ at: 'fault', name: 'F_STREAM_DISABLED', guestSees: [0x06] });
  });
});

describe('through the whole machine', () => {
  it('a process on two devices, its exit and unbind', () => {
    const m: Machine = booted({ pasidBits: 8, two: true, ats: true });
    for (const d of ['nic0', 'nic1']) {
      m.step(m.guest.attach({ device: d, domain: 'dma0' }));
      m.step(m.guest.bind({ device: d, process: 'app' }));
    }
    m.step(m.guest.map({ domain: 'app', iova: IOVA, gpa: GPA, size: 8192 }));
    const dma = (iova: number, translated: boolean) =>
      m.devices.map((d) => m.dma(BigInt(iova), true, translated, d, 1).ok);
    for (const translated of [false, true]) expect(dma(IOVA, translated)).toEqual([true, true]);
    expect(m.step(m.guest.unmap({ domain: 'app', iova: IOVA, size: 4096 })).host).toEqual([
      '0002000100100012 0000000000010400',
      'SYNC',
      '0000010800001840 0000000000010000',
      'SYNC',
      '0000011000001840 0000000000010000',
      'SYNC',
    ]);
    for (const translated of [false, true]) expect(dma(IOVA, translated)).toEqual([false, false]);
    for (const translated of [false, true]) expect(dma(IOVA + 4096, translated)).toEqual([true, true]);
    m.step(m.guest.exit({ process: 'app' }));
    m.events.length = 0;
    expect(dma(IOVA + 4096, false)).toEqual([false, false]);
    expect(m.events.some((e) => e.kind === 'guest.event')).toBe(false);
    for (const device of ['nic0', 'nic1']) m.step(m.guest.unbind({ device, process: 'app' }));
    expect(m.guest.views().processes).toEqual([]);
  });

  it('a stalled access of a process goes up to the guest and comes back with its page', () => {
    const m = booted({ pasidBits: 8, stall: true });
    m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    m.step(m.guest.bind({ device: 'nic0', process: 'app' }));
    m.step(m.guest.map({ domain: 'app', iova: IOVA, gpa: GPA, size: 8192, present: false }));
    const dma = (iova: number, write: boolean) => m.dma(BigInt(iova), write, false, m.devices[0]!, 1);
    m.events.length = 0;
    expect(dma(IOVA, false)).toMatchObject({ ok: true, pa: m.guestMemory.resolve(GPA) });
    expect(
      m.events.flatMap((e) => (e.kind === 'command.post' && e.command.name === 'RESUME' ? [e.queue] : [])),
    ).toEqual(['virtual', 'physical']);
    // Clean after the read: the write stalls once more. Then an address without an area: aborted.
    expect(dma(IOVA, true)).toMatchObject({ ok: true, pa: m.guestMemory.resolve(GPA) });
    expect(dma(0x40000, true)).toMatchObject({ ok: false });
    m.step(m.guest.exit({ process: 'app' }));
    m.events.length = 0;
    expect(dma(IOVA + 4096, true)).toMatchObject({ ok: false });
    expect(m.events.some((e) => e.kind === 'guest.event')).toBe(false);
  });

  it.each([16384, 65536] as const)('a guest with pages of %i bytes on a host with 4 KiB', (page) => {
    const m = booted({ pasidBits: 8, page });
    m.step(m.guest.attach({ device: 'nic0', domain: 'dma0' }));
    m.step(m.guest.bind({ device: 'nic0', process: 'app' }));
    for (const [domain, pasid] of [
      ['dma0', -1],
      ['app', 1],
    ] as const) {
      m.step(m.guest.map({ domain, iova: 4 * page, gpa: 0x48400000, size: 2 * page }));
      const dma = (iova: number) => m.dma(BigInt(iova), true, false, m.devices[0]!, pasid);
      expect(dma(6 * page - 8)).toMatchObject({ ok: true, pa: m.guestMemory.resolve(0x48400000 + 2 * page - 8) });
      m.step(m.guest.unmap({ domain, iova: 5 * page, size: page }));
      expect([dma(5 * page).ok, dma(4 * page).ok]).toEqual([false, true]);
    }
  });
});
