import { describe, expect, it } from 'vitest';
import { opcodes } from '../layout/index.ts';
import { l1cdKey } from './caches.ts';
import { CERROR_ILL, CERROR_NONE, OP } from './commands.ts';
import { decodeSte } from './config.ts';
import { data, filled, run, va } from './filled-smmu.ts';
import type { SmmuFeatures } from './index.ts';

/** Which entries a command removes, as Arm IHI 0070 4.2 to 4.5 says, and that nothing else goes. */
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
  ['ATC_INV', { SID: 8, Size: 52, Address: 0x1234_5678_9000n }, (e) => /^atc d8/.test(e)],
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

  it('TLBI_EL2_VA looks at the ASID only where the regime has one', () => {
    for (const [e2h, kept] of [
      [0n, false],
      [1n, true],
    ] as const) {
      const { smmu, left } = filled();
      smmu.regs.set('CR2', e2h);
      expect(run(smmu, 'TLBI_EL2_VA', { ASID: 2, Leaf: 1, Address: BigInt(va) })).toBe(CERROR_NONE);
      expect(left().includes('tlb el2 asid1 10000')).toBe(kept);
    }
  });

  it('a VMID or ASID that does not fit matches nothing', () => {
    const commands = ['TLBI_NH_ALL', 'TLBI_NH_ASID', 'TLBI_NH_VA', 'TLBI_NH_VAA', 'TLBI_S12_VMALL', 'TLBI_S2_IPA'];
    for (const name of commands) {
      const { smmu, left } = filled({ VMID16: false });
      const before = left();
      const fields = { VMID: 0x101, ...(name === 'TLBI_NH_ASID' || name === 'TLBI_NH_VA' ? { ASID: 1 } : {}) };
      expect(run(smmu, name, fields), name).toBe(CERROR_NONE);
      expect(left(), name).toEqual(before);
    }
    for (const name of ['TLBI_NH_ASID', 'TLBI_NH_VA', 'TLBI_EL2_ASID', 'TLBI_EL2_VA']) {
      const { smmu, left } = filled({ ASID16: false });
      smmu.regs.set('CR2', 1n);
      const before = left();
      const fields = { ASID: 0x101, ...(name.startsWith('TLBI_NH') ? { VMID: 1 } : {}) };
      const address = name.endsWith('VA') ? { Address: BigInt(va) } : {};
      expect(run(smmu, name, { ...fields, ...address } as Record<string, number | bigint>), name).toBe(CERROR_NONE);
      expect(left(), name).toEqual(before);
    }
  });

  it('the whole stream table takes descriptors of every SPLIT', () => {
    const { smmu } = filled();
    smmu.caches.addL1('L1STD', { key: 2 ** 25, uid: 999, sid: 2 ** 31, address: 0, word: 9n });
    smmu.regs.set('STRTAB_BASE_CFG', 0x10290n);
    run(smmu, 'CFGI_STE_RANGE', { Range: 31 });
    expect(smmu.caches.l1std.size).toBe(0);
  });

  it('a range counts granules of its own size, and takes only what was loaded with that', () => {
    for (const [TG, granule] of [
      [1, 12],
      [2, 14],
      [3, 16],
    ] as const) {
      const { smmu } = filled();
      const { iotlb } = smmu.caches;
      const size = 2 ** granule;
      for (let k = 0; k < 8; k++)
        iotlb.insert(3, 1, 0, 0x4000_0000 + k * size, granule, granule, 0, 0, { ...data, granule });
      iotlb.insert(3, 1, 0, 0x4000_0000, 21, 21, 0, 0, { ...data, granule: granule === 12 ? 14 : 12 });
      const before = iotlb.size;
      run(smmu, 'TLBI_NH_VA', { VMID: 3, ASID: 1, Leaf: 1, TG, NUM: 2, SCALE: 1, Address: 0x4000_0000n });
      expect(iotlb.size, String(granule)).toBe(before - 6);
      expect(iotlb.lookup(3, 1, 0, 0x4000_0000 + 6 * size)).toBeGreaterThanOrEqual(0);
    }
  });

  it('CFGI_CD takes the level-1 descriptor that the format of the table makes it use', () => {
    const { smmu } = filled();
    const words = new Uint32Array(16);
    words[0] = 0x1_002f;
    words[1] = 10 << 27;
    const ste = decodeSte(words, 8, 1, 0, smmu.features);
    expect([ste.s1Fmt, ste.s1CdMax]).toEqual([2, 10]);
    smmu.caches.addSte(ste);
    smmu.caches.addL1('L1CD', { key: l1cdKey(8, 1), uid: 999, sid: 8, address: 0, word: 1n });
    run(smmu, 'CFGI_CD', { SID: 8, SSID: 64 });
    expect(smmu.caches.l1cd.has(l1cdKey(8, 1))).toBe(true);
    expect(smmu.caches.l1cd.has(l1cdKey(8, 0))).toBe(false);
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
    override: Partial<SmmuFeatures> = {},
  ): void => {
    const { smmu, left } = filled(features, override);
    const before = left();
    expect(run(smmu, name, fields), name).toBe(CERROR_ILL);
    expect(left()).toEqual(before);
  };

  it('range without NUM, SCALE and TTL', () => illegal('TLBI_NH_VA', { VMID: 1, ASID: 1, TG: 1, Address: BigInt(va) }));
  it('a range of level-1 leaves of 16 KiB, which there are none of', () =>
    illegal('TLBI_NH_VA', { VMID: 1, ASID: 1, TG: 2, TTL: 1, Address: BigInt(va) }));
  it('stage-1 commands without stage 1', () => {
    const names = ['CFGI_CD', 'CFGI_CD_ALL', 'TLBI_NH_ALL', 'TLBI_NH_ASID', 'TLBI_NH_VA', 'TLBI_NH_VAA'];
    for (const name of [...names, 'TLBI_EL2_ALL', 'TLBI_EL2_ASID', 'TLBI_EL2_VA', 'TLBI_EL2_VAA'])
      illegal(name, {}, {}, { s1p: false });
  });
  it('stage-2 commands without stage 2', () => {
    illegal('TLBI_S2_IPA', { VMID: 1, Address: 0n }, { S2P: false });
    illegal('TLBI_S12_VMALL', { VMID: 1 }, { S2P: false });
  });
  it('EL2 commands without EL2', () => {
    for (const name of ['TLBI_EL2_ALL', 'TLBI_EL2_ASID', 'TLBI_EL2_VA', 'TLBI_EL2_VAA'])
      illegal(name, {}, { HYP: false });
  });
  it('ATC_INV without ATS', () => illegal('ATC_INV', { SID: 8, Size: 52 }, { ATS: false }));
  it('ATC_INV of more than 2^52 pages', () => {
    for (const Size of [53, 63]) illegal('ATC_INV', { SID: 8, Size });
  });
  it('CFGI_VMS_PIDM without MPAM', () => illegal('CFGI_VMS_PIDM', { VMID: 1 }));
  it('CMD_SYNC with CS = 3', () => illegal('SYNC', { CS: 3 }));
  it('PRI_RESP without PRI, RESUME and STALL_TERM without stalls', () => {
    illegal('PRI_RESP', { SID: 8 }, { PRI: false });
    illegal('PRI_RESP', { SID: 8, Resp: 3 });
    expect(run(filled().smmu, 'PRI_RESP', { SID: 8, Resp: 2 })).toBe(CERROR_NONE);
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
