import { describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../trace/index.ts';
import { A, B, type Bench, bench, GUEST, HOST } from './bench.ts';
import type { DomainOptions } from './domain.ts';
import {
  attachDevice,
  attachPasid,
  BLOCKED,
  contextEntry,
  domainOf,
  enforceCoherency,
  IDENTITY,
  pasidEntry,
  presentPasids,
  rootTable,
  setDirtyTracking,
} from './index.ts';

const PARENT: DomainOptions = { kind: 'ss', root: 0x100300000n, levels: 4, nestParent: true, coherent: true };
/** A host whose second stage has four levels, as in the reference's examples. */
const FOUR = { cap: HOST.cap | (1n << 10n), ecap: HOST.ecap };

const hex = (w: bigint): string => `0x${w.toString(16).padStart(16, '0')}`;
const read = (b: Bench, at: number, n: number): string[] =>
  Array.from({ length: n }, (_, i) => hex(b.memory.readWord(at + 8 * i)));
const entry = (b: Bench, name: string, pasid: number): string[] => read(b, pasidEntry(b.k, b.device(name), pasid)!, 8);

/** Words that the entry had in memory after each store. */
function stores(b: Bench, layout: string): string[] {
  const out: string[] = [];
  b.trace.listener = (e: TraceEvent) => {
    if (e.kind === 'table.write' && e.layout === layout) out.push(e.text.replace(/^.*: /, ''));
  };
  return out;
}

describe('9.2: table entries, words in the order written', () => {
  it('nested PASID entry', () => {
    const b = bench({ words: FOUR });
    b.k.state.units[0]!.dids.push(2, 3, 4);
    const parent = b.domain(PARENT);
    expect(b.run(enforceCoherency(b.k, parent))).toBe(true);
    const nested = b.domain({ kind: 'nested', parent: parent.handle, root: 0x104567000n });
    const writes = stores(b, 'vtd.pasid');
    expect(b.run(attachPasid(b.k, b.device(A.name), 0x1234, nested))).toBe('0');
    expect(entry(b, A.name, 0x1234).slice(0, 3)).toEqual([
      '0x00000001003000c9',
      '0x0000000001800005',
      '0x0000000104567000',
    ]);
    expect(entry(b, A.name, 0x1234).slice(3)).toEqual(Array(5).fill(hex(0n)));
    expect(writes).toEqual([
      'qw2 0x0000000104567000',
      'qw1 0x0000000001000000',
      'qw0 0x0000000100300000',
      'qw1 0x0000000001000005',
      'qw0 0x0000000100300008',
      'qw1 0x0000000001800005',
      'qw0 0x00000001003000c8',
      'qw0 0x00000001003000c9',
    ]);
  });

  it('nested, 5-level first stage, SRE WPE EAFE, 5-level second stage, dirty tracking', () => {
    const b = bench();
    b.k.state.units[0]!.dids.push(2, 3, 4, 5);
    const parent = b.domain({ ...PARENT, levels: 5, dirtyOps: true });
    expect(b.run(setDirtyTracking(b.k, parent, true))).toBe('0');
    const nested = b.domain({ kind: 'nested', parent: parent.handle, root: 0x104567000n, s1Width: 57, s1Flags: 7 });
    expect(b.run(attachDevice(b.k, b.device(A.name), nested))).toBe('0');
    expect(entry(b, A.name, 0).slice(0, 3)).toEqual(['0x00000001003002cd', '0x0000000000800006', '0x0000000104567095']);
  });

  it('guest first-stage entry of a DMA domain', () => {
    const b = bench({ actor: 'guest' });
    const writes = stores(b, 'vtd.pasid');
    b.run(attachDevice(b.k, b.device(A.name), domainOf(b.k, BLOCKED)));
    writes.length = 0;
    expect(b.run(attachDevice(b.k, b.device(A.name), b.domain({ kind: 'fs', root: 0x104567000n })))).toBe('0');
    expect(entry(b, A.name, 0).slice(0, 3)).toEqual(['0x0000000000000049', '0x0000000000000002', '0x0000000104567000']);
    expect(writes).toEqual([
      'qw2 0x0000000104567000',
      'qw1 0x0000000000000002',
      'qw0 0x0000000000000048',
      'qw0 0x0000000000000049',
    ]);
  });

  it('SVA entry', () => {
    const b = bench({ actor: 'guest' });
    expect(b.run(attachPasid(b.k, b.device(A.name), 1, b.domain({ kind: 'sva', root: 0x104567000n })))).toBe('0');
    expect(entry(b, A.name, 1).slice(0, 3)).toEqual(['0x0000000000000049', '0x0000000000800001', '0x0000000104567000']);
  });

  it('pass-through', () => {
    const b = bench({ actor: 'guest' });
    expect(b.device(A.name).domain).toBe(IDENTITY);
    expect(entry(b, A.name, 0).slice(0, 2)).toEqual(['0x0000000000000109', '0x0000000000000001']);
  });

  it('second stage only, a nest parent attached directly', () => {
    const b = bench({ words: FOUR });
    b.k.state.units[0]!.dids.push(2);
    expect(b.run(attachDevice(b.k, b.device(A.name), b.domain(PARENT)))).toBe('0');
    expect(entry(b, A.name, 0).slice(0, 2)).toEqual(['0x0000000100300089', '0x0000000000800003']);
  });

  it('scalable context entry of a 20-bit PASID device with ATS, PASID and PRI', () => {
    const b = bench({ devices: [{ ...A, priCapable: true }] });
    const { directory } = b.device(A.name).pasidTable!;
    const at = contextEntry(b.k, b.device(A.name))!;
    expect(read(b, at, 2)).toEqual([hex(BigInt(directory) | 0xe1dn), hex(0n)]);
    expect(b.device(A.name).pasidTable).toMatchObject({ order: 5, maxPasid: 2 ** 20 });
    expect(directory % (32 * 4096)).toBe(0);
  });

  it('scalable context entry of a plain device', () => {
    const b = bench({ devices: [{ ...A, atsCapable: false, pasidBits: 0 }] });
    const { directory } = b.device(A.name).pasidTable!;
    expect(read(b, contextEntry(b.k, b.device(A.name))!, 2)).toEqual([hex(BigInt(directory) | 0x401n), hex(0n)]);
  });

  it('root entry: each half has its own context table', () => {
    const upper = { name: '0000:3b:10.0', rid: 0x3b80 };
    const b = bench({ devices: [A, upper] });
    const root = rootTable(b.k, 0) + 0x3b * 16;
    const [low, high] = [b.memory.readWord(root), b.memory.readWord(root + 8)];
    expect([low & 0xfffn, high & 0xfffn]).toEqual([1n, 1n]);
    expect(contextEntry(b.k, b.device(A.name))).toBe(Number(low & ~0xfffn));
    expect(contextEntry(b.k, b.device(upper.name))).toBe(Number(high & ~0xfffn));
    const one = bench({ devices: [A] });
    expect(one.memory.readWord(rootTable(one.k, 0) + 0x3b * 16 + 8)).toBe(0n);
  });

  it('PASID directory entry', () => {
    const b = bench({ devices: [A] });
    const d = b.device(A.name);
    b.run(attachPasid(b.k, d, 0x1234, b.domain({ kind: 'fs', root: 0x104567000n })));
    const word = b.memory.readWord(d.pasidTable!.directory + 0x48 * 8);
    expect(word & 0xfffn).toBe(1n);
    expect(pasidEntry(b.k, d, 0x1234)).toBe(Number(word & ~0xfffn) + 0x34 * 64);
    expect(presentPasids(b.k, d)).toEqual([0, 0x1234]);
  });
});

describe('registers at boot', () => {
  it('RTADDR, IQA and PQA have the shapes of 9.2, IQT moves by two slots for one descriptor', () => {
    const b = bench({ actor: 'guest', devices: [A] });
    const { queue, root, prq } = b.k.state.units[0]!;
    expect(b.unit.readRegister('RTADDR_REG')).toBe(BigInt(root) | 0x400n);
    expect(b.unit.readRegister('IQA_REG')).toBe(BigInt(queue!.base) | 0x801n);
    expect(b.unit.readRegister('PQA_REG')).toBe(BigInt(prq) | 4n);
    expect(b.unit.readRegister('GSTS_REG')).toBe(0xc4000000n);
    const before = Number(b.unit.readRegister('IQT_REG'));
    b.run(attachPasid(b.k, b.device(A.name), 5, b.domain({ kind: 'fs', root: 0n })));
    expect(b.unit.written.filter((w) => w.startsWith('IQT'))[0]).toBe(`IQT_REG 0x${(before + 0x40).toString(16)}`);
  });

  it('a unit without scalable mode has 128-bit descriptors', () => {
    const b = bench({ words: { cap: GUEST.cap, ecap: 0xf42n }, devices: [A], initial: null });
    expect(b.unit.readRegister('IQA_REG') & 0xfffn).toBe(0n);
    expect(b.unit.readRegister('RTADDR_REG') & 0xfffn).toBe(0n);
  });
});

describe('what an S1 page table may bring along (5.5, 5.6)', () => {
  const nested = (b: Bench, o: Partial<DomainOptions>) =>
    b.domain({ kind: 'nested', parent: b.domain(PARENT).handle, root: 0x104567000n, ...o });

  it('10.8: low bits of pgtbl_addr reach the control bits of the entry', () => {
    const b = bench({ words: FOUR });
    expect(b.run(attachDevice(b.k, b.device(A.name), nested(b, { root: 0x104567085n })))).toBe('0');
    expect(entry(b, A.name, 0)[2]).toBe('0x0000000104567085');
  });

  it('10.10: WPE without SRE is dropped silently', () => {
    const b = bench({ words: FOUR });
    expect(b.run(attachDevice(b.k, b.device(A.name), nested(b, { s1Flags: 4 })))).toBe('0');
    expect(entry(b, A.name, 0)[2]).toBe('0x0000000104567000');
  });

  it.each([
    ['width 57 without FS5LP', { s1Width: 57 }, ~(1n << 60n), -1n, '5-level paging not supported'],
    ['another width', { s1Width: 39 }, -1n, -1n, 'Invalid stage-1 address width 39'],
    ['SRE without SRS', { s1Flags: 1 }, -1n, ~(1n << 31n), 'No supervisor request support on dmar0'],
    ['EAFE without EAFS', { s1Flags: 2 }, -1n, ~(1n << 34n), 'No extended access flag support on dmar0'],
  ])('%s: EINVAL, and the device is blocked', (_name, o, capMask, ecapMask, text) => {
    const b = bench({ words: { cap: FOUR.cap & capMask, ecap: FOUR.ecap & ecapMask } });
    const d = b.device(A.name);
    expect(b.run(attachDevice(b.k, d, nested(b, o)))).toBe('EINVAL');
    expect(b.k.state.log.at(-1)).toContain(text);
    expect(d.domain).toBe(BLOCKED);
    expect(entry(b, A.name, 0)).toEqual(Array(8).fill(hex(0n)));
  });
});

describe('10.9: a failed replace', () => {
  it('of the RID leaves the device blocked, without tags and DID of the old domain', () => {
    const b = bench({ words: FOUR });
    const parent = b.domain(PARENT);
    const d = b.device(A.name);
    b.run(attachDevice(b.k, d, parent));
    const bad = b.domain({ kind: 'nested', parent: parent.handle, root: 0n, s1Width: 40 });
    expect(b.run(attachDevice(b.k, d, bad))).toBe('EINVAL');
    expect(parent).toMatchObject({ dids: [], tags: [] });
    expect(b.k.state.units[0]!.dids).toEqual([]);
    expect(presentPasids(b.k, d)).toEqual([]);
  });

  it('of a PASID leaves its entry empty, while the old domain keeps its tags and DID', () => {
    const b = bench({ words: FOUR });
    const parent = b.domain(PARENT);
    const d = b.device(B.name);
    expect(b.run(attachPasid(b.k, d, 9, parent))).toBe('0');
    const bad = b.domain({ kind: 'nested', parent: parent.handle, root: 0n, s1Width: 40 });
    expect(b.run(attachPasid(b.k, d, 9, bad))).toBe('EINVAL');
    expect(presentPasids(b.k, d)).toEqual([0]);
    expect(d.pasids.get(9)).toBe(parent.handle);
    expect(parent.dids).toEqual([{ unit: 0, did: 2, users: 1 }]);
    expect(parent.tags.map((t) => t.type)).toEqual(['iotlb', 'devtlb']);
    expect(bad).toMatchObject({ dids: [], tags: [] });
  });
});
