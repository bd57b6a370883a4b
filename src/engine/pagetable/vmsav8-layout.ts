/**
 * VMSAv8-64 table descriptors of both stages, as layouts: one for each granule, level and kind.
 * With the 64 KiB granule and 52-bit addresses, bits 15:12 are address bits 51:48. The 52-bit forms of the other granules
 * (DS, LPA2) are not described.
 * Source: Arm ARM (DDI 0487), section on VMSAv8-64 descriptor formats.
 */

import type { Field, Layout } from '../bits/index.ts';
import { addrBits, decBits, enumBits, flag, hexBits } from '../bits/index.ts';

/** log2 of the granule: 4, 16 or 64 KiB. */
export type Granule = 12 | 14 | 16;

const SOURCE = 'Arm DDI 0487, VMSAv8-64 descriptors';

const typeBlock = enumBits('Type', 0, 1, 0, 'What the descriptor is; bit 0 clear is invalid.', [
  'invalid',
  'block',
  'invalid',
  'table',
]);
const typePage = enumBits('Type', 0, 1, 0, 'What the descriptor is; 01 is invalid at level 3.', [
  'invalid',
  'invalid',
  'invalid',
  'page',
]);
const sh = enumBits('SH', 0, 9, 8, 'Shareability of the page.', [
  'non-shareable',
  'reserved',
  'outer shareable',
  'inner shareable',
]);
const af = flag(
  'AF',
  0,
  10,
  'Accessed; clear raises an access flag fault unless that is disabled or hardware sets it.',
);
const dbm = flag('DBM', 0, 51, 'With hardware dirty management: read-only means writable but clean.');
const contiguous = flag('Contiguous', 0, 52, 'Hint: one of a run of entries that may be cached as one.');
const software = hexBits(
  'SW',
  0,
  58,
  55,
  'Left to software; Linux marks bit 55 while a non-coherent table write is under way.',
);
const pbha = hexBits('PBHA', 0, 62, 59, 'Implementation defined page attributes, or ignored.');
const ignored63 = flag('Ignored63', 0, 63, 'Ignored.');

const s1Low: readonly Field[] = [
  decBits('AttrIndx', 0, 4, 2, 'Which byte of CD.MAIR gives the memory type.'),
  flag('NS', 0, 5, 'Secure tables only: the output is Non-secure.'),
  enumBits('AP', 0, 7, 6, 'Permissions: bit 6 admits unprivileged accesses, bit 7 forbids writing.', [
    'privileged read and write',
    'read and write',
    'privileged read',
    'read',
  ]),
  sh,
  af,
  flag('nG', 0, 11, 'The translation belongs to one ASID; otherwise to every ASID of the VMID.', undefined, {
    0: 'global',
    1: 'not global',
  }),
];

const s1High: readonly Field[] = [
  dbm,
  contiguous,
  flag('PXN', 0, 53, 'Not executable when privileged.'),
  flag('UXN', 0, 54, 'Not executable when unprivileged.'),
  software,
  pbha,
  ignored63,
];

const memAttr: Record<number, string> = {
  0: 'Device-nGnRnE',
  1: 'Device-nGnRE',
  2: 'Device-nGRE',
  3: 'Device-GRE',
  5: 'Normal non-cacheable',
  10: 'Normal write-through',
  15: 'Normal write-back',
};

const s2Low: readonly Field[] = [
  {
    name: 'MemAttr',
    word: 0,
    hi: 5,
    lo: 2,
    format: 'enum',
    meaning: 'Memory type, combined with that of stage 1 (names without S2FWB, which codes it otherwise).',
    values: memAttr,
  },
  enumBits('S2AP', 0, 7, 6, 'Permissions.', ['none', 'read', 'write', 'read and write']),
  sh,
  af,
];

const s2High: readonly Field[] = [
  dbm,
  contiguous,
  enumBits('XN', 0, 54, 53, 'Where execution is allowed; without IDR3.XNX only bit 54 counts.', [
    'everywhere',
    'unprivileged only',
    'nowhere',
    'privileged only',
  ]),
  software,
  pbha,
  ignored63,
];

const tableHigh: Readonly<Record<1 | 2, readonly Field[]>> = {
  1: [
    flag('PXNTable', 0, 59, 'Nothing below is executable when privileged.'),
    flag('UXNTable', 0, 60, 'Nothing below is executable when unprivileged.'),
    enumBits('APTable', 0, 62, 61, 'Limits permissions below: bit 61 no unprivileged access, bit 62 no writing.', [
      'no limit',
      'no unprivileged access',
      'read-only',
      'read-only, no unprivileged access',
    ]),
    flag('NSTable', 0, 63, 'Secure tables only: everything below is Non-secure.'),
  ],
  2: [],
};

/** Address bits 51:48 of 64 KiB descriptors. */
const top = (granule: Granule): Field[] =>
  granule === 16
    ? [hexBits('AddressTop', 0, 15, 12, 'Address bits 51:48 where the SMMU has 52-bit addresses; otherwise ignored.')]
    : [];

const names: Record<Granule, string> = { 12: '', 14: '.16k', 16: '.64k' };
const kib: Record<Granule, number> = { 12: 4, 14: 16, 16: 64 };

/** log2 of the bytes that one entry of a level covers. */
export const levelShift = (granule: Granule, level: number): number => granule + (3 - level) * (granule - 3);

const sizeName = (shift: number): string =>
  shift < 20
    ? `${2 ** (shift - 10)} KiB`
    : shift < 30
      ? `${2 ** (shift - 20)} MiB`
      : shift < 40
        ? `${2 ** (shift - 30)} GiB`
        : `${2 ** (shift - 40)} TiB`;

function leaf(stage: 1 | 2, granule: Granule, level: number): Layout {
  const shift = levelShift(granule, level);
  const kind = level === 3 ? 'page' : 'block';
  const suffix = kind === 'block' && level !== 2 ? `.l${level}` : '';
  return {
    id: `vmsav8.s${stage}.${kind}${names[granule]}${suffix}`,
    name: `S${stage} ${kind}`,
    title: `Stage-${stage} ${kind} descriptor, ${sizeName(shift)}, ${kib[granule]} KiB granule`,
    words: 1,
    source: SOURCE,
    fields: [
      level === 3 ? typePage : typeBlock,
      ...(stage === 1 ? s1Low : s2Low),
      ...top(granule),
      addrBits(
        'OutputAddress',
        0,
        47,
        shift,
        stage === 1 ? 'Output of stage 1: an IPA if stage 2 translates, else a physical address.' : 'Physical address.',
      ),
      ...(stage === 1 ? s1High : s2High),
    ],
  };
}

function table(stage: 1 | 2, granule: Granule): Layout {
  return {
    id: `vmsav8.s${stage}.table${names[granule]}`,
    name: `S${stage} table`,
    title: `Stage-${stage} table descriptor, ${kib[granule]} KiB granule`,
    words: 1,
    source: SOURCE,
    fields: [
      typeBlock,
      ...top(granule),
      addrBits(
        'NextLevelTable',
        0,
        47,
        granule,
        stage === 1
          ? 'Next table: an IPA if stage 2 translates, else a physical address.'
          : 'Physical address of the next table.',
      ),
      ...tableHigh[stage],
    ],
  };
}

function invalid(stage: 1 | 2): Layout {
  return {
    id: `vmsav8.s${stage}.invalid`,
    name: `S${stage} invalid`,
    title: `Stage-${stage} descriptor that maps nothing`,
    words: 1,
    source: SOURCE,
    fields: [
      enumBits('Type', 0, 1, 0, 'What the descriptor is.', ['invalid', 'invalid here', 'invalid', 'invalid here']),
      hexBits('Ignored', 0, 63, 2, 'Ignored by hardware.'),
    ],
  };
}

const granuleList: readonly Granule[] = [12, 14, 16];
/** Levels that may hold a block; that of level 1 with the 64 KiB granule needs 52-bit addresses. */
const blockLevels: Record<Granule, readonly number[]> = { 12: [1, 2], 14: [2], 16: [1, 2] };

const stages = [1, 2] as const;

export const vmsav8Layouts: readonly Layout[] = stages.flatMap((s) => [
  ...granuleList.flatMap((g) => [leaf(s, g, 3), ...blockLevels[g].map((l) => leaf(s, g, l)), table(s, g)]),
  invalid(s),
]);

const byId = new Map(vmsav8Layouts.map((l) => [l.id, l]));
const find = (id: string): Layout => {
  const l = byId.get(id);
  if (!l) throw new Error(`no VMSAv8 layout ${id}`);
  return l;
};

/**
 * The layout of one descriptor.
 * @param level 0 to 3 @param low the descriptor's low 32 bits (bits 1:0 decide) @param granule log2 of the granule
 * @param wide 52-bit addresses, with which the 64 KiB granule has blocks of 4 TiB
 */
export function descriptorLayout(
  stage: 1 | 2,
  level: number,
  low: number | bigint,
  granule: Granule = 12,
  wide = false,
): Layout {
  const type = Number(BigInt.asUintN(2, BigInt(low)));
  if (level === 3) return find(type === 3 ? `vmsav8.s${stage}.page${names[granule]}` : `vmsav8.s${stage}.invalid`);
  if (type === 3) return find(`vmsav8.s${stage}.table${names[granule]}`);
  if (type === 1 && blockLevels[granule].includes(level) && (wide || granule !== 16 || level === 2))
    return find(`vmsav8.s${stage}.block${names[granule]}${level === 2 ? '' : `.l${level}`}`);
  return find(`vmsav8.s${stage}.invalid`);
}
