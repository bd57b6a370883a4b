import { describe, expect, it } from 'vitest';
import { GLOBAL } from '../../cache/index.ts';
import { Injector } from '../../machine/index.ts';
import { Memory } from '../../memory/index.ts';
import { NO_PASID, PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { encodeCommand, opcodes } from '../layout/index.ts';
import { l1cdKey } from './caches.ts';
import { CERROR_ILL, CERROR_NONE, OP } from './commands.ts';
import { decodeCd, decodeSte } from './config.ts';
import { EL2, physicalFeatures, Smmu } from './index.ts';

/** Which entries a command removes, as Arm IHI 0070 4.2 to 4.5 says, and that nothing else goes. */
const va = 0x10000;
const data = { attr: 0x1ff, level: 3, granule: 12, sid: 8, ssid: -1, ipaLo: 0, ipaHi: 0 };

function filled(features = {}): { smmu: Smmu; left: () => string[] } {
  const trace = new Trace();
  const device = (name: string, rid: number): PciDevice =>
    new PciDevice({ name, rid, vrid: rid, pasidBits: 16, ats: true, pri: false });
  const devices = [device('d8', 8), device('d9', 9)];
  const smmu = new Smmu(new Memory(2 ** 30), physicalFeatures(features), devices, trace, new Injector(trace));
  smmu.regs.set('CR0', 0xdn);
  const { iotlb, s1walk, s2tlb, s2walk } = smmu.caches;
  for (const [vmid, asid, address] of [
    [1, 1, va],
    [1, 1, va + 4096],
    [1, 2, va],
    [1, GLOBAL, va],
    [2, 1, va],
    [EL2, 1, va],
  ] as const) {
    iotlb.insert(vmid, asid, 0, address, 12, 12, 0, 0x200000, data);
    if (asid !== GLOBAL && address === va)
      for (const level of [1, 2, 3])
        s1walk.insert(vmid, asid, 0, va, 48 - 9 * level, 48 - 9 * level, 0, level << 12, { ...data, level });
  }
  iotlb.insert(1, 1, 0, 0x400000, 21, 21, 0, 0x600000, { ...data, level: 2 });
  for (const vmid of [1, 2]) {
    s2tlb.insert(vmid, 0, 0, 0x40000000, 12, 12, 0, 0x200000, data);
    s2tlb.insert(vmid, 0, 0, 0x40200000, 21, 21, 0, 0x400000, { ...data, level: 2 });
    s2walk.insert(vmid, 0, 0, 0x40000000, 30, 30, 0, 0x3000, { ...data, level: 2 });
  }
  for (const sid of [8, 9, 0x108]) {
    smmu.caches.addSte(decodeSte(new Uint32Array(16), sid, sid, 0, smmu.features));
    for (const ssid of [0, 5])
      smmu.caches.addCd(decodeCd(new Uint32Array(16), sid, ssid, sid * 10 + ssid, 0, smmu.features, false));
    smmu.caches.addL1('L1CD', { key: l1cdKey(sid, 0), uid: sid * 10 + 9, sid, address: 0, word: 1n });
  }
  for (const index of [0, 1])
    smmu.caches.addL1('L1STD', { key: index, uid: 900 + index, sid: index * 256, address: 0, word: 9n });
  for (const d of devices)
    for (const [tag, address] of [
      [NO_PASID, va],
      [NO_PASID, va + 4096],
      [5, va],
    ] as const)
      d.atc.insert(0, tag, 0, address, 12, 12, 0, 0x200000, data);
  smmu.regs.set('STRTAB_BASE_CFG', 0x10210n);
  const left = (): string[] => {
    const out: string[] = [];
    const asid = (n: number): string => (n === GLOBAL ? 'global' : `asid${n}`);
    const vmid = (n: number): string => (n === EL2 ? 'el2' : `vmid${n}`);
    const address = (lo: number): string => (lo >>> 0).toString(16);
    for (const [name, c] of [
      ['tlb', iotlb],
      ['walk', s1walk],
    ] as const)
      c.forEach((i) => {
        const at = name === 'tlb' ? address(c.e[i + 2]!) : `L${c.e[i + 6]}`;
        out.push(`${name} ${vmid(c.e[i]!)} ${asid(c.e[i + 1]!)} ${at}`);
      });
    for (const [name, c] of [
      ['s2', s2tlb],
      ['s2walk', s2walk],
    ] as const)
      c.forEach((i) => {
        out.push(`${name} ${vmid(c.e[i]!)} ${address(c.e[i + 2]!)}`);
      });
    for (const k of smmu.caches.ste.keys()) out.push(`ste ${k}`);
    for (const [sid, of] of smmu.caches.cd) for (const ssid of of.keys()) out.push(`cd ${sid}.${ssid}`);
    for (const e of smmu.caches.l1cd.values()) out.push(`l1cd ${e.sid}`);
    for (const k of smmu.caches.l1std.keys()) out.push(`l1std ${k}`);
    for (const d of devices)
      d.atc.forEach((i) => {
        out.push(`atc ${d.name} ${d.atc.e[i + 1] === NO_PASID ? 'none' : d.atc.e[i + 1]} ${address(d.atc.e[i + 2]!)}`);
      });
    return out;
  };
  return { smmu, left };
}

function run(smmu: Smmu, name: string, fields: Record<string, number | bigint> = {}): number {
  const w = encodeCommand(name, fields);
  const half = (x: bigint, s: bigint): number => Number((x >> s) & 0xffffffffn) | 0;
  return smmu.execute(half(w[0]!, 0n), half(w[0]!, 32n), half(w[1]!, 0n), half(w[1]!, 32n));
}

const table: readonly [string, Record<string, number | bigint>, (e: string) => boolean][] = [
  ['CFGI_STE', { SID: 8, Leaf: 1 }, (e) => /^(ste 8|cd 8\.|l1cd 8$)/.test(e)],
  ['CFGI_STE', { SID: 8 }, (e) => /^(ste 8|cd 8\.|l1cd 8$|l1std 0)/.test(e)],
  ['CFGI_STE_RANGE', { SID: 8, Range: 0 }, (e) => /^(ste [89]$|cd [89]\.|l1cd [89]$|l1std 0)/.test(e)],
  ['CFGI_STE_RANGE', { SID: 0x123, Range: 31 }, (e) => /^(ste|cd|l1cd|l1std)/.test(e)],
  ['CFGI_CD', { SID: 8, SSID: 5, Leaf: 1 }, (e) => e === 'cd 8.5'],
  ['CFGI_CD', { SID: 8, SSID: 5 }, (e) => e === 'cd 8.5' || e === 'l1cd 8'],
  ['CFGI_CD_ALL', { SID: 8 }, (e) => /^(cd 8\.|l1cd 8$)/.test(e)],
  ['TLBI_NH_ALL', { VMID: 1 }, (e) => /^(tlb|walk) vmid1/.test(e)],
  ['TLBI_NH_ASID', { VMID: 1, ASID: 1 }, (e) => /^(tlb|walk) vmid1 asid1/.test(e)],
  ['TLBI_NH_VA', { VMID: 1, ASID: 1, Leaf: 1, Address: BigInt(va) }, (e) => /^tlb vmid1 (asid1|global) 10000/.test(e)],
  [
    'TLBI_NH_VA',
    { VMID: 1, ASID: 1, Address: BigInt(va) },
    (e) => /^tlb vmid1 (asid1|global) 10000|^walk vmid1 asid1/.test(e),
  ],
  ['TLBI_NH_VA', { VMID: 1, ASID: 1, Leaf: 1, Address: 0x5ff000n }, (e) => e === 'tlb vmid1 asid1 400000'],
  [
    'TLBI_NH_VA',
    { VMID: 1, ASID: 1, Leaf: 1, TG: 1, TTL: 3, Address: BigInt(va) },
    (e) => /^tlb vmid1 (asid1|global) 10000/.test(e),
  ],
  [
    'TLBI_NH_VA',
    { VMID: 1, ASID: 1, Leaf: 1, TG: 1, TTL: 3, NUM: 1, Address: BigInt(va) },
    (e) => /^tlb vmid1 (asid1|global) 1[01]000/.test(e),
  ],
  ['TLBI_NH_VA', { VMID: 1, ASID: 1, Leaf: 1, TG: 1, TTL: 3, SCALE: 10, Address: 0x400000n }, () => false],
  [
    'TLBI_NH_VA',
    { VMID: 1, ASID: 1, Leaf: 1, TG: 1, TTL: 2, SCALE: 9, Address: 0x400000n },
    (e) => e === 'tlb vmid1 asid1 400000',
  ],
  ['TLBI_NH_VA', { VMID: 1, ASID: 1, Leaf: 1, TG: 3, NUM: 1, Address: BigInt(va) }, () => false],
  ['TLBI_NH_VA', { VMID: 1, ASID: 1, TG: 1, TTL: 2, SCALE: 9, Address: 0n }, (e) => /^walk vmid1 asid1 L[12]/.test(e)],
  ['TLBI_NH_VAA', { VMID: 1, Leaf: 1, Address: BigInt(va) }, (e) => /^tlb vmid1 \S+ 10000/.test(e)],
  ['TLBI_EL2_ALL', {}, (e) => /^(tlb|walk) el2/.test(e)],
  ['TLBI_EL2_ASID', { ASID: 1 }, (e) => /^(tlb|walk) el2 asid1/.test(e)],
  ['TLBI_EL2_VA', { ASID: 1, Leaf: 1, Address: BigInt(va) }, (e) => e === 'tlb el2 asid1 10000'],
  ['TLBI_EL2_VAA', { Leaf: 1, Address: BigInt(va) }, (e) => e === 'tlb el2 asid1 10000'],
  ['TLBI_S12_VMALL', { VMID: 1 }, (e) => /^(tlb|walk|s2|s2walk) vmid1/.test(e)],
  ['TLBI_S2_IPA', { VMID: 1, Leaf: 1, Address: 0x40000000n }, (e) => e === 's2 vmid1 40000000'],
  ['TLBI_S2_IPA', { VMID: 1, Address: 0x40000000n }, (e) => e === 's2 vmid1 40000000' || e === 's2walk vmid1 40000000'],
  [
    'TLBI_S2_IPA',
    { VMID: 1, Leaf: 1, TG: 1, TTL: 2, SCALE: 9, Address: 0x40200000n },
    (e) => e === 's2 vmid1 40200000',
  ],
  ['TLBI_NSNH_ALL', {}, (e) => /^(tlb|walk|s2|s2walk) vmid/.test(e)],
  ['ATC_INV', { SID: 8, Size: 52 }, (e) => /^atc d8/.test(e)],
  ['ATC_INV', { SID: 8, Size: 0, Address: BigInt(va) }, (e) => /^atc d8 \S+ 10000/.test(e)],
  ['ATC_INV', { SID: 8, Size: 1, Address: BigInt(va) }, (e) => /^atc d8/.test(e)],
  ['ATC_INV', { SID: 8, SSV: 1, SSID: 5, Size: 52 }, (e) => e === 'atc d8 5 10000'],
  ['ATC_INV', { SID: 8, SSV: 1, SSID: 7, Size: 52 }, () => false],
  ['ATC_INV', { SID: 8, SSV: 1, SSID: 7, Global: 1, Size: 52 }, (e) => /^atc d8/.test(e)],
  ['PREFETCH_CONFIG', { SID: 8 }, () => false],
];

describe('what a command removes', () => {
  for (const [name, fields, gone] of table)
    it(`${name} ${JSON.stringify(fields, (_k, v) => (typeof v === 'bigint' ? `0x${v.toString(16)}` : v))}`, () => {
      const { smmu, left } = filled();
      const before = left();
      expect(run(smmu, name, fields)).toBe(CERROR_NONE);
      expect(left()).toEqual(before.filter((e) => !gone(e)));
    });

  it('has the opcodes of the layouts', () => {
    for (const [name, code] of Object.entries(OP)) expect(opcodes[name], name).toBe(code);
  });

  it('ignores ATC_INV while translation is off', () => {
    const { smmu, left } = filled();
    smmu.regs.set('CR0', 0x8n);
    const before = left();
    expect(run(smmu, 'ATC_INV', { SID: 8, Size: 52 })).toBe(CERROR_NONE);
    expect(left()).toEqual(before);
  });
});

describe('commands that are illegal', () => {
  const illegal = (
    name: string,
    fields: Record<string, number | bigint>,
    features: Record<string, boolean> = {},
  ): void => {
    const { smmu, left } = filled(features);
    const before = left();
    expect(run(smmu, name, fields), name).toBe(CERROR_ILL);
    expect(left()).toEqual(before);
  };

  it('range without NUM, SCALE and TTL', () => illegal('TLBI_NH_VA', { VMID: 1, ASID: 1, TG: 1, Address: BigInt(va) }));
  it('stage-2 commands without stage 2', () => {
    illegal('TLBI_S2_IPA', { VMID: 1, Address: 0n }, { S2P: false });
    illegal('TLBI_S12_VMALL', { VMID: 1 }, { S2P: false });
  });
  it('EL2 commands without EL2', () => {
    for (const name of ['TLBI_EL2_ALL', 'TLBI_EL2_ASID', 'TLBI_EL2_VA', 'TLBI_EL2_VAA'])
      illegal(name, {}, { HYP: false });
  });
  it('ATC_INV without ATS', () => illegal('ATC_INV', { SID: 8, Size: 52 }, { ATS: false }));
  it('CMD_SYNC with CS = 3', () => illegal('SYNC', { CS: 3 }));
  it('PRI_RESP without PRI, RESUME and STALL_TERM without stalls', () => {
    illegal('PRI_RESP', { SID: 8 });
    illegal('RESUME', { SID: 8 });
    illegal('STALL_TERM', { SID: 8 });
  });
  it('an opcode that nobody knows, and a Secure command', () => {
    const { smmu } = filled();
    expect(smmu.execute(0x99, 0, 0, 0)).toBe(CERROR_ILL);
    expect(smmu.execute(0, 0, 0, 0)).toBe(CERROR_ILL);
    expect(smmu.execute(OP.TLBI_NH_ALL | 0x400, 1, 0, 0)).toBe(CERROR_ILL);
  });
  it('without RIL the range fields are not looked at', () => {
    const { smmu, left } = filled({ RIL: false });
    const before = left();
    expect(run(smmu, 'TLBI_NH_VA', { VMID: 1, ASID: 1, Leaf: 1, TG: 1, NUM: 7, Address: BigInt(va) })).toBe(
      CERROR_NONE,
    );
    expect(left()).toEqual(before.filter((e) => !/^tlb vmid1 (asid1|global) 10000/.test(e)));
  });
});
