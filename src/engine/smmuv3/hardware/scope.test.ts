import { describe, expect, it } from 'vitest';
import { Injector, runToEnd } from '../../machine/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { hardwareIds, Smmu, sceneOf } from './index.ts';
import { OFFSET, TestMachine, VA } from './test-machine.ts';

describe('scene ids of one of several units', () => {
  it('carry its name in every event, devices do not', () => {
    const plain = new TestMachine({ n1: 4, n2: 4, twoLevelSte: true, twoLevelCd: true, device: { pri: true } });
    const ids = (scope: string): string[] => {
      const { memory, trace, device } = plain;
      const smmu = new Smmu(memory, plain.smmu.features, [device], trace, new Injector(trace), 0, scope);
      smmu.load(plain.smmu.save());
      device.pri.enable();
      const seen: string[] = [];
      trace.listener = (e) => seen.push(e.at, ...(e.to === undefined ? [] : [e.to]));
      const dma = (translated: boolean): unknown =>
        runToEnd(smmu.dma({ device, pasid: -1, iova: BigInt(VA), write: false, translated }));
      dma(false);
      dma(true);
      plain.put(0x310_0000, encodeCommand('ATC_INV', { SID: 0x108, Size: 52 }));
      plain.put(0x310_0010, encodeCommand('CFGI_STE_RANGE', { Range: 31 }));
      plain.put(0x310_0020, encodeCommand('TLBI_NSNH_ALL', {}));
      plain.put(0x310_0030, encodeCommand('SYNC', {}));
      plain.put(0x310_0040, [0xffn, 0n]);
      runToEnd(smmu.writeRegister('CMDQ_PROD', 5n));
      const leaf = plain.memory.readWord(plain.s1Entry(3) + OFFSET);
      plain.write(plain.s1Entry(3) + OFFSET, 0n);
      dma(false);
      plain.write(plain.s1Entry(3) + OFFSET, leaf);
      runToEnd(smmu.pri(device, -1, 0n, { read: true, write: true }, 1, true));
      trace.listener = null;
      return seen;
    };
    const one = ids('');
    expect([...new Set(one)].sort()).toEqual([
      'hw.cmdq',
      'hw.config',
      'hw.device.d',
      'hw.evtq',
      'hw.iotlb',
      'hw.priq',
      'hw.s1walk',
      'hw.s2tlb',
      'hw.s2walk',
      'hw.smmu',
    ]);
    expect(ids('smmu1')).toEqual(one.map((id) => id.replace(/^hw\.(?!device)/, 'hw.smmu1.')));
  });

  it('are given for each cache', () => {
    const m = new TestMachine({ n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false });
    expect(m.smmu.ids).toEqual(hardwareIds());
    const named = hardwareIds('smmu0');
    expect(m.smmu.caches.translation().map((c) => sceneOf(c, named))).toEqual([
      'hw.smmu0.iotlb',
      'hw.smmu0.s1walk',
      'hw.smmu0.s2tlb',
      'hw.smmu0.s2walk',
    ]);
    expect(sceneOf(m.smmu.caches.iotlb)).toBe('hw.iotlb');
    expect([named.priq, named.strtab]).toEqual(['hw.smmu0.priq', 'hw.smmu0.strtab']);
  });
});
