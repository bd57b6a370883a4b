import { describe, expect, it } from 'vitest';
import { wordsToBytes } from '../../bits/index.ts';
import {
  atcInv,
  type Command,
  cfgiAll,
  cfgiCd,
  cfgiSte,
  nhAsid,
  nhVa,
  nsnhAll,
  prefetchConfig,
  priDeny,
  resume,
  sync,
} from './commands.ts';
import { splitRange } from './range.ts';

const words = (c: Command): string => c.map((w) => w.toString(16).padStart(16, '0')).join(' ');
const bytes = (c: Command): string => [...wordsToBytes(c)].map((b) => b.toString(16).padStart(2, '0')).join(' ');

const va = (iova: number, size: number, granule: number, leaf: boolean, ril = true): string[] =>
  splitRange({ iova, size, granule }, leaf, 12, ril).map((r) => words(nhVa(1, r, leaf)));

describe('commands of a guest, arm-smmuv3.md 10.2', () => {
  it.each([
    ['C1', cfgiSte(8), '0000000800000003 0000000000000001', '03 00 00 00 08 00 00 00 01 00 00 00 00 00 00 00'],
    ['C2', cfgiCd(8, 0), '0000000800000005 0000000000000001', '05 00 00 00 08 00 00 00 01 00 00 00 00 00 00 00'],
    ['C3', cfgiCd(8, 5), '0000000800005005 0000000000000001', '05 50 00 00 08 00 00 00 01 00 00 00 00 00 00 00'],
    ['C4', cfgiAll(), '0000000000000004 000000000000001f', '04 00 00 00 00 00 00 00 1f 00 00 00 00 00 00 00'],
    ['C12', nhAsid(1), '0001000000000011 0000000000000000', '11 00 00 00 00 00 01 00 00 00 00 00 00 00 00 00'],
    ['C13', nsnhAll(), '0000000000000030 0000000000000000', '30 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00'],
    [
      'C14',
      atcInv(8, 0xfffff000, 4096),
      '0000000800000040 00000000fffff000',
      '40 00 00 00 08 00 00 00 00 f0 ff ff 00 00 00 00',
    ],
    ['C17', sync(), '000000000fc02046 0000000000000000', '46 20 c0 0f 00 00 00 00 00 00 00 00 00 00 00 00'],
    ['C19', prefetchConfig(8), '0000000800000001 0000000000000000', '01 00 00 00 08 00 00 00 00 00 00 00 00 00 00 00'],
  ])('%s', (_name, command, expected, inMemory) => {
    expect(words(command)).toBe(expected);
    expect(bytes(command)).toBe(inMemory);
  });

  it('C5 to C11: one page, a block, 45 pages, a table, without range support', () => {
    expect(va(0xfffff000, 4096, 4096, true)).toEqual(['0001000000000012 00000000fffff701']);
    expect(va(0xffe00000, 2 ** 21, 2 ** 21, true)).toEqual(['0001000000900012 00000000ffe00601']);
    expect(va(0xfff00000, 45 * 4096, 4096, true)).toEqual([
      '000100000000c012 00000000fff00701',
      '0001000000500012 00000000fff0d701',
    ]);
    expect(va(0x40000000, 2 ** 30, 2 ** 30, true)).toEqual(['0001000001200012 0000000040000501']);
    expect(va(0xffe00000, 2 ** 21, 4096, false)).toEqual(['0001000000900012 00000000ffe00400']);
    expect(va(0x10000, 4096, 4096, false)).toEqual(['0001000000100012 0000000000010400']);
    expect(va(0xfffff000, 4096, 4096, true, false)).toEqual(['0001000000000012 00000000fffff001']);
  });

  it('C15 and C16: four pages, and everything of one PASID', () => {
    expect(words(atcInv(8, 8 * 4096, 4 * 4096))).toBe('0000000800000040 0000000000008002');
    expect(words(atcInv(8, 0, 0))).toBe('0000000800000040 0000000000000034');
    expect(words(atcInv(8, 0, 0, 5))).toBe('0000000800005840 0000000000000034');
  });

  it('answers, with the guest’s StreamID in H5 and H6', () => {
    expect(words(resume(8, 0x1234, 'retry'))).toBe('0000000800001044 0000000000001234');
    expect(words(resume(8, 0x1234, 'abort'))).toBe('0000000800002044 0000000000001234');
    expect(words(priDeny(8, null, 5))).toBe('0000000800000041 0000000000000005');
    expect(words(priDeny(8, 5, 511))).toBe('0000000800005841 00000000000001ff');
    expect(words(cfgiCd(8, 5, false))).toBe('0000000800005005 0000000000000000');
  });
});
