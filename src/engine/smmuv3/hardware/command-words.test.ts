import { describe, expect, it } from 'vitest';
import { encodeCommand } from '../layout/index.ts';
import { CERROR_NONE } from './commands.ts';
import { data, execute, filled } from './filled-smmu.ts';

/** Commands as a Linux host sends them, from the reference: words, and what goes in `filled`. */
const words: readonly [string, bigint, bigint, (e: string) => boolean][] = [
  ['CFGI_STE', 0x0000000800000003n, 1n, (e) => /^(ste 8|cd 8\.|l1cd 8$)/.test(e)],
  ['CFGI_CD', 0x0000010800000005n, 1n, (e) => e === 'cd 264.0'],
  ['CFGI_CD of SSID 5', 0x0000010800005005n, 1n, (e) => e === 'cd 264.5'],
  ['CFGI_ALL', 4n, 0x1fn, (e) => /^(ste|cd|l1cd|l1std)/.test(e)],
  ['NH_ASID', 0x0001000100000011n, 0n, (e) => /^(tlb|walk) vmid1 asid1/.test(e)],
  ['NH_ALL', 0x0000000100000010n, 0n, (e) => /^(tlb|walk) vmid1/.test(e)],
  ['NSNH_ALL', 0x30n, 0n, (e) => /^(tlb|walk|s2|s2walk) vmid/.test(e)],
  ['S12_VMALL', 0x0000000100000028n, 0n, (e) => /^(tlb|walk|s2|s2walk) vmid1/.test(e)],
  ['ATC_INV of a page', 0x0000000800000040n, 0x10000n, (e) => /^atc d8 \S+ 10000/.test(e)],
  ['ATC_INV of pages 16 to 19', 0x0000000800000040n, 0x10002n, (e) => /^atc d8/.test(e)],
  ['ATC_INV of SSID 5', 0x0000000800005840n, 0x34n, (e) => e === 'atc d8 5 10000'],
  ['ATC_INV of all', 0x0000000800000040n, 0x34n, (e) => /^atc d8/.test(e)],
  ['SYNC', 0x000000000fc02046n, 0n, () => false],
  ['PREFETCH_CONFIG', 0x0000000800000001n, 0n, () => false],
];

describe('commands as words', () => {
  for (const [name, w0, w1, gone] of words)
    it(name, () => {
      const { smmu, left } = filled();
      const before = left();
      expect(execute(smmu, [w0, w1])).toBe(CERROR_NONE);
      expect(left()).toEqual(before.filter((e) => !gone(e)));
    });

  /** Entries of VMID 1, ASID 1 by [address, log2 size]; which of them the command removes. */
  const removed = (w: readonly bigint[], entries: readonly (readonly [number, number])[]): string[] => {
    const { smmu } = filled();
    const { iotlb } = smmu.caches;
    const kept = (): Set<string> => {
      const out = new Set<string>();
      iotlb.forEach((i) => {
        if (iotlb.e[i]! === 3) out.add(`${iotlb.e[i + 2]! >>> 0}+${iotlb.e[i + 4]}`);
      });
      return out;
    };
    for (const [at, shift] of entries)
      iotlb.insert(3, 1, 0, at | 0, shift, shift, 0, 0, { ...data, level: 3 - (shift - 12) / 9 });
    const before = kept();
    expect(execute(smmu, [(w[0]! & ~0xffff_0000_0000n) | (3n << 32n), w[1]!])).toBe(CERROR_NONE);
    return [...before].filter((x) => !kept().has(x));
  };
  const pages = (from: number, n: number): [number, number][] =>
    Array.from({ length: n }, (_, k) => [from + k * 4096, 12]);
  const named = (x: readonly (readonly [number, number])[]): string[] => x.map(([at, shift]) => `${at}+${shift}`);

  it('NH_VA of one page, of a block, of 45 pages in two commands, with and without ranges', () => {
    const around = pages(0xffee_0000, 0x120);
    expect(removed([0x0001000100000012n, 0xfffff701n], around)).toEqual(named([[0xffff_f000, 12]]));
    expect(removed([0x0001000100000012n, 0xfffff001n], around)).toEqual(named([[0xffff_f000, 12]]));
    const block = [
      [0xffe0_0000, 21],
      [0xffc0_0000, 21],
      [0xffe0_0000, 12],
    ] as const;
    expect(removed([0x0001000100900012n, 0xffe00601n], block)).toEqual(named([[0xffe0_0000, 21]]));
    expect(removed([0x000100010000c012n, 0xfff00701n], around)).toEqual(named(pages(0xfff0_0000, 13)));
    expect(removed([0x0001000100500012n, 0xfff0d701n], around)).toEqual(named(pages(0xfff0_d000, 32)));
    const big = [
      [0x4000_0000, 30],
      [0x8000_0000, 30],
    ] as const;
    expect(removed([0x0001000101200012n, 0x40000501n], big)).toEqual(named([[0x4000_0000, 30]]));
    expect(removed([0x0001000100100012n, 0x10400n], pages(0xf000, 5))).toEqual(named(pages(0x10000, 2)));
  });

  it('ranges cover what NUM and SCALE say', () => {
    /** Pages, and NUM and SCALE of the commands that remove them; the last two are rounded up. */
    const table: readonly [number, readonly (readonly [number, number])[]][] = [
      [1, [[0, 0]]],
      [31, [[30, 0]]],
      [32, [[0, 5]]],
      [
        33,
        [
          [0, 0],
          [0, 5],
        ],
      ],
      [
        45,
        [
          [12, 0],
          [0, 5],
        ],
      ],
      [
        65,
        [
          [0, 0],
          [0, 6],
        ],
      ],
      [512, [[0, 9]]],
      [
        1000,
        [
          [28, 3],
          [2, 8],
        ],
      ],
      [
        74565,
        [
          [4, 0],
          [12, 6],
          [8, 13],
        ],
      ],
      [2, [[0, 1]]],
      [34, [[16, 1]]],
    ];
    for (const [n, parts] of table) {
      const from = 0x1000_0000;
      let at = from;
      const gone: string[] = [];
      // The ends of every command, and what lies just outside of the whole.
      const probes = [from - 4096, from + n * 4096];
      const ranges = parts.map(([NUM, SCALE]) => {
        const bytes = (NUM + 1) * 2 ** SCALE * 4096;
        probes.push(at, at + bytes - 4096);
        const address = at;
        at += bytes;
        return { NUM, SCALE, Address: BigInt(address) };
      });
      expect(at).toBe(from + n * 4096);
      for (const r of ranges)
        gone.push(
          ...removed(
            encodeCommand('TLBI_NH_VA', { VMID: 1, ASID: 1, TG: 1, TTL: 3, Leaf: 1, ...r }),
            probes.map((x) => [x, 12] as const),
          ),
        );
      expect(new Set(gone), String(n)).toEqual(new Set(named(probes.slice(2).map((x) => [x, 12]))));
    }
  });
});
