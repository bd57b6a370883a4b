import { describe, expect, it } from 'vitest';
import { encodeDescriptor } from '../layout/index.ts';
import { plugged, translating } from './fixtures/recording-vmm.ts';

const IQE = 0x10n;
const wait = (fields: Record<string, number | bigint> = {}): bigint[] =>
  encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 2, STADDR: 0x40400000n, ...fields });
const two = (qw0: bigint, qw1 = 0n): bigint[] => [qw0, qw1, 0n, 0n];

describe('the trapped invalidation queue, intel-vtd.md 2.3', () => {
  it('takes descriptors in order and writes the status of a wait', () => {
    const v = translating();
    const events = v.listen();
    v.post(encodeDescriptor('IOTLB_INV', { G: 1 }), encodeDescriptor('IEC_INV', {}), wait({ STDATA: 0x1234 }));
    expect(v.status()).toBe(0x1234);
    expect(v.read('IQH_REG')).toBe(0x60n);
    expect(events.flatMap((e) => (e.kind === 'command.fetch' ? [`${e.index} ${e.command.text}`] : []))).toEqual([
      '0 IOTLB_INV all',
      '1 IEC_INV all',
      '2 INV_WAIT status 4660 to 0x40400000',
    ]);
    expect(events.filter((e) => e.kind === 'sync')).toHaveLength(1);
  });

  it.each<[string, bigint[], string]>([
    ['P_IOTLB with AM 19', two(0x0000000000020036n, 0x13n), 'AM 19 is above'],
    ['P_IOTLB with G = 1', two(0x0000000000020016n), 'illegal granularity'],
    ['DevTLB with PFSID 0x3b01', two(0x3b003b0000101003n, 0x00000000fffff000n), 'DEV_TLB_INV with reserved bits set'],
    ['page group response without PASID', two(0x000000003b000009n, 0x28n), 'without PASID'],
    ['wait with none of IF, SW, FN', two(0x0000000200000005n, 0x1000n), 'none of IF, SW, FN'],
    ['PC with qw1', two(0x0000000000020017n, 0x1000n), 'PC_INV with reserved bits set'],
    ['type 10', two(0xan), 'reserved bits set'],
    ['CC with G = 0', two(1n), 'illegal granularity'],
    ['IOTLB with G = 0', two(2n), 'illegal granularity'],
    ['IOTLB with AM 19', two(0x32n, 0x13n), 'AM 19 is above'],
    ['PC with G = 2', two(0x27n), 'illegal granularity'],
    ['third word', [0x37n, 0n, 1n, 0n], 'reserved bits set'],
    ['type with bits 11:9', two(0x0237n), 'reserved bits set'],
    ['status write outside memory', wait({ STADDR: 0x90000000n }), 'the status cannot be written'],
  ])('9.9 and more: %s is refused, IQH stays', (_name, words, text) => {
    const v = translating();
    const events = v.listen();
    v.post(encodeDescriptor('IEC_INV', {}), words, wait());
    expect(v.read('FSTS_REG')).toBe(IQE);
    expect(v.read('IQH_REG')).toBe(0x20n);
    expect(v.status()).toBe(0);
    expect(v.vmm.irq.fault).toBe(true);
    const error = events.find((e) => e.kind === 'command.error');
    expect(error).toMatchObject({ at: 'vmm.viommu', index: 1, error: 'IQE' });
    expect((error as { text: string }).text).toContain(text);
  });

  it('10.7: AM 18 is the largest that QEMU takes, so that a misaligned 1 GiB stops the queue', () => {
    const v = translating();
    v.post(two(0x0000000000020036n, 0x12n));
    expect(v.read('FSTS_REG')).toBe(0n);
    expect(v.kernel.invalidations).toEqual([['0x0 0x40000 0']]);
    // 7.4: 0x1000..0x40000fff is AM 19.
    v.post(two(0x0000000000020036n, 0x13n));
    expect(v.read('FSTS_REG')).toBe(IQE);
    expect(v.kernel.invalidations).toHaveLength(1);
  });

  it('10.26: a page group response needs a PASID', () => {
    const v = translating();
    v.post(two(0x000000003b000009n, 0x28n));
    expect(v.read('FSTS_REG')).toBe(IQE);
    const w = translating();
    w.post(two(0x000012343b000019n, 0x28n));
    expect(w.read('FSTS_REG')).toBe(0n);
  });

  it('goes on at the next IQT write after IQE was cleared, with the repaired descriptor', () => {
    const v = translating();
    v.post(two(0xan), wait());
    v.post(wait());
    expect(v.read('IQH_REG')).toBe(0n);
    v.memory.writeWord(0x40000000, 4n);
    v.write('FSTS_REG', IQE);
    expect([v.read('FSTS_REG'), v.read('IQH_REG'), v.status()]).toEqual([0n, 0n, 0]);
    v.write('IQT_REG', 0x60);
    expect([v.read('IQH_REG'), v.status()]).toEqual([0x60n, 2]);
  });

  it('a tail behind the end, or in the middle of a slot, is an error', () => {
    const v = translating();
    v.write('IQT_REG', 256 << 5);
    expect([v.read('FSTS_REG'), v.read('IQH_REG')]).toEqual([IQE, 0n]);
    const w = translating();
    w.write('IQT_REG', 0x10);
    expect([w.read('FSTS_REG'), w.read('IQH_REG')]).toEqual([IQE, 0n]);
  });

  it('wraps at its size', () => {
    const v = translating();
    for (let i = 0; i < 300; i++) v.post(wait({ STDATA: i }));
    expect([v.status(), v.read('IQH_REG')]).toEqual([299, BigInt((300 % 256) * 32)]);
  });

  it('of 128 bits takes types 1 to 5 and 9 only', () => {
    const take = (word: bigint): bigint => {
      const v = plugged();
      v.boot(true, false);
      v.post([word, 0n]);
      return v.read('FSTS_REG');
    };
    const names = [0x11n, 0x12n, 3n, 4n, 0x45n, 0x26n, 0x37n, 8n, 0x19n];
    expect(names.map(take)).toEqual([0n, 0n, 0n, 0n, 0n, IQE, IQE, IQE, 0n]);
    const v = plugged();
    v.boot(true, false);
    v.post(encodeDescriptor('IEC_INV', {}), wait());
    expect([v.read('IQH_REG'), v.status()]).toEqual([0x20n, 2]);
  });

  it('raises the completion interrupt once until IWC is cleared', () => {
    const v = translating();
    v.post(encodeDescriptor('INV_WAIT', { IF: 1 }));
    expect([v.vmm.irq.inv, v.read('ICS_REG')]).toEqual([true, 1n]);
    v.vmm.irq.inv = false;
    v.post(encodeDescriptor('INV_WAIT', { IF: 1 }));
    expect(v.vmm.irq.inv).toBe(false);
    v.write('ICS_REG', 1);
    v.write('IECTL_REG', 0x80000000);
    v.post(encodeDescriptor('INV_WAIT', { IF: 1 }));
    expect([v.vmm.irq.inv, v.read('IECTL_REG')]).toEqual([false, 0xc0000000n]);
    v.write('IECTL_REG', 0);
    expect([v.vmm.irq.inv, v.read('IECTL_REG')]).toEqual([true, 0n]);
  });

  it('a fence alone is legal, a draining wait only where page requests are offered', () => {
    const fence = two(0x0000000200000045n);
    const drain = two(0x00000002000000a5n, 0x40400000n);
    const take = (o: Parameters<typeof plugged>[0], d: bigint[]): bigint => {
      const v = translating(o);
      v.post(d);
      return v.read('FSTS_REG');
    };
    expect(take({}, fence)).toBe(0n);
    expect(take({}, drain)).toBe(0n);
    expect(take({ properties: { svm: false } }, drain)).toBe(IQE);
  });

  it('is off until QIE, takes what lies in it then, and goes off only empty behind a wait', () => {
    const v = plugged();
    for (const [i, w] of wait().entries()) v.memory.writeWord(0x40000000 + i * 8, w);
    v.write('IQA_REG', 0x40000801n);
    v.write('IQT_REG', 0x20);
    expect(v.status()).toBe(0);
    v.write('GCMD_REG', 0x04000000);
    expect([v.status(), v.read('GSTS_REG'), v.read('IQA_REG')]).toEqual([2, 0x04000000n, 0x40000801n]);
    v.write('GCMD_REG', 0);
    expect([v.read('GSTS_REG'), v.read('IQH_REG')]).toEqual([0n, 0n]);

    const w = translating();
    w.post(encodeDescriptor('IEC_INV', {}));
    w.write('GCMD_REG', 0x80000000);
    expect(w.read('GSTS_REG')).toBe(0xc4000000n);
  });

  it('the fault event is not repeated while one waits', () => {
    const v = translating();
    v.post(two(0xan));
    v.vmm.irq.fault = false;
    v.write('IQT_REG', 0x10);
    expect(v.vmm.irq.fault).toBe(false);
    v.write('FSTS_REG', IQE);
    v.write('FECTL_REG', 0x80000000);
    v.write('IQT_REG', 0x10);
    expect([v.vmm.irq.fault, v.read('FECTL_REG')]).toEqual([false, 0xc0000000n]);
    v.write('FSTS_REG', IQE);
    expect(v.read('FECTL_REG')).toBe(0x80000000n);
  });
});
