/** Registers of a remapping unit. Source: Intel VT-d specification, 11.4. */

import {
  addrBits,
  decBits,
  enumBits,
  type Field,
  registerFlag as f,
  flag,
  hexBits,
  type RegisterInfo,
  type RegisterRow,
  registerOf,
} from '../../bits/index.ts';
import { capFields, ecapFields } from './capabilities.ts';
import { frcdLayout } from './faults.ts';

const interruptControl: readonly Field[] = [
  f('IP', 30, 'An interrupt waits because IM was set.'),
  f('IM', 31, 'The interrupt is masked.'),
];
const data: readonly Field[] = [hexBits('DATA', 0, 31, 0, 'What the interrupt message writes.')];
const address: readonly Field[] = [addrBits('MA', 0, 31, 2, 'Where the interrupt message writes, bits 31:2.')];
const upperAddress: readonly Field[] = [hexBits('MUA', 0, 31, 0, 'Where the interrupt message writes, bits 63:32.')];
const base = (what: string): Field => addrBits('BASE', 0, 63, 12, `Physical address of ${what}.`);
const entry = (name: string, lo: number, what: string): Field => addrBits(name, 0, 18, lo, what);

const interrupt = (prefix: string, offset: number, what: string): readonly RegisterRow[] => [
  [`${prefix}CTL_REG`, offset, 32, `Control of the ${what} interrupt`, interruptControl],
  [`${prefix}DATA_REG`, offset + 4, 32, `Data of the ${what} interrupt`, data],
  [`${prefix}ADDR_REG`, offset + 8, 32, `Address of the ${what} interrupt`, address],
  [`${prefix}UADDR_REG`, offset + 12, 32, `Upper address of the ${what} interrupt`, upperAddress],
];

const fixed: readonly RegisterRow[] = [
  [
    'VER_REG',
    0x00,
    32,
    'Version',
    [decBits('MIN', 0, 3, 0, 'Minor version.'), decBits('MAX', 0, 7, 4, 'Major version.')],
  ],
  ['CAP_REG', 0x08, 64, 'Capabilities', capFields],
  ['ECAP_REG', 0x10, 64, 'Extended capabilities', ecapFields],
  [
    'GCMD_REG',
    0x18,
    32,
    'Global command (write only)',
    [
      f('CFI', 23, 'Compatibility format interrupts pass.'),
      f('SIRTP', 24, 'Take the interrupt remapping table of IRTA_REG.'),
      f('IRE', 25, 'Interrupt remapping is on.'),
      f('QIE', 26, 'Queued invalidation is on.'),
      f('WBF', 27, 'Flush the write buffer.'),
      f('EAFL', 28, 'Advanced fault logging is on.'),
      f('SFL', 29, 'Take the fault log.'),
      f('SRTP', 30, 'Take the root table of RTADDR_REG.'),
      f('TE', 31, 'DMA remapping is on.'),
    ],
  ],
  [
    'GSTS_REG',
    0x1c,
    32,
    'Global status (read only)',
    [
      f('CFIS', 23, 'Compatibility format interrupts pass.'),
      f('IRTPS', 24, 'The interrupt remapping table is taken.'),
      f('IRES', 25, 'Interrupt remapping is on.'),
      f('QIES', 26, 'Queued invalidation is on.'),
      f('WBFS', 27, 'A write buffer flush is under way.'),
      f('AFLS', 28, 'Advanced fault logging is on.'),
      f('FLS', 29, 'The fault log is taken.'),
      f('RTPS', 30, 'The root table is taken.'),
      f('TES', 31, 'DMA remapping is on.'),
    ],
  ],
  [
    'RTADDR_REG',
    0x20,
    64,
    'Root table',
    [
      enumBits('TTM', 0, 11, 10, 'Mode of the tables.', ['legacy', 'scalable', 'reserved', 'abort']),
      addrBits('RTA', 0, 63, 12, 'Physical address of the root table.'),
    ],
  ],
  [
    'CCMD_REG',
    0x28,
    64,
    'Context command (invalidation by register)',
    [
      decBits('DID', 0, 15, 0, 'Domain id.'),
      hexBits('SID', 0, 31, 16, 'Requester.'),
      hexBits('FM', 0, 33, 32, 'Which function bits of SID are ignored.'),
      enumBits('CAIG', 0, 60, 59, 'What was done.', ['', 'all', 'of a domain', 'of a device']),
      enumBits('CIRG', 0, 62, 61, 'What is asked for.', ['', 'all', 'of a domain', 'of a device']),
      f('ICC', 63, 'Start; hardware clears it when done.'),
    ],
  ],
  [
    'FSTS_REG',
    0x34,
    32,
    'Fault status',
    [
      f('PFO', 0, 'Fault records overflowed: a fault was lost.'),
      f('PPF', 1, 'A fault record is valid.'),
      f('AFO', 2, 'The advanced fault log overflowed.'),
      f('APF', 3, 'The advanced fault log has a fault.'),
      f('IQE', 4, 'The invalidation queue stopped at a bad descriptor.'),
      f('ICE', 5, 'A device sent an invalidation completion that was not expected.'),
      f('ITE', 6, 'A device did not complete an invalidation in time.'),
      f('PRO', 7, 'The page request queue overflowed (deprecated).'),
      decBits('FRI', 0, 15, 8, 'Index of the first valid fault record.', (get) => get('PPF') === 1n),
    ],
  ],
  ...interrupt('FE', 0x38, 'fault event'),
  [
    'PMEN_REG',
    0x64,
    32,
    'Protected memory',
    [f('PRS', 0, 'Protected memory is on.'), f('EPM', 31, 'Turn protected memory on.')],
  ],
  ['PLMBASE_REG', 0x68, 32, 'Protected low memory, first address', [addrBits('BASE', 0, 31, 12, 'First address.')]],
  ['PLMLIMIT_REG', 0x6c, 32, 'Protected low memory, last address', [addrBits('LIMIT', 0, 31, 12, 'Last address.')]],
  ['PHMBASE_REG', 0x70, 64, 'Protected high memory, first address', [addrBits('BASE', 0, 63, 12, 'First address.')]],
  ['PHMLIMIT_REG', 0x78, 64, 'Protected high memory, last address', [addrBits('LIMIT', 0, 63, 12, 'Last address.')]],
  [
    'IQH_REG',
    0x80,
    64,
    'Invalidation queue head',
    [entry('QH', 4, 'Offset of the descriptor that hardware reads next.')],
  ],
  [
    'IQT_REG',
    0x88,
    64,
    'Invalidation queue tail',
    [entry('QT', 4, 'Offset of the descriptor that software writes next.')],
  ],
  [
    'IQA_REG',
    0x90,
    64,
    'Invalidation queue',
    [
      decBits('QS', 0, 2, 0, 'The queue has 2^QS pages: 256 descriptors of 16 bytes or 128 of 32 bytes each.'),
      flag('DW', 0, 11, 'Size of a descriptor.', undefined, { 0: '128 bits', 1: '256 bits' }),
      base('the queue'),
    ],
  ],
  ['ICS_REG', 0x9c, 32, 'Invalidation completion', [f('IWC', 0, 'A wait descriptor with IF has completed.')]],
  ...interrupt('IE', 0xa0, 'invalidation completion'),
  [
    'IQERCD_REG',
    0xb0,
    64,
    'Invalidation queue error record',
    [
      enumBits('IQEI', 0, 3, 0, 'Why the queue stopped.', [
        'not available',
        'invalid tail',
        'fetch error',
        'invalid type',
        'reserved field set',
        'invalid width',
        'tail not aligned',
        'invalid TTM',
      ]),
      hexBits('ITESID', 0, 47, 32, 'Device that did not complete in time.'),
      hexBits('ICESID', 0, 63, 48, 'Device that completed what was not asked.'),
    ],
  ],
  [
    'IRTA_REG',
    0xb8,
    64,
    'Interrupt remapping table',
    [
      decBits('S', 0, 3, 0, 'The table has 2^(S+1) entries.'),
      f('EIME', 11, 'Extended interrupt mode (x2APIC).'),
      base('the table'),
    ],
  ],
  [
    'PQH_REG',
    0xc0,
    64,
    'Page request queue head',
    [entry('PQH', 5, 'Offset of the request that software reads next.')],
  ],
  [
    'PQT_REG',
    0xc8,
    64,
    'Page request queue tail',
    [entry('PQT', 5, 'Offset of the request that hardware writes next.')],
  ],
  [
    'PQA_REG',
    0xd0,
    64,
    'Page request queue',
    [decBits('PQS', 0, 2, 0, 'The queue has 2^(PQS+7) requests of 32 bytes.'), base('the queue')],
  ],
  [
    'PRS_REG',
    0xdc,
    32,
    'Page request status',
    [f('PPR', 0, 'The queue has requests.'), f('PRO', 1, 'The queue overflowed: requests are answered by hardware.')],
  ],
  ...interrupt('PE', 0xe0, 'page request event'),
];

const ivaFields: readonly Field[] = [
  decBits('AM', 0, 5, 0, 'The range is 2^AM pages of 4 KiB.'),
  f('IH', 6, 'Only leaf entries changed.'),
  addrBits('ADDR', 0, 63, 12, 'First input address of what is removed.'),
];
const iotlbFields: readonly Field[] = [
  decBits('DID', 0, 47, 32, 'Domain id.'),
  f('DW', 48, 'Writes under way are finished first.'),
  f('DR', 49, 'Reads under way are finished first.'),
  enumBits('IAIG', 0, 58, 57, 'What was done.', ['refused', 'all', 'of a domain', 'of a domain, in a range']),
  enumBits('IIRG', 0, 61, 60, 'What is asked for.', ['', 'all', 'of a domain', 'of a domain, in a range']),
  f('IVT', 63, 'Start; hardware clears it when done.'),
];

const info = (row: RegisterRow): RegisterInfo => registerOf('vtd.reg', 'Intel VT-d, 11.4', row);

/** Half of a fault recording register: its fields with the word moved to 0. */
const recordHalf = (n: number, half: 'LO' | 'HI', offset: number): RegisterInfo => {
  const word = half === 'LO' ? 0 : 1;
  const fields = frcdLayout.fields
    .filter((x) => x.word === word)
    // PP lies in the upper half; conditions on it hold there only.
    .map((x) => ({ ...x, word: 0 }));
  return info([
    `FRCD_REG${n}_${half}`,
    offset + 8 * word,
    64,
    `Fault record ${n}, ${half === 'LO' ? 'lower' : 'upper'} half`,
    fields,
  ]);
};

const fixedRegisters = fixed.map(info);
const fields = (word: bigint, hi: number, lo: number): number =>
  Number((word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n));

/**
 * The registers of a unit. CAP.FRO and CAP.NFR place the fault records (each as two halves, `FRCD_REG0_LO`, `FRCD_REG0_HI`),
 * ECAP.IRO places IVA_REG and IOTLB_REG.
 */
export function registerMap(cap: bigint, ecap: bigint): readonly RegisterInfo[] {
  const iro = fields(ecap, 17, 8) * 16;
  const fro = fields(cap, 33, 24) * 16;
  const records = Array.from({ length: fields(cap, 47, 40) + 1 }, (_, n) => [
    recordHalf(n, 'LO', fro + 16 * n),
    recordHalf(n, 'HI', fro + 16 * n),
  ]);
  return [
    ...fixedRegisters,
    info(['IVA_REG', iro, 64, 'Invalidate address (invalidation by register)', ivaFields]),
    info(['IOTLB_REG', iro + 8, 64, 'IOTLB invalidate (invalidation by register)', iotlbFields]),
    ...records.flat(),
  ];
}

/** Registers of a unit of the Sapphire Rapids class (fault record at 0x400, IOTLB registers at 0x500). */
export const registers: readonly RegisterInfo[] = registerMap(0x19ed_008c_4078_0c66n, 0x0003_ef9e_a6f0_50dfn);

const byName = new Map(registers.map((r) => [r.name, r]));

/**
 * The register of that name, or undefined. Offsets of IVA_REG, IOTLB_REG and the fault records are those of `registers`;
 * `registerMap` has them for a unit's own CAP and ECAP.
 */
export function registerByName(name: string): RegisterInfo | undefined {
  const known = byName.get(name);
  const m = known ? null : /^FRCD_REG(\d{1,3})_(LO|HI)$/.exec(name);
  if (!m || Number(m[1]) > 255) return known;
  const first = byName.get('FRCD_REG0_LO') as RegisterInfo;
  return recordHalf(Number(m[1]), m[2] as 'LO' | 'HI', first.offset + 16 * Number(m[1]));
}
