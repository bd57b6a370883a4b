import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeCommand } from '../layout/index.ts';
import { CD, OFFSET, type Shape, SID, TestMachine, VA } from './test-machine.ts';

const machine = (shape: Partial<Shape> = {}, prefetch = true): TestMachine =>
  new TestMachine({ n1: 4, n2: 4, twoLevelSte: false, twoLevelCd: false, features: { prefetch }, ...shape });

const send = (m: TestMachine, name: string, fields: Record<string, number | bigint>): void =>
  m.smmu.executeLate(encodeCommand(name, { SID, ...fields }));

/** How many STEs, CDs and IOTLB entries are cached, and how many events were recorded. */
const state = (m: TestMachine): number[] => [
  m.smmu.caches.ste.size,
  m.smmu.caches.cd.get(SID)?.size ?? 0,
  m.smmu.caches.iotlb.size,
  Number(m.smmu.readRegister('EVENTQ_PROD')),
];

describe('CMD_PREFETCH_CONFIG, Arm IHI 0070 4.2.1', () => {
  it('loads STE and CD, which a translation then finds', () => {
    const m = machine();
    send(m, 'PREFETCH_CONFIG', {});
    expect(state(m)).toEqual([1, 1, 0, 0]);
    const cold = machine();
    // STE, CD and the four stage-2 reads before it.
    expect(cold.dma().reads - m.dma().reads).toBeGreaterThanOrEqual(6);
  });

  it('takes the SubstreamID only where the stream has substreams', () => {
    const m = machine();
    send(m, 'PREFETCH_CONFIG', { SSV: 1, SSID: 5 });
    expect([...m.smmu.caches.cd.get(SID)!.keys()]).toEqual([0]);
    const two = machine({ twoLevelCd: true });
    two.put(
      CD + OFFSET + 64,
      Array.from({ length: 8 }, (_, i) => two.memory.readWord(CD + OFFSET + 8 * i)),
    );
    send(two, 'PREFETCH_CONFIG', { SSV: 1, SSID: 1 });
    send(two, 'PREFETCH_CONFIG', { SSV: 1, SSID: 2048 });
    expect([...two.smmu.caches.cd.get(SID)!.keys()]).toEqual([1]);
    send(two, 'PREFETCH_CONFIG', { SSV: 0, SSID: 3 });
    expect([...two.smmu.caches.cd.get(SID)!.keys()]).toEqual([1, 0]);
    const linear = machine({ ste: { S1CDMax: 4 } });
    send(linear, 'PREFETCH_CONFIG', { SSV: 1, SSID: 16 });
    expect(linear.smmu.caches.cd.size).toBe(0);
  });

  it('does nothing for what does not exist or is switched off, without an event', () => {
    const m = machine();
    send(m, 'PREFETCH_CONFIG', { SID: 0x999999 });
    send(m, 'PREFETCH_ADDR', { SID: 0x999999, Address: BigInt(VA & ~0xfff) });
    runToEnd(m.smmu.writeRegister('CR0', 0x1cn));
    send(m, 'PREFETCH_CONFIG', {});
    send(m, 'PREFETCH_ADDR', { Address: BigInt(VA & ~0xfff) });
    expect(state(m)).toEqual([0, 0, 0, 0]);
    const off = machine({}, false);
    send(off, 'PREFETCH_CONFIG', {});
    send(off, 'PREFETCH_ADDR', { Address: BigInt(VA & ~0xfff) });
    expect(state(off)).toEqual([0, 0, 0, 0]);
  });
});

describe('CMD_PREFETCH_ADDR, Arm IHI 0070 4.2.2', () => {
  it('loads 2^Size translations, 2^(12+Stride) bytes apart', () => {
    const loaded = (Size: number, Stride: number): string[] => {
      const m = machine();
      const first = VA - (VA % 0x10000);
      // Sixteen pages around VA, all on one page of data.
      for (let k = 0; k < 16; k++) {
        const at = m.s1Entry(3) + OFFSET - ((VA >> 12) % 16) * 8 + k * 8;
        m.write(at, m.memory.readWord(m.s1Entry(3) + OFFSET));
      }
      send(m, 'PREFETCH_ADDR', { Address: BigInt(first), Size, Stride });
      const out: string[] = [];
      m.smmu.caches.iotlb.forEach((i) => {
        out.push(((m.smmu.caches.iotlb.e[i + 2]! - first) >>> 12).toString(16));
      });
      expect(m.smmu.readRegister('EVENTQ_PROD')).toBe(0n);
      return out;
    };
    expect(loaded(0, 0)).toEqual(['0']);
    expect(loaded(2, 0)).toEqual(['0', '1', '2', '3']);
    expect(loaded(2, 2)).toEqual(['0', '4', '8', 'c']);
    // Beyond the sixteen pages nothing is mapped, which is no error.
    expect(loaded(5, 0).length).toBe(16);
  });

  it('counts across 4 GiB', () => {
    const m = machine();
    const seen: bigint[] = [];
    const t = m.smmu.translator;
    const translate = t.translate.bind(t);
    t.translate = (sid, ssid, hi, lo, need, priv, kind) => {
      seen.push((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
      return translate(sid, ssid, hi, lo, need, priv, kind);
    };
    send(m, 'PREFETCH_ADDR', { Address: 0x0_ffff_f000n, Size: 2 });
    send(m, 'PREFETCH_ADDR', { Address: 0xffff_0000_0000_0000n, Size: 1, Stride: 31 });
    expect(seen).toEqual([
      0xffff_f000n,
      0x1_0000_0000n,
      0x1_0000_1000n,
      0x1_0000_2000n,
      0xffff_0000_0000_0000n,
      0xffff_0800_0000_0000n,
    ]);
    seen.length = 0;
    send(m, 'PREFETCH_ADDR', { Size: 31 });
    expect(seen.length).toBe(64);
  });

  it('records and stalls nothing', () => {
    const m = machine({ cd: { S: 1 }, features: { prefetch: true, STALL_MODEL: 0 }, device: { stall: true } });
    m.write(m.s1Entry(3) + OFFSET, 0n);
    send(m, 'PREFETCH_ADDR', { Address: BigInt(VA - (VA % 4096)) });
    expect([m.smmu.stalled().length, m.smmu.readRegister('EVENTQ_PROD')]).toEqual([0, 0n]);
    expect(m.dma().stag).toBe(0);
  });
});
