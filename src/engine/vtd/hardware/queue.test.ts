import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../machine/index.ts';
import { encodeDescriptor } from '../layout/index.ts';
import { FSTS, IQEI } from './registers.ts';
import { DATA, IOVA, QUEUE, RID_A, STATUS, TestUnit, wait } from './test-unit.ts';

const global = encodeDescriptor('IOTLB_INV', { G: 1 });
const bad = [0xfn, 0n, 0n, 0n];
const iqei = (t: TestUnit): number => t.num('IQERCD_REG') & 15;
const status = (t: TestUnit): number => t.memory.read32(STATUS);
/** A unit with one translation in its IOTLB. */
function warm(o: ConstructorParameters<typeof TestUnit>[0] = {}): TestUnit {
  const t = new TestUnit(o);
  t.firstStage(5, 0, IOVA, DATA);
  expect(t.dma().ok).toBe(true);
  return t;
}
const cached = (t: TestUnit): number => t.unit.caches.iotlb.size;

describe('the invalidation queue, VT-d 6.5.2', () => {
  it.each([
    ['256', false, 32, 256],
    ['128', true, 16, 256],
  ] as const)('with %s-bit descriptors follows the tail over many rounds', (_, narrow, entry, size) => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: size - 1 }), { minLength: 1, maxLength: 12 }), (lengths) => {
        const t = new TestUnit({ narrow });
        let total = 0;
        for (const n of lengths) {
          t.post(...Array.from({ length: n }, () => global));
          total += n;
          expect(t.num('IQH_REG')).toBe((total * entry) % (size * entry));
        }
        expect([t.trace.commands, t.num('FSTS_REG')]).toEqual([total, 0]);
      }),
      { numRuns: 20 },
    );
  });

  it('works in order: a wait completes when everything before it is done', () => {
    const t = warm();
    t.listen();
    t.post(global, wait(7));
    expect([cached(t), status(t), t.trace.syncs]).toEqual([0, 7, 1]);
    const kinds = t.events.map((e) => e.kind).filter((k) => k !== 'register.write');
    expect(kinds.indexOf('cache.remove')).toBeLessThan(kinds.indexOf('sync'));
    expect(t.events.find((e) => e.kind === 'cache.remove')).toMatchObject({ by: 'IOTLB_INV all', valid: true });
  });

  it('does nothing while it is off, and begins at the head when it is switched on', () => {
    const t = warm({ off: false });
    t.set('GCMD_REG', 0x8000_0000);
    expect(t.num('GSTS_REG') & 0x0400_0000).toBe(0);
    t.post(global, wait(3));
    expect([cached(t), status(t), t.num('IQH_REG')]).toEqual([1, 0, 0]);
    t.set('GCMD_REG', 0x8400_0000);
    expect([cached(t), status(t), t.num('IQH_REG')]).toEqual([0, 3, 64]);
    // Switching it off sets the head back.
    t.set('GCMD_REG', 0x8000_0000);
    expect(t.num('IQH_REG')).toBe(0);
  });

  it('reads descriptors when it comes to them, so that a wait can rewrite what follows it', () => {
    const t = new TestUnit();
    // The third descriptor's first half becomes 0x45: a fence instead of nothing legal.
    t.post(encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 0x45, STADDR: BigInt(QUEUE + 32) }), bad, wait(1));
    expect([status(t), t.num('FSTS_REG')]).toEqual([1, 0]);
  });

  it('writes four bytes, aligned, and nothing where nothing is', () => {
    const t = new TestUnit();
    t.write(STATUS, 0x1111_1111_2222_2222n);
    t.post(encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 0xabcd, STADDR: BigInt(STATUS + 4) }));
    expect(t.memory.readWord(STATUS)).toBe(0x0000_abcd_2222_2222n);
    t.post(encodeDescriptor('INV_WAIT', { SW: 1, STDATA: 1, STADDR: 0xffff_ffff_fffcn }), wait(9));
    expect([status(t), t.num('FSTS_REG')]).toEqual([9, 0]);
  });

  it('raises the completion interrupt once until software has taken it', () => {
    const t = new TestUnit();
    const irq = encodeDescriptor('INV_WAIT', { IF: 1 });
    t.post(irq);
    expect([t.unit.irq.inv, t.num('ICS_REG'), t.num('IECTL_REG')]).toEqual([true, 1, 0]);
    t.unit.irq.inv = false;
    t.post(irq);
    expect(t.unit.irq.inv).toBe(false);
    t.set('ICS_REG', 1);
    t.post(irq);
    expect(t.unit.irq.inv).toBe(true);
    // Masked it waits; taking the completion meanwhile takes the message too.
    t.set('ICS_REG', 1);
    t.unit.irq.inv = false;
    t.set('IECTL_REG', 0x8000_0000);
    t.post(irq);
    expect(t.num('IECTL_REG')).toBe(0xc000_0000);
    t.set('ICS_REG', 1);
    t.set('IECTL_REG', 0);
    expect(t.unit.irq.inv).toBe(false);
  });
});

describe('an error of the queue', () => {
  it('stops it at the descriptor, and clearing IQE lets it go on there', () => {
    const t = warm();
    t.post(wait(1), bad, global, wait(2));
    expect([t.num('IQH_REG'), t.num('FSTS_REG') & FSTS.IQE, iqei(t)]).toEqual([32, FSTS.IQE, IQEI.TYPE]);
    expect([status(t), cached(t), t.unit.irq.fault]).toEqual([1, 1, true]);
    // A new tail does not help.
    t.post(wait(3));
    expect(status(t)).toBe(1);
    // Clearing alone meets the same descriptor again.
    t.set('FSTS_REG', FSTS.IQE);
    expect([t.num('IQH_REG'), t.num('FSTS_REG') & FSTS.IQE]).toEqual([32, FSTS.IQE]);
    t.put(QUEUE + 32, wait(5));
    t.set('FSTS_REG', FSTS.IQE);
    expect([t.num('FSTS_REG'), cached(t), status(t), t.num('IQH_REG')]).toEqual([0, 0, 3, 160]);
  });

  it.each([
    ['a tail behind the end of the queue', (t: TestUnit) => t.set('IQT_REG', 0x2000), IQEI.TAIL],
    [
      'a queue where no memory is',
      (t: TestUnit) => {
        t.set('IQA_REG', 0xffff_ffff_f801n);
        t.set('IQT_REG', 32);
      },
      IQEI.FETCH,
    ],
    ['a reserved field', (t: TestUnit) => t.post([0x11n, 1n, 0n, 0n]), IQEI.RESERVED],
    ['a field in the upper half', (t: TestUnit) => t.post([0x11n, 0n, 0n, 1n]), IQEI.RESERVED],
    ['a tail in the middle of a descriptor', (t: TestUnit) => t.set('IQT_REG', 16), IQEI.ALIGNMENT],
    [
      'a reserved table mode',
      (t: TestUnit) => {
        t.set('RTADDR_REG', 0x1_0000_0800n);
        t.set('GCMD_REG', 0xc400_0000n);
        t.post(global);
      },
      IQEI.TTM,
    ],
  ] as const)('is %s', (_, act, code) => {
    const t = new TestUnit();
    act(t);
    expect([t.num('FSTS_REG') & FSTS.IQE, iqei(t), t.num('IQH_REG')]).toEqual([FSTS.IQE, code, 0]);
  });

  it('is a descriptor width that a unit without scalable mode does not have', () => {
    const t = new TestUnit({ features: { SMTS: false }, narrow: true });
    t.set('IQA_REG', BigInt(QUEUE) | 0x800n);
    expect([t.num('FSTS_REG') & FSTS.IQE, iqei(t)]).toEqual([FSTS.IQE, IQEI.WIDTH]);
  });

  it('never leaves an offset between two descriptors when the width changes', () => {
    const t = new TestUnit({ narrow: true });
    t.post(global);
    expect(t.num('IQH_REG')).toBe(16);
    t.set('IQA_REG', BigInt(QUEUE) | 0x801n);
    expect([t.num('IQH_REG'), t.num('IQT_REG'), iqei(t)]).toEqual([0, 0, IQEI.ALIGNMENT]);
  });
});

describe('an invalidation that a device does not answer', () => {
  const all = encodeDescriptor('DEV_TLB_INV', { SID: RID_A, S: 1, ADDR: 0x7fff_ffff_ffff_f000n });
  const ite = (t: TestUnit): [number, number] => [
    t.num('FSTS_REG') & FSTS.ITE,
    Number((t.reg('IQERCD_REG') >> 32n) & 0xffffn),
  ];

  const causes: readonly (readonly [string, (t: TestUnit) => void])[] = [
    [
      'its ATS is off',
      (t) => {
        t.a.atsEnabled = false;
      },
    ],
    [
      'it is in reset',
      (t) => {
        t.a.inReset = true;
      },
    ],
    [
      'the message is lost',
      (t) => {
        t.injector.active = [{ at: 'atc.invalidation', action: 'drop', count: 1, xor: [0n, 0n] }];
      },
    ],
  ];

  it.each(causes)('since %s aborts the wait and stops the queue', (_, spoil) => {
    const t = warm();
    spoil(t);
    t.post(all, wait(4), global, wait(6));
    // The wait was fetched and is lost; the head is behind it.
    expect([ite(t), status(t), t.num('IQH_REG'), cached(t)]).toEqual([[FSTS.ITE, RID_A], 0, 64, 1]);
    expect(t.unit.irq.fault).toBe(true);
    t.post(wait(8));
    expect(status(t)).toBe(0);
    t.set('FSTS_REG', FSTS.ITE);
    expect([ite(t)[0], status(t), t.num('IQH_REG'), cached(t)]).toEqual([0, 8, 160, 0]);
  });

  it('is told when no wait follows too', () => {
    const t = new TestUnit();
    t.post(encodeDescriptor('P_DEV_TLB_INV', { SID: 0x999, PASID: 1 }));
    expect([ite(t), t.num('IQH_REG')]).toEqual([[FSTS.ITE, 0x999], 32]);
  });

  it('that comes late is a completion nobody waits for', () => {
    const t = new TestUnit();
    t.a.atc.insert(0, 0x100000, 0, 0x1000, 12, 12, 0, 0x2000, {
      attr: 3,
      level: 0,
      granule: 12,
      sid: 0,
      ssid: -1,
      ipaHi: 0,
      ipaLo: 0,
    });
    t.injector.active = [{ at: 'atc.invalidation', action: 'delay', count: 1, xor: [0n, 0n] }];
    t.post(all, wait());
    expect([ite(t)[0], t.a.atc.size]).toEqual([FSTS.ITE, 1]);
    for (const h of t.injector.takeHeld()) t.unit.deliverAtc(h.words);
    expect([t.a.atc.size, t.num('FSTS_REG') & FSTS.ICE, Number(t.reg('IQERCD_REG') >> 48n)]).toEqual([
      0,
      FSTS.ICE,
      RID_A,
    ]);
    // Of the two only the time-out holds the queue.
    t.set('FSTS_REG', FSTS.ITE);
    t.post(wait(5));
    expect([status(t), t.num('FSTS_REG') & FSTS.ICE]).toEqual([5, FSTS.ICE]);
  });

  it('is answered when nothing is wrong', () => {
    const t = new TestUnit();
    t.post(all, wait(3));
    expect([status(t), t.num('FSTS_REG')]).toEqual([3, 0]);
  });
});

describe('whatever lies in the queue', () => {
  it('nothing throws or hangs, and the head ends at the tail or at an error', () => {
    const word = fc.oneof(
      fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
      fc.constantFrom(0n, 0x25n, 0x45n, 0xd2n, 0x37n, 0x11n, 0x36n),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(word, word, fc.boolean()), { minLength: 1, maxLength: 40 }),
        fc.boolean(),
        fc.integer({ min: 0, max: 0x7ffff }),
        (list, narrow, tail) => {
          const t = new TestUnit({ narrow });
          t.post(...list.map(([a, b, odd]) => [a, odd ? b : 0n, 0n, 0n]));
          t.set('FSTS_REG', 0xff);
          t.set('IQT_REG', tail);
          t.set('FSTS_REG', 0xff);
          const stopped = (t.num('FSTS_REG') & (FSTS.IQE | FSTS.ITE)) !== 0;
          expect(stopped || t.num('IQH_REG') === t.num('IQT_REG')).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('two doorbells at once execute each descriptor once', () => {
    const t = new TestUnit();
    t.post();
    for (let i = 0; i < 8; i++) t.put(QUEUE + 32 * i, wait(i + 1));
    const first = t.unit.writeRegister('IQT_REG', 128n);
    for (let i = 0; i < 3; i++) first.next();
    const second = t.unit.writeRegister('IQT_REG', 256n);
    for (let i = 0; i < 2; i++) second.next();
    runToEnd(first);
    runToEnd(second);
    expect([t.num('IQH_REG'), t.trace.syncs, status(t)]).toEqual([256, 8, 8]);
  });
});
