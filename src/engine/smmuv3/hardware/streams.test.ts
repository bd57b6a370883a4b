import { describe, expect, it } from 'vitest';
import { A, B, GLOBAL } from '../../cache/index.ts';
import { runToEnd } from '../../machine/index.ts';
import { EL2 } from './index.ts';
import { DATA, OFFSET, type Shape, SID, TestMachine, VA } from './test-machine.ts';

const plain: Shape = { n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false };
const leaf = (m: TestMachine, low: bigint): void => m.write(m.s1Entry(3) + OFFSET, BigInt(DATA) | low);
const ARRIVES = { ok: true, pa: DATA + OFFSET + (VA % 4096) };

describe('overrides of the STE, Arm IHI 0070 5.2 (PRIVCFG, INSTCFG)', () => {
  const UXN = 1n << 54n;
  const machine = (ste: Record<string, number>, low: bigint, attrPermsOvr = true): TestMachine => {
    const m = new TestMachine({ ...plain, ste, override: { attrPermsOvr } });
    leaf(m, low);
    return m;
  };
  it('make an access privileged, or not', () => {
    expect(machine({ PRIVCFG: 3 }, 0xf07n).access({}).ok).toBe(true);
    expect(machine({ PRIVCFG: 2 }, 0xf07n).access({ priv: true }).fault?.fields['PnU']).toBe(0n);
    expect(machine({ PRIVCFG: 0 }, 0xf07n).access({ priv: true }).ok).toBe(true);
    expect(machine({ PRIVCFG: 3 }, 0xb07n).access({}).fault?.fields['PnU']).toBe(1n);
  });
  it('make a read an instruction fetch, or not; a write stays data', () => {
    expect(machine({ INSTCFG: 3 }, 0xf47n | UXN).access({}).fault?.fields['InD']).toBe(1n);
    expect(machine({ INSTCFG: 3 }, 0xf47n | UXN).access({ write: true }).ok).toBe(true);
    expect(machine({ INSTCFG: 2 }, 0xf47n | UXN).access({ exec: true }).ok).toBe(true);
    expect(machine({ INSTCFG: 0 }, 0xf47n | UXN).access({ exec: true }).ok).toBe(false);
  });
  it('do nothing without IDR1.ATTR_PERMS_OVR', () => {
    expect(machine({ PRIVCFG: 3 }, 0xf07n, false).access({}).ok).toBe(false);
    expect(machine({ INSTCFG: 3 }, 0xf47n | UXN, false).access({}).ok).toBe(true);
  });
});

describe('the halves of the input space', () => {
  const TOP = 0xffff_0000_0000_0000n;
  const both = { EPD1: 0, T1SZ: 16, TG1: 2, TTB1: 0x1010_0000n };
  const at = (
    cd: Record<string, number | bigint>,
    iova: bigint,
  ): TestMachine['dma'] extends () => infer R ? R : never => new TestMachine({ ...plain, cd }).access({ iova });
  it('are told apart by bit 55', () => {
    expect(at(both, TOP | BigInt(VA))).toMatchObject(ARRIVES);
    expect(at({ ...both, EPD1: 1 }, TOP | BigInt(VA)).fault?.name).toBe('F_TRANSLATION');
    expect(at({ ...both, EPD0: 1 }, TOP | BigInt(VA))).toMatchObject(ARRIVES);
    expect(at({ ...both, TBI1: 1, EPD0: 1 }, 0x00ff_0000_0000_0000n | BigInt(VA))).toMatchObject(ARRIVES);
    expect(at({ ...both, TBI0: 1, EPD1: 1 }, 0xff00_0000_0000_0000n | BigInt(VA))).toMatchObject(ARRIVES);
  });
  it('have nothing between them', () => {
    for (const iova of [0x1_0000_0000_0000n, 0xfffe_0000_0000_0000n, 0x00ff_0000_0000_0000n])
      expect(at(both, iova | BigInt(VA)).fault?.name, iova.toString(16)).toBe('F_TRANSLATION');
  });
  it('TBI ignores the top byte, also where an entry is cached; an event keeps it', () => {
    const m = new TestMachine({ ...plain, cd: { TBI0: 1 } });
    const iova = (tag: bigint): bigint => (tag << 56n) | BigInt(VA);
    expect(m.access({ iova: iova(0xabn) })).toMatchObject({ ...ARRIVES, hit: 'walk' });
    expect(m.access({ iova: iova(0x12n) })).toMatchObject({ ...ARRIVES, hit: 'IOTLB' });
    leaf(m, 0x746n);
    m.smmu.caches.iotlb.removeContext(1, GLOBAL);
    m.smmu.caches.iotlb.removeContext(1, 1);
    expect(m.access({ iova: iova(0x12n) }).fault?.fields['InputAddr']).toBe(iova(0x12n));
    expect(new TestMachine(plain).access({ iova: iova(1n) }).fault?.name).toBe('F_TRANSLATION');
  });
});

describe('tags of what is cached', () => {
  const tag = (m: TestMachine): number[] => [m.smmu.caches.iotlb.e[A]!, m.smmu.caches.iotlb.e[B]!];
  it('nG decides whether an entry has an ASID', () => {
    for (const [low, asid] of [
      [0xf47n, 1],
      [0x747n, GLOBAL],
    ] as const) {
      const m = new TestMachine(plain);
      leaf(m, low);
      m.dma();
      expect(tag(m)).toEqual([1, asid]);
    }
  });
  it('the EL2 world has no VMID, and without E2H no ASID and one privilege', () => {
    for (const [e2h, asid] of [
      [0n, GLOBAL],
      [1n, 1],
    ] as const) {
      const m = new TestMachine({ ...plain, ste: { Config: 5, STRW: 2 } });
      m.smmu.regs.set('CR2', 2n | e2h);
      m.smmu.translator.registersChanged();
      // A page for privileged accesses, by the bit that means nothing in a regime of one privilege.
      leaf(m, 0xf07n);
      m.withoutOffset();
      expect(m.access({}).ok).toBe(e2h === 0n);
      expect(m.access({ priv: true })).toMatchObject({ ok: true, hit: e2h === 0n ? 'IOTLB' : 'walk' });
      expect(tag(m)).toEqual([EL2, asid]);
    }
  });
  it('an ASID of the EL2-E2H world is not met without E2H', () => {
    const m = new TestMachine({ ...plain, ste: { Config: 5, STRW: 2 } });
    m.withoutOffset();
    const data = { attr: 0xfff, level: 3, granule: 12, sid: SID, ssid: -1, ipaLo: 0, ipaHi: 0 };
    m.smmu.caches.iotlb.insert(EL2, 0, 0, VA, 12, 12, 0, 0x5000, data);
    expect(m.dma()).toMatchObject({ hit: 'walk', pa: DATA + (VA % 4096) });
  });
});

describe('a hit in the IOTLB', () => {
  const twice = (spoil: (m: TestMachine) => void): ReturnType<TestMachine['dma']> => {
    const m = new TestMachine(plain);
    spoil(m);
    expect(m.dma()).toMatchObject({ ok: true, hit: 'walk' });
    return m.dma(true);
  };
  it('answers by the permissions of both stages', () => {
    expect(twice((m) => leaf(m, 0xfc7n))).toMatchObject({
      hit: 'IOTLB',
      fault: { name: 'F_PERMISSION', fields: { S2: 0n, CLASS: 2n, IPA: 0n } },
    });
    expect(twice((m) => m.mapIpa(DATA, 0x77fn))).toMatchObject({
      hit: 'IOTLB',
      fault: { name: 'F_PERMISSION', fields: { S2: 1n, CLASS: 2n, IPA: BigInt(DATA) } },
    });
  });
  it('is recorded as R and S2R say', () => {
    for (const [stage, shape] of [
      [1, { cd: { R: 0 } }],
      [2, { ste: { S2R: 0 } }],
    ] as const) {
      const m = new TestMachine({ ...plain, ...shape });
      if (stage === 1) leaf(m, 0xfc7n);
      else m.mapIpa(DATA, 0x77fn);
      m.dma();
      expect(m.dma(true).fault?.name).toBe('F_PERMISSION');
      expect(m.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
    }
  });
  it('gives a translation request nothing where unprivileged accesses have no permission', () => {
    const m = new TestMachine(plain);
    leaf(m, 0xf07n);
    expect(m.access({ priv: true }).ok).toBe(true);
    let text = '';
    m.trace.listener = (e) => {
      if (e.kind === 'ats' && e.message === 'completion') text = e.text;
    };
    expect(runToEnd(m.smmu.ats(m.device, -1, BigInt(VA), false)).hit).toBe('IOTLB');
    expect(text).toBe('completion: R=0 W=0 (F_PERMISSION)');
  });
});

describe('stage 2 alone', () => {
  it('is answered from its own cache the second time', () => {
    const m = new TestMachine({ ...plain, ste: { Config: 6 } });
    m.mapIpa(VA);
    expect(m.dma()).toMatchObject({ ok: true, hit: 'walk', reads: 5 });
    expect(m.dma()).toMatchObject({ ok: true, hit: 'S2 TLB', reads: 0, pa: VA + OFFSET });
    expect(m.smmu.caches.iotlb.size).toBe(0);
  });
});
