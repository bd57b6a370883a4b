import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { descriptorLayouts, encodeDescriptor } from '../layout/index.ts';
import type { TYPE } from './descriptors.ts';
import { IQEI } from './registers.ts';
import { DATA, execute, IOVA, RID_A, STATUS, TestUnit } from './test-unit.ts';

/** A legal descriptor of each type. */
const legal: Readonly<Record<keyof typeof TYPE, bigint[]>> = {
  CC_INV: encodeDescriptor('CC_INV', { G: 1 }),
  IOTLB_INV: encodeDescriptor('IOTLB_INV', { G: 1 }),
  DEV_TLB_INV: encodeDescriptor('DEV_TLB_INV', { SID: RID_A }),
  IEC_INV: encodeDescriptor('IEC_INV', {}),
  INV_WAIT: encodeDescriptor('INV_WAIT', { FN: 1 }),
  P_IOTLB_INV: encodeDescriptor('P_IOTLB_INV', { G: 2 }),
  PC_INV: encodeDescriptor('PC_INV', { G: 3 }),
  P_DEV_TLB_INV: encodeDescriptor('P_DEV_TLB_INV', { SID: RID_A }),
  PAGE_GRP_RESP: encodeDescriptor('PAGE_GRP_RESP', { RID: RID_A }),
};
const names = Object.keys(legal) as (keyof typeof TYPE)[];

describe('reserved bits, 2.2', () => {
  const t = new TestUnit();

  it.each(names)('%s is refused with any bit outside its fields', (name) => {
    const layout = descriptorLayouts.find((l) => l.name === name)!;
    const described = [0n, 0n, 0n, 0n];
    for (const f of layout.fields) described[f.word]! |= ((1n << BigInt(f.hi - f.lo + 1)) - 1n) << BigInt(f.lo);
    // Bits 11:9 are the upper bits of the type.
    described[0]! |= 0xe00n;
    const wrong: string[] = [];
    for (let bit = 0; bit < 256; bit++) {
      const word = bit >> 6;
      if ((described[word]! >> BigInt(bit & 63)) & 1n) continue;
      // An old answer has its own use of these.
      if (name === 'PAGE_GRP_RESP' && (word > 1 || bit === 66)) continue;
      const w = [...legal[name]];
      w[word]! |= 1n << BigInt(bit & 63);
      if (execute(t, w) !== IQEI.RESERVED) wrong.push(`bit ${bit}`);
    }
    expect([wrong, execute(t, legal[name])]).toEqual([[], IQEI.NONE]);
  });

  it.each(names)('%s with upper type bits is another type', (name) => {
    for (const bit of [9n, 10n, 11n]) {
      const w = [...legal[name]];
      w[0]! |= 1n << bit;
      expect(execute(t, w)).toBe(IQEI.TYPE);
    }
  });

  it.each([
    ['CC_INV', 0],
    ['IOTLB_INV', 0],
    ['P_IOTLB_INV', 0],
    ['P_IOTLB_INV', 1],
    ['PC_INV', 2],
  ] as const)('%s with granularity %i is refused', (name, g) => {
    expect(execute(t, encodeDescriptor(name, { G: g }))).toBe(IQEI.RESERVED);
  });

  it('128-bit queues have no descriptors with PASID', () => {
    const types = names.filter((n) => execute(t, legal[n], false) === IQEI.TYPE);
    expect(types).toEqual(['P_IOTLB_INV', 'PC_INV', 'P_DEV_TLB_INV', 'PAGE_GRP_RESP']);
  });

  it.each([
    [{ DT: false }, ['DEV_TLB_INV', 'P_DEV_TLB_INV']],
    [{ IR: false }, ['IEC_INV']],
    [{ PRS: false }, ['PAGE_GRP_RESP']],
    [{ SMTS: false }, ['P_IOTLB_INV', 'PC_INV', 'P_DEV_TLB_INV']],
  ] as const)('a unit with %o does not know the types of what it lacks', (features, unknown) => {
    const u = new TestUnit({ features });
    expect(names.filter((n) => execute(u, legal[n]) === IQEI.TYPE)).toEqual(unknown);
  });

  it('9.9: what a physical unit makes of the descriptors that QEMU refuses', () => {
    const run = (w0: bigint, w1: bigint, features = {}): number =>
      execute(new TestUnit({ features: { MAMV: 18, ...features } }), [w0, w1, 0n, 0n]);
    // CAP.MAMV does not bind the first stage; PFSID is legal with ECAP.DIT, and an answer need not carry a PASID.
    expect(run(0x0000000000020036n, 0x13n)).toBe(IQEI.NONE);
    expect(run(0x3b003b0000101003n, 0xfffff000n)).toBe(IQEI.NONE);
    expect(run(0x3b003b0000101003n, 0xfffff000n, { DIT: false })).toBe(IQEI.RESERVED);
    expect(run(0x000000003b000009n, 0x28n)).toBe(IQEI.NONE);
    expect(run(0x0000000000020016n, 0n)).toBe(IQEI.RESERVED);
    expect(run(0x0000000200000005n, 0x1000n)).toBe(IQEI.RESERVED);
    expect(run(0x0000000000020017n, 0x1000n)).toBe(IQEI.RESERVED);
    expect(run(0x000000000000000an, 0n)).toBe(IQEI.TYPE);
  });

  it('the address mask of the second stage is bound by CAP.MAMV, and without CAP.PSI there are no pages', () => {
    const pages = (am: number): bigint[] => encodeDescriptor('IOTLB_INV', { G: 3, DID: 25, AM: am });
    const u = new TestUnit({ features: { MAMV: 9 } });
    expect([execute(u, pages(9)), execute(u, pages(10))]).toEqual([IQEI.NONE, IQEI.RESERVED]);
    const without = new TestUnit({ features: { PSI: false } });
    expect(execute(without, pages(0))).toBe(IQEI.RESERVED);
  });

  it('page-request drain is a reserved bit without ECAP.PDS', () => {
    const drain = encodeDescriptor('INV_WAIT', { FN: 1, PD: 1 });
    expect([execute(t, drain), execute(new TestUnit({ features: { PDS: false } }), drain)]).toEqual([0, IQEI.RESERVED]);
  });
});

describe('any words', () => {
  it('are executed or refused, and never throw', () => {
    const t = new TestUnit();
    t.firstStage(5, 0, IOVA, DATA);
    t.dma();
    const word = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 15 }), word, word, word, fc.boolean(), (type, a, b, c, wide) => {
        const e = execute(t, [(a & ~0xfn) | BigInt(type), b, c & 1n, 0n], wide);
        expect(e === 0 || e === IQEI.RESERVED || e === IQEI.TYPE).toBe(true);
      }),
      { numRuns: 2000 },
    );
    expect(t.memory.contains(STATUS)).toBe(true);
  });
});
