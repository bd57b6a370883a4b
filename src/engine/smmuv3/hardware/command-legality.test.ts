import { describe, expect, it } from 'vitest';
import { encodeCommand, opcodes } from '../layout/index.ts';
import type { SmmuFeatures } from './index.ts';
import { SID, TestMachine, withIdr } from './test-machine.ts';

const machine = (f: SmmuFeatures): TestMachine =>
  new TestMachine({ n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false, override: f });

/** Features under which a command of the Non-secure queue is legal, from 4.2 to 4.7; what is not here never is. */
const legal: Readonly<Record<string, (f: SmmuFeatures) => boolean>> = {
  PREFETCH_CONFIG: () => true,
  PREFETCH_ADDR: () => true,
  CFGI_STE: () => true,
  CFGI_STE_RANGE: () => true,
  CFGI_CD: (f) => f.s1p,
  CFGI_CD_ALL: (f) => f.s1p,
  CFGI_VMS_PIDM: (f) => f.mpam,
  TLBI_NH_ALL: (f) => f.s1p,
  TLBI_NH_ASID: (f) => f.s1p,
  TLBI_NH_VA: (f) => f.s1p,
  TLBI_NH_VAA: (f) => f.s1p,
  TLBI_EL2_ALL: (f) => f.hyp,
  TLBI_EL2_ASID: (f) => f.hyp,
  TLBI_EL2_VA: (f) => f.hyp,
  TLBI_EL2_VAA: (f) => f.hyp,
  TLBI_S12_VMALL: (f) => f.s2p,
  TLBI_S2_IPA: (f) => f.s2p,
  TLBI_NSNH_ALL: () => true,
  ATC_INV: (f) => f.ats,
  PRI_RESP: (f) => f.pri,
  RESUME: (f) => f.stallModel !== 1,
  STALL_TERM: (f) => f.stallModel !== 1,
  SYNC: () => true,
};

const combinations: readonly Readonly<Record<string, Readonly<Record<string, number>>>>[] = [
  { IDR0: { PRI: 1, STALL_MODEL: 0 }, IDR3: { MPAM: 1 } },
  { IDR0: { PRI: 0, STALL_MODEL: 1 }, IDR3: { MPAM: 0 } },
  { IDR0: { S1P: 0, HYP: 0, PRI: 1, STALL_MODEL: 2 } },
  { IDR0: { S2P: 0, HYP: 0, NS1ATS: 0 } },
  { IDR0: { HYP: 0 } },
  { IDR0: { ATS: 0, PRI: 0 } },
];

describe('commands of the Non-secure queue, Arm IHI 0070 4.1.1, 7.1', () => {
  it('are legal or CERROR_ILL by opcode and features, all 256 of them', () => {
    const byOpcode = new Map(Object.keys(legal).map((n) => [opcodes[n]!, n]));
    for (const c of combinations) {
      const f = withIdr(c);
      const { smmu } = machine(f);
      for (let opcode = 0; opcode < 256; opcode++) {
        const name = byOpcode.get(opcode);
        const want = name !== undefined && legal[name]!(f) ? 0 : 1;
        expect(smmu.execute(opcode, SID, 0, 0), `${name ?? opcode} ${JSON.stringify(c)}`).toBe(want);
      }
    }
  });

  it('with a StreamID of the Secure state are illegal, 4.1.6', () => {
    const { smmu } = machine(withIdr({ IDR0: { PRI: 1, STALL_MODEL: 0 } }));
    for (const name of ['PREFETCH_CONFIG', 'PREFETCH_ADDR', 'CFGI_STE', 'CFGI_STE_RANGE', 'CFGI_CD', 'CFGI_CD_ALL'])
      expect(smmu.execute(opcodes[name]! | 0x400, SID, 0, 0), name).toBe(1);
    for (const name of ['RESUME', 'STALL_TERM']) expect(smmu.execute(opcodes[name]! | 0x400, SID, 0, 0), name).toBe(1);
  });

  it('take a range by the sixth SCALE bit, and level 1 of 16 KiB, only with 52-bit addresses, 4.4.1.1', () => {
    const words = (f: Record<string, number>, scale: number): [number, number, number, number] => {
      const w = encodeCommand('TLBI_NH_VA', { VMID: 1, ASID: 1, ...f });
      const half = (x: bigint, s: bigint): number => Number((x >> s) & 0xffffffffn) | 0;
      return [half(w[0]!, 0n) | (scale << 20), half(w[0]!, 32n), half(w[1]!, 0n), half(w[1]!, 32n)];
    };
    for (const DS of [0, 1]) {
      const { smmu } = machine(withIdr({ IDR5: { DS } }));
      expect(smmu.execute(...words({ TG: 2, TTL: 1 }, 0)), `DS ${DS}`).toBe(1 - DS);
      const m = machine(withIdr({ IDR5: { DS } }));
      m.dma();
      // SCALE 32 is SCALE 0 in five bits: one page, which is not the one that is cached.
      expect(m.smmu.execute(...words({ TG: 1, TTL: 3 }, 32))).toBe(0);
      expect(m.smmu.caches.iotlb.size, `DS ${DS}`).toBe(1 - DS);
    }
  });
});
