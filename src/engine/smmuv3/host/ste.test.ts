import { describe, expect, it } from 'vitest';
import type { WalkParameters } from '../../pagetable/vmsav8-table.ts';
import type { HostFeatures } from './features.ts';
import { abortSte, bypassSte, cdTableSte, S1DSS, stage1Cd, stage2Ste, withAts } from './ste.ts';
import { physicalSte } from './vste.ts';

/** The forms of entries as the KUnit suite builds them: inputs and base values of arm-smmuv3.md 6.2. */

const f = { stalls: true, attrTypesOverride: true, e2h: false } as HostFeatures;
const cds = { address: 0xf0f0f0f0f0c0, format: 2, s1cdmax: 31 };
const root = 0x000dbeefdeadbee0;
const walk: WalkParameters = { tsz: 4, sl0: 3, irgn: 2, orgn: 1, sh: 3, tg: 2, ps: 1, vtcr: 0 };
const hex = (words: readonly bigint[]): string[] => words.slice(0, 4).map((w) => w.toString(16).padStart(16, '0'));
const s2 = (stalls: boolean): bigint[] => stage2Ste(f, { vmid: 0, root, walk, fwb: false, stalls });

describe('stream table entries', () => {
  it.each([
    ['abort', abortSte(), '0000000000000001 0000000000000000 0000000000000000 0000000000000000'],
    ['bypass', bypassSte(f), '0000000000000009 0000100000000000 0000000000000000 0000000000000000'],
    [
      'S1(ssid0)+ATS',
      cdTableSte(f, cds, true, false),
      'f800f0f0f0f0f0eb 00000000180000d6 0000000000000000 0000000000000000',
    ],
    [
      'S1(dss bypass)+ATS',
      cdTableSte(f, cds, true, false, S1DSS.bypass),
      'f800f0f0f0f0f0eb 00001000180000d5 0000000000000000 0000000000000000',
    ],
    [
      'S1(ssid0) stall, no ATS',
      cdTableSte(f, cds, false, true),
      'f800f0f0f0f0f0eb 00000000000000d6 0000000000000000 0000000000000000',
    ],
    ['S2+ATS', withAts(s2(false), true), '000000000000000d 0000100010000000 0449b6c400000000 000dbeefdeadbee0'],
    ['S2, no ATS', s2(false), '000000000000000d 0000100000000000 0449b6c400000000 000dbeefdeadbee0'],
    ['S2 stall', s2(true), '000000000000000d 0000100000000000 0649b6c400000000 000dbeefdeadbee0'],
    [
      'nested(dss bypass)+ATS',
      physicalSte(s2(false), [0xf800f0f0f0f0f0ebn, 0x080000d5n], true),
      'f800f0f0f0f0f0ef 00001000180800d5 0449b6c400000000 000dbeefdeadbee0',
    ],
  ])('%s', (_name, ste, expected) => {
    expect(hex(ste).join(' ')).toBe(expected);
  });

  it('the host’s own streams are EL2-E2H where it runs there', () => {
    expect(cdTableSte({ ...f, e2h: true }, cds, false, true)[1]).toBe(0x800000d6n);
  });
});

describe('context descriptors', () => {
  const cd = (more: { asid: number; stalls?: boolean; dirty?: boolean }): bigint[] =>
    stage1Cd({ root, walk, mair: 0x0abcdef012345678n, stalls: false, dirty: false, ...more });

  it.each([
    [778, '030ae201c0003684'],
    [1997, '07cde201c0003684'],
  ])('S1 with ASID %i', (asid, word) => {
    expect(hex(cd({ asid }))).toEqual([word, '000dbeefdeadbee0', '0000000000000000', '0abcdef012345678']);
  });

  it('S for a device that stalls, HA and HD for dirty tracking', () => {
    const plain = cd({ asid: 1 })[0]!;
    expect(cd({ asid: 1, stalls: true })[0]! ^ plain).toBe(1n << 44n);
    expect(cd({ asid: 1, dirty: true })[0]! ^ plain).toBe(3n << 42n);
  });
});
