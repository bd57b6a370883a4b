import fc from 'fast-check';
import { damage } from '../../properties/damage.ts';
import type { Form } from './random-tables.ts';

/** Random forms of a requester's tables. */

/** One time in so many. Small and large numbers come up more often than others: one in the middle is taken. */
const seldom = (n: number): fc.Arbitrary<boolean> => fc.nat({ max: n }).map((x) => x === n >> 1);
const often = (n: number): fc.Arbitrary<boolean> => seldom(n).map((x) => !x);

/** Bits that a first-stage entry may have: P, R/W, U/S; A and D as they come; all that is ignored. */
const firstBits = fc
  .record({
    base: fc.constantFrom(7n, 7n, 7n, 7n, 7n, 5n, 3n, 1n, 6n),
    ad: fc.nat({ max: 3 }),
    more: fc.nat({ max: 0xffff }),
  })
  .map(({ base, ad, more }) => {
    let w = base | BigInt(ad << 5);
    if (more & 1) w |= 0x18n;
    if (more & 2) w |= 0x100n;
    if (more & 4) w |= 0xa00n;
    if (more & 8) w |= 0x400n;
    if ((more & 0x30) === 0x30) w |= 1n << 63n;
    if (more & 0x40) w |= 0x7ffn << 52n;
    return w;
  });

/** R, W, X, memory type, A and D as they come, SNP now and then. */
const secondBits = fc
  .record({
    base: fc.constantFrom(3n, 3n, 3n, 3n, 3n, 7n, 1n, 2n, 4n),
    ad: fc.nat({ max: 3 }),
    more: fc.nat({ max: 0xffff }),
  })
  .map(({ base, ad, more }) => {
    let w = base | BigInt(ad << 8);
    if (more & 1) w |= 0x78n;
    if (more & 2) w |= 0x400n;
    if ((more & 0x3c) === 0x3c) w |= 0x800n;
    if (more & 0x40) w |= (1n << 63n) | (0x3ffn << 52n);
    return w;
  });
const secondTable = secondBits.map((w) => w & ~0x800n);

export const forms = (mode: fc.Arbitrary<0 | 1 | 2 | 3>): fc.Arbitrary<Form> =>
  fc
    .record({
      mode,
      type: fc.nat({ max: 0xff }),
      rid: fc.nat({ max: 0xffff }),
      pasid: fc.nat({ max: 0xfffff }),
      ridPasid: fc.constantFrom(0, 0, 0, 5, 70, 0x1234, 0xf_ffff),
      ridPriv: seldom(9),
      pdts: fc.constantFrom(7, 7, 2, 0, 4),
      did: fc.constantFrom(0, 5, 17, 300, 0xffff),
      fsLevels: fc.constantFrom(4 as const, 4 as const, 5 as const),
      ssLevels: fc.constantFrom(3 as const, 4 as const, 4 as const, 5 as const),
      fsLeaf: fc.constantFrom(1 as const, 1 as const, 1 as const, 2 as const, 3 as const, 4 as const),
      ssLeaf: fc.constantFrom(1 as const, 1 as const, 2 as const, 3 as const, 4 as const),
      tableLeaf: fc.constantFrom(1 as const, 1 as const, 2 as const, 3 as const),
      offset: fc.constantFrom(0n, 0x4000_0000n, 0x8000_0000n),
      low: fc.bigInt({ min: 0n, max: (1n << 57n) - 1n }),
      narrow: fc.boolean(),
      top: fc.nat({ max: 29 }),
      data: seldom(15),
      contextFlags: fc.nat({ max: 15 }),
      fine: often(9),
      directoryFpd: seldom(9),
      fpd: seldom(9),
      ssee: seldom(5),
      ssade: fc.boolean(),
      pwsnp: often(9),
      pgsnp: fc.boolean(),
      sre: often(5),
      ere: often(5),
      wpe: fc.boolean(),
      nxe: fc.boolean(),
      smep: seldom(3),
      eafe: fc.boolean(),
      fsLeafBits: firstBits,
      fsTableBits: firstBits,
      ssLeafBits: secondBits,
      ssTableBits: secondTable,
      underBits: secondBits,
      damage: fc.oneof(
        { weight: 3, arbitrary: fc.constant([]) },
        { weight: 4, arbitrary: fc.array(damage, { minLength: 1, maxLength: 3 }) },
      ),
    })
    .map(({ fine, narrow, ...r }) => {
      const tops = ['high half', 'high half', 'one too high', 'beyond', 'interrupts'] as const;
      const types = r.mode === 0 ? [0, 0, 0, 1, 1, 2, 3] : [3, 3, 3, 3, 3, 1, 1, 2, 2, 4, 0, 7];
      // A PASID within the directory, mostly.
      const limit = 2 ** (r.pdts + 13);
      const pasid = r.pasid % 3 === 0 || r.mode === 0 ? -1 : r.pasid % 7 === 0 ? r.pasid : r.pasid % limit;
      return {
        ...r,
        type: types[r.type % types.length]!,
        pasid: r.mode === 0 && r.pasid % 11 === 0 ? 5 : pasid,
        ridPasid: r.pasid % 5 === 0 ? r.ridPasid : r.ridPasid % limit,
        // What a second stage of three levels can take.
        low: narrow ? r.low & 0x7f_ffff_ffffn : r.low,
        top: tops[r.top] ?? 'fits',
        data: r.data ? 'interrupts' : 'memory',
        contextFlags: (r.top === 20 ? 1 : 0) | (fine ? 0b1110 : r.contextFlags & 0b1110),
        fsTableBits: fine ? r.fsTableBits | 3n : r.fsTableBits,
        ssTableBits: fine ? r.ssTableBits | 3n : r.ssTableBits,
        underBits: fine ? r.underBits | 3n : r.underBits,
      };
    });
