import { describe, expect, it } from 'vitest';
import { pause } from '../../machine/index.ts';
import { A, B, type Bench, bench, GUEST, HOST } from './bench.ts';
import { pasidCache } from './descriptors.ts';
import type { Domain } from './domain.ts';
import {
  attachDevice,
  attachPasid,
  BLOCKED,
  capsOf,
  deliver,
  detachPasid,
  flushRange,
  flushRangeNp,
  freeDomain,
  loadKernel,
  presentPasids,
  releaseDevice,
  resetDone,
  resetPrepare,
  saveKernel,
  submit,
} from './index.ts';
import { wordsText } from './recording-unit.ts';

const FOUR = { cap: HOST.cap | (1n << 10n), ecap: HOST.ecap };
const fs = (b: Bench, root = 0x1000n): Domain => b.domain({ kind: 'fs', root });

describe('7.1: boot', () => {
  it('writes registers in the kernel’s order', () => {
    const b = bench({ actor: 'guest', devices: [] });
    const fresh = bench({ actor: 'guest', devices: [], keepWritten: true });
    const { queue, root, prq } = fresh.k.state.units[0]!;
    const hex = (n: number): string => `0x${n.toString(16)}`;
    expect(fresh.unit.written).toEqual([
      'IQT_REG 0x0',
      `IQA_REG ${hex(queue!.base + 0x801)}`,
      'GCMD_REG 0x4000000',
      `RTADDR_REG ${hex(root + 0x400)}`,
      'GCMD_REG 0x44000000',
      'PEDATA_REG 0x22',
      'PEADDR_REG 0xfee00000',
      'PEUADDR_REG 0x0',
      'PECTL_REG 0x0',
      'PQH_REG 0x0',
      'PQT_REG 0x0',
      `PQA_REG ${hex(prq + 4)}`,
      'FEDATA_REG 0x21',
      'FEADDR_REG 0xfee00000',
      'FEUADDR_REG 0x0',
      'FECTL_REG 0x0',
      'GCMD_REG 0x84000000',
    ]);
    expect(b.k.state.log).toEqual([
      'DMAR: dmar0: reg_base_addr fed90000 ver 6:0 cap 81d2008c222f0686 ecap 8d9a20000f46',
      'DMAR: dmar0: Using Queued invalidation',
      'DMAR: Intel(R) Virtualization Technology for Directed I/O',
    ]);
  });

  it('a guest’s register accesses are exits and events, a host’s are not its own', () => {
    const b = bench({ actor: 'guest', devices: [A] });
    const kinds: string[] = [];
    b.trace.listener = (e) => kinds.push(`${e.actor} ${e.kind}`);
    b.trace.resetCounts();
    b.run(submit(b.k, b.k.units[0]!, [pasidCache(2, 0)]));
    expect(kinds).toEqual(['guest command.post', 'guest command.post', 'guest register.write']);
    expect(b.trace.exits).toBe(0);
    const host = bench();
    const seen: string[] = [];
    host.trace.listener = (e) => seen.push(e.kind);
    host.run(submit(host.k, host.k.units[0]!, [pasidCache(2, 0)]));
    expect(seen).toEqual(['command.post', 'command.post']);
  });

  it('the widths of entries without a table of their own: 4 levels in QEMU’s unit, 5 on the host', () => {
    expect(capsOf(bench({ actor: 'guest', devices: [] }).k, 0).agaw).toBe(2);
    expect(capsOf(bench({ devices: [] }).k, 0).agaw).toBe(3);
    expect(
      capsOf(bench({ words: { cap: (HOST.cap & ~(1n << 60n)) | (1n << 10n), ecap: HOST.ecap }, devices: [] }).k, 0)
        .agaw,
    ).toBe(2);
  });
});

describe('5.1: domain ids', () => {
  it('lowest free number from 2 on, one for all attachments of a domain, back with the last', () => {
    const b = bench();
    const [a, d] = [b.device(A.name), b.device(B.name)];
    const [one, two, three] = [fs(b), fs(b), fs(b)];
    b.run(attachDevice(b.k, a, one));
    b.run(attachDevice(b.k, d, one));
    b.run(attachPasid(b.k, a, 7, two));
    expect([one.dids, two.dids].map((x) => x.map((u) => [u.did, u.users]))).toEqual([[[2, 2]], [[3, 1]]]);
    b.run(attachDevice(b.k, a, b.domain({ kind: 'fs', root: 0n })));
    b.run(attachDevice(b.k, d, three));
    expect(one.dids).toEqual([]);
    expect(three.dids[0]!.did).toBe(2);
    freeDomain(b.k, one);
    expect(b.k.state.domains.has(one.handle)).toBe(false);
  });

  it('the same domain has a DID of its own in each unit', () => {
    const b = bench({ units: 2, devices: [A, { ...B, unit: 1 }] });
    b.k.state.units[1]!.dids.push(2, 3);
    const domain = fs(b);
    for (const name of [A.name, B.name]) b.run(attachDevice(b.k, b.device(name), domain));
    expect(domain.dids.map((u) => [u.unit, u.did])).toEqual([
      [0, 2],
      [1, 4],
    ]);
    for (const u of b.units) u.clear();
    b.run(flushRange(b.k, domain, 0x1000n, 0x1fffn, true));
    expect(b.units.map((u) => u.sent())).toEqual([
      [['0x0000000000020036 0x0000000000001040', '0x00003b0000000003 0x0000000000001000']],
      [['0x0000000000040036 0x0000000000001040', '0x00005e1000000003 0x0000000000001000']],
    ]);
    expect(b.lines.some((x) => x.includes('dmar1 0000:5e:02.0[0]'))).toBe(true);
  });

  it('no free number: ENOSPC', () => {
    const b = bench({ words: { cap: HOST.cap & ~7n, ecap: HOST.ecap }, devices: [A] });
    const a = b.device(A.name);
    for (let pasid = 1; pasid <= 14; pasid++) expect(b.run(attachPasid(b.k, a, pasid, fs(b)))).toBe('0');
    expect(b.run(attachPasid(b.k, a, 15, fs(b)))).toBe('ENOSPC');
    expect(b.k.state.log.at(-1)).toBe('DMAR: dmar0: No free domain ids');
    expect(b.run(attachDevice(b.k, a, fs(b)))).toBe('ENOSPC');
    expect(a.domain).toBe(BLOCKED);
  });
});

describe('5.2: cache tags', () => {
  it('two devices of one unit share the IOTLB tag and have a device TLB tag each; a unit’s tags stand together', () => {
    const b = bench({ units: 2, devices: [A, { ...B, unit: 1 }, { name: '0000:3c:00.0', rid: 0x3c00 }] });
    const domain = fs(b);
    for (const name of b.k.pci.keys()) b.run(attachDevice(b.k, b.device(name), domain));
    expect(domain.tags.map((t) => [t.unit, t.type, t.device, t.users])).toEqual([
      [1, 'iotlb', 'dmar1', 1],
      [1, 'devtlb', B.name, 1],
      [0, 'iotlb', 'dmar0', 2],
      [0, 'devtlb', A.name, 1],
      [0, 'devtlb', '0000:3c:00.0', 1],
    ]);
  });

  it('ATS that comes after the domain adds its tag', () => {
    const b = bench({ initial: { kind: 'fs', root: 0x1000n }, devices: [A] });
    const domain = b.k.state.domains.get(b.device(A.name).domain)!;
    expect(domain.tags.map((t) => t.type)).toEqual(['iotlb', 'devtlb']);
    const late = bench({
      initial: { kind: 'fs', root: 0x1000n },
      devices: [A],
      deviations: ['host.no-dev-tlb-tag-late-ats'],
    });
    expect(late.k.state.domains.get(late.device(A.name).domain)!.tags.map((t) => t.type)).toEqual(['iotlb']);
  });
});

describe('cache_tag_flush_range_np', () => {
  const CM = { cap: FOUR.cap | (1n << 7n), ecap: FOUR.ecap };
  const ss = (b: Bench, syncMap: boolean) => b.domain({ kind: 'ss', root: 0x1000n, levels: 4, syncMap });

  it('CM=1, second stage: the IOTLB without IH, no device TLB', () => {
    const b = bench({ words: CM, devices: [A] });
    const domain = ss(b, true);
    expect(b.run(attachDevice(b.k, b.device(A.name), domain))).toBe('0');
    b.unit.clear();
    b.lines.length = 0;
    b.run(flushRangeNp(b.k, domain, 0x80000000n, 0x801fffffn));
    expect(b.unit.sent()).toEqual([['0x00000000000200f2 0x0000000080000009']]);
    expect(b.lines[0]).toBe(
      'cache_tag_flush_range_np: dmar0 dmar0[0] type iotlb did 2 [0x80000000-0x801fffff] addr 0x80000000 mask 0x9',
    );
  });

  it('a domain that was not made for such a unit is refused; first stage and CM=0 send nothing', () => {
    const b = bench({ words: CM, devices: [A] });
    expect(b.run(attachDevice(b.k, b.device(A.name), ss(b, false)))).toBe('EINVAL');
    const guest = bench({ actor: 'guest', devices: [A] });
    const domain = guest.domain({ kind: 'fs', root: 0x1000n, syncMap: true });
    guest.run(attachDevice(guest.k, guest.device(A.name), domain));
    guest.unit.clear();
    guest.run(flushRangeNp(guest.k, domain, 0n, 0xfffn));
    expect(guest.unit.sent()).toEqual([]);
  });
});

describe('7.9: reset', () => {
  it('the RID, then each PASID, torn down before and set up after; attaching meanwhile is EBUSY', () => {
    const b = bench({ words: FOUR, devices: [A] });
    const a = b.device(A.name);
    const [rid, p3, p9] = [fs(b), fs(b), fs(b)];
    b.run(attachDevice(b.k, a, rid));
    b.run(attachPasid(b.k, a, 9, p9));
    b.run(attachPasid(b.k, a, 3, p3));
    b.unit.clear();
    expect(b.run(resetPrepare(b.k, a))).toBe('0');
    expect(
      b.unit
        .sent()
        .filter((s) => s[0]!.includes('17 '))
        .map((s) => s[0]!.slice(0, 18)),
    ).toEqual(['0x0000000000020017', '0x0000000300040017', '0x0000000900030017']);
    expect(presentPasids(b.k, a)).toEqual([]);
    expect(b.run(attachDevice(b.k, a, rid))).toBe('EBUSY');
    expect(b.run(attachPasid(b.k, a, 4, rid))).toBe('EBUSY');
    expect(b.run(resetPrepare(b.k, a))).toBe('0');
    b.run(resetDone(b.k, a));
    expect(a.reset).not.toBeNull();
    b.run(detachPasid(b.k, a, 9));
    b.run(resetDone(b.k, a));
    expect(a.reset).toBeNull();
    expect(presentPasids(b.k, a)).toEqual([0, 3]);
    expect([a.domain, a.pasids.get(3)]).toEqual([rid.handle, p3.handle]);
  });

  it('a device without ATS is left alone', () => {
    const b = bench({ words: FOUR, devices: [{ ...A, atsCapable: false }] });
    b.run(resetPrepare(b.k, b.device(A.name)));
    expect(b.unit.sent()).toEqual([]);
    expect(b.device(A.name).reset).toBeNull();
  });
});

describe('7.10: removal', () => {
  it('no tag of a released device is left', () => {
    const b = bench();
    const domain = fs(b);
    for (const name of [A.name, B.name]) b.run(attachDevice(b.k, b.device(name), domain));
    b.run(releaseDevice(b.k, A.name));
    expect(domain.tags.map((t) => [t.type, t.device, t.users])).toEqual([
      ['iotlb', 'dmar0', 1],
      ['devtlb', B.name, 1],
    ]);
    expect([...b.k.pci.values()].map((p) => [p.atsEnabled, p.pasidEnabled])).toEqual([
      [false, false],
      [true, true],
    ]);
  });

  it('with ATS off first its device TLB tag stays, and the next flush asks a device that is gone (VTD-06)', () => {
    const b = bench({ deviations: ['host.release-ats-first'] });
    const domain = fs(b);
    for (const name of [A.name, B.name]) b.run(attachDevice(b.k, b.device(name), domain));
    b.run(releaseDevice(b.k, A.name));
    expect(domain.tags.map((t) => t.device)).toContain(A.name);
    b.unit.clear();
    b.run(flushRange(b.k, domain, 0x1000n, 0x1fffn, true));
    expect(b.unit.sent().flat()).toContain('0x00003b0000000003 0x0000000000001000');
  });
});

describe('state', () => {
  it('save and load: what follows is sent as without', () => {
    const make = () => {
      const b = bench({ words: FOUR });
      const domain = fs(b);
      b.run(attachDevice(b.k, b.device(A.name), domain));
      b.run(attachPasid(b.k, b.device(B.name), 4, domain));
      b.unit.clear();
      return { b, handle: domain.handle };
    };
    const go = ({ b, handle }: ReturnType<typeof make>): string[][] => {
      b.run(flushRange(b.k, b.k.state.domains.get(handle)!, 0n, 0xffffn, false));
      b.run(detachPasid(b.k, b.device(B.name), 4));
      return b.unit.sent();
    };
    const plain = go(make());
    const m = make();
    const saved = saveKernel(m.b.k);
    go(m);
    m.b.unit.clear();
    loadKernel(m.b.k, saved);
    // The queue's place belongs to the unit, which is not loaded here.
    m.b.unit.registers.set('IQH_REG', BigInt(m.b.k.state.units[0]!.queue!.freeHead * 32));
    m.b.unit.registers.set('IQT_REG', BigInt(m.b.k.state.units[0]!.queue!.freeHead * 32));
    m.b.run(attachPasid(m.b.k, m.b.device(B.name), 4, m.b.k.state.domains.get(m.handle)!));
    m.b.unit.clear();
    expect(go(m)).toEqual(plain);
  });

  it('messages can be dropped, and held ones come later by themselves', () => {
    const b = bench();
    const u = b.k.units[0]!;
    b.k.injector.active.push({ at: 'host.command', action: 'delay', count: 1, xor: [0n, 0n] });
    b.run(submit(b.k, u, [pasidCache(2, 0)]));
    expect(b.unit.sent()).toEqual([[]]);
    const [held] = b.k.injector.takeHeld();
    b.run(deliver(b.k, u, held!.words));
    b.run(submit(b.k, u, [pasidCache(2, 1)]));
    expect(b.unit.sent()).toEqual([[], [wordsText(pasidCache(2, 0)), wordsText(pasidCache(2, 1))]]);
    expect(b.k.state.units[0]!.queue!.freeCount).toBe(256);
  });

  it('pauses lie at table writes, doorbells and waits', () => {
    const b = bench({ words: FOUR, devices: [A] });
    const points = new Set<string>();
    const op = attachDevice(b.k, b.device(A.name), fs(b));
    for (let r = op.next(); !r.done; r = op.next()) points.add(`${r.value.actor}.${r.value.point}`);
    expect([...points].sort()).toEqual(['driver.command.post', 'driver.table.write']);
    expect(pause('driver', 'table.write').point).toBe('table.write');
  });
});

describe('legacy mode', () => {
  const LEGACY = { cap: GUEST.cap & ~(1n << 7n), ecap: 0xf42n & ~(1n << 43n) };

  it('a context entry that leads to the second-stage table, and its tear-down', () => {
    const b = bench({ words: LEGACY, devices: [{ ...A, atsCapable: false }], initial: null });
    const a = b.device(A.name);
    const domain = b.domain({ kind: 'ss', root: 0x100300000n, levels: 4 });
    expect(b.run(attachDevice(b.k, a, domain))).toBe('0');
    const entry = Number(b.memory.readWord(b.k.state.units[0]!.root + 0x3b * 16) & ~0xfffn);
    expect([b.memory.readWord(entry), b.memory.readWord(entry + 8)]).toEqual([0x100300001n, 0x202n]);
    b.unit.clear();
    expect(b.run(attachDevice(b.k, a, b.k.state.domains.get(BLOCKED)!))).toBe('0');
    expect(b.unit.sent()).toEqual([
      ['0x00003b0000020031 0x0000000000000000'],
      ['0x00000000000200e2 0x0000000000000000'],
    ]);
    expect([b.memory.readWord(entry), b.memory.readWord(entry + 8)]).toEqual([0n, 0n]);
    expect(b.run(attachPasid(b.k, a, 1, domain))).toBe('EOPNOTSUPP');
  });
});
