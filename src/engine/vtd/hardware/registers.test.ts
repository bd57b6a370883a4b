import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { registerMap } from '../layout/index.ts';
import { decodeFeatures, physicalFeatures } from './features.ts';
import { CONTROL, FSTS, RegisterFile } from './registers.ts';

const server = physicalFeatures({});
const ALL = 0xffff_ffff_ffff_ffffn;

/** What all ones leave in a register, from zero. */
function afterOnes(name: string, f = server): bigint {
  const r = new RegisterFile(f);
  r.set(name, 0n);
  r.write(name, ALL);
  return r.get(name);
}

describe('writable bits, VT-d 11.4', () => {
  // A unit of the Sapphire Rapids class, host address width 52.
  const table: readonly [string, bigint][] = [
    ['VER_REG', 0n],
    ['CAP_REG', 0n],
    ['ECAP_REG', 0n],
    ['GSTS_REG', 0n],
    ['RTADDR_REG', 0x000f_ffff_ffff_fc00n],
    ['CCMD_REG', 0xe000_0003_ffff_ffffn],
    ['FSTS_REG', 0n],
    ['FECTL_REG', 0x8000_0000n],
    ['FEDATA_REG', 0xffffn],
    ['FEADDR_REG', 0xffff_fffcn],
    ['FEUADDR_REG', 0xffff_ffffn],
    ['IQH_REG', 0n],
    ['IQT_REG', 0x7_fff0n],
    ['IQA_REG', 0x000f_ffff_ffff_f807n],
    ['ICS_REG', 0n],
    ['IECTL_REG', 0x8000_0000n],
    ['IQERCD_REG', 0n],
    ['IRTA_REG', 0x000f_ffff_ffff_f80fn],
    ['PQH_REG', 0x7_ffe0n],
    ['PQT_REG', 0x7_ffe0n],
    ['PQA_REG', 0x000f_ffff_ffff_f007n],
    ['PRS_REG', 0n],
    ['PECTL_REG', 0x8000_0000n],
    ['IVA_REG', 0xffff_ffff_ffff_f07fn],
    ['IOTLB_REG', 0xb003_ffff_0000_0000n],
    ['FRCD_REG0_LO', 0n],
    ['FRCD_REG0_HI', 0n],
  ];
  it.each(table)('%s keeps %s of all ones', (name, bits) => {
    expect(afterOnes(name)).toBe(bits);
  });

  it('are cut to the host address width', () => {
    const f = physicalFeatures({ haw: 46 });
    expect(afterOnes('RTADDR_REG', f)).toBe(0x3fff_ffff_fc00n);
    expect(afterOnes('PQA_REG', f)).toBe(0x3fff_ffff_f007n);
  });

  it('are none where the feature is missing', () => {
    const f = decodeFeatures(server.cap & ~0x60n, 0n);
    for (const name of [
      'IQT_REG',
      'IQA_REG',
      'IECTL_REG',
      'PQH_REG',
      'PQA_REG',
      'PECTL_REG',
      'IRTA_REG',
      'FEUADDR_REG',
    ])
      expect([name, afterOnes(name, f)]).toEqual([name, 0n]);
    // Neither scalable nor abort mode: the table mode is reserved.
    expect(afterOnes('RTADDR_REG', f)).toBe(0x000f_ffff_ffff_f000n);
    expect(afterOnes('PMEN_REG', f)).toBe(0n);
    expect(afterOnes('PLMBASE_REG', f)).toBe(0n);
  });

  it('are at most those that the layout describes', () => {
    for (const r of registerMap(server.cap, server.ecap)) {
      let described = 0n;
      for (const x of r.layout.fields) described |= ((1n << BigInt(x.hi - x.lo + 1)) - 1n) << BigInt(x.lo);
      expect([r.name, afterOnes(r.name) & ~described]).toEqual([r.name, 0n]);
    }
  });
});

describe('status bits that writing one clears', () => {
  it.each([
    ['FSTS_REG', 0xffff, FSTS.PFO | FSTS.IQE | FSTS.ICE | FSTS.ITE | FSTS.PRO],
    ['PRS_REG', 3, 3],
    ['ICS_REG', 1, 1],
  ] as const)('%s', (name, start, bits) => {
    const r = new RegisterFile(server);
    r.setNum(name, start);
    r.write(name, 0n);
    expect(r.num(name)).toBe(start);
    r.write(name, ALL);
    expect(r.num(name)).toBe(start & ~bits);
  });

  it('of a fault record is F alone', () => {
    const r = new RegisterFile(server);
    r.set('FRCD_REG0_LO', 0xffff_8000_0000_1000n);
    r.write('FRCD_REG0_LO', ALL);
    expect(r.get('FRCD_REG0_LO')).toBe(0xffff_8000_0000_1000n);
    r.set('FRCD_REG0_HI', 0xc000_0079_0000_3b00n);
    r.write('FRCD_REG0_HI', 0x7fff_ffff_ffff_ffffn);
    expect(r.get('FRCD_REG0_HI')).toBe(0xc000_0079_0000_3b00n);
    r.write('FRCD_REG0_HI', 1n << 63n);
    expect(r.get('FRCD_REG0_HI')).toBe(0x4000_0079_0000_3b00n);
  });
});

describe('a register file', () => {
  it('comes up with interrupts masked and everything else off', () => {
    const r = new RegisterFile(server);
    for (const name of ['FECTL_REG', 'IECTL_REG', 'PECTL_REG']) expect(r.num(name)).toBe(CONTROL.IM);
    expect([r.enabled, r.rootAddress, r.num('GSTS_REG'), r.num('FSTS_REG')]).toEqual([false, 0n, 0, 0]);
    // Below version 6, since invalidation by register is there.
    expect(r.get('VER_REG') >> 4n).toBeLessThan(6n);
    expect([r.get('CAP_REG'), r.get('ECAP_REG')]).toEqual([server.cap, server.ecap]);
  });

  it('has a fault record for each of CAP.NFR, and no register of another name', () => {
    const r = new RegisterFile(physicalFeatures({ NFR: 3 }));
    expect(r.get('FRCD_REG2_HI')).toBe(0n);
    for (const name of ['FRCD_REG3_HI', 'CR0', ''])
      for (const use of [() => r.get(name), () => r.set(name, 0n), () => r.write(name, 0n)])
        expect(use).toThrow(RangeError);
  });

  it('is kept by save and load, whatever was written', () => {
    const names = registerMap(server.cap, server.ecap).map((r) => r.name);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...names), fc.bigInt({ min: 0n, max: ALL }))), (writes) => {
        const a = new RegisterFile(server);
        for (const [name, value] of writes) a.write(name, value);
        a.rootAddress = a.get('RTADDR_REG');
        const b = new RegisterFile(server);
        b.load(structuredClone(a.save()));
        expect(b.save()).toEqual(a.save());
        expect(b.rootAddress).toBe(a.rootAddress);
      }),
      { numRuns: 50 },
    );
  });
});
