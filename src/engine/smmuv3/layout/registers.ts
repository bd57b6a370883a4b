/** Registers of the Non-secure programming interface; those of page 1 have 0x10000 added. Source: Arm IHI 0070, chapter 6. */

import {
  addrBits,
  decBits,
  enumBits,
  type Field,
  registerFlag as f,
  hexBits,
  type RegisterInfo,
  type RegisterRow,
  registerOf,
} from '../../bits/index.ts';
import { addressSizes, shareability } from './ste.ts';

const cr0Fields: readonly Field[] = [
  f('SMMUEN', 0, 'Transactions go through the stream table; without it GBPA decides.'),
  f('PRIQEN', 1, 'Page requests are written to the PRI queue.'),
  f('EVENTQEN', 2, 'Events are written to the event queue.'),
  f('CMDQEN', 3, 'Commands are consumed.'),
  f('ATSCHK', 4, 'ATS-translated transactions are checked against STE.EATS.'),
  enumBits('VMW', 0, 8, 6, 'How many low VMID bits a TLB invalidation by VMID ignores.', [
    'none',
    '1 bit',
    '2 bits',
    '3 bits',
    '4 bits',
  ]),
  f('DPT_WALK_EN', 10, 'The device permission table is walked.'),
];

const gerrorFields: readonly Field[] = [
  f('CMDQ_ERR', 0, 'The command queue stopped; CMDQ_CONS.ERR says why.'),
  f('EVENTQ_ABT_ERR', 2, 'A write to the event queue was aborted: records may be lost.'),
  f('PRIQ_ABT_ERR', 3, 'A write to the PRI queue was aborted: requests may be lost.'),
  f('MSI_CMDQ_ABT_ERR', 4, 'The MSI of a CMD_SYNC was aborted.'),
  f('MSI_EVENTQ_ABT_ERR', 5, 'The MSI of the event queue was aborted.'),
  f('MSI_PRIQ_ABT_ERR', 6, 'The MSI of the PRI queue was aborted.'),
  f('MSI_GERROR_ABT_ERR', 7, 'The MSI of a global error was aborted.'),
  f('SFM_ERR', 8, 'The SMMU entered service failure mode and stopped.'),
  f('CMDQP_ERR', 9, 'An enhanced command queue reports an error.'),
  f('DPT_ERR', 10, 'A lookup of the device permission table failed.'),
];

const irqFields: readonly Field[] = [
  f('GERROR_IRQEN', 0, 'Global errors raise an interrupt.'),
  f('PRIQ_IRQEN', 1, 'The PRI queue raises interrupts.'),
  f('EVENTQ_IRQEN', 2, 'The event queue raises interrupts.'),
];

const cacheNames = ['non-cacheable', 'write-back', 'write-through', 'reserved'];
const log2 = decBits('LOG2SIZE', 0, 4, 0, 'The queue has 2^LOG2SIZE entries.');
const queueAddr = addrBits('ADDR', 0, 51, 5, 'Physical address of the queue, aligned to its size.');
const index = (name: 'WR' | 'RD', meaning: string): Field => hexBits(name, 0, 19, 0, meaning);
const WRAP = 'The bit above the index is the wrap bit.';

const msiFields = {
  cfg0: [addrBits('ADDR', 0, 51, 2, 'Where the MSI writes; 0 means no MSI.')],
  cfg1: [hexBits('DATA', 0, 31, 0, 'What the MSI writes.')],
  cfg2: [
    hexBits('MemAttr', 0, 3, 0, 'Memory type of the MSI write.'),
    enumBits('SH', 0, 5, 4, 'Shareability of the MSI write.', shareability),
  ],
};

const table: readonly RegisterRow[] = [
  [
    'IDR0',
    0x00,
    32,
    'Features, first register',
    [
      f('S2P', 0, 'Stage 2 exists.'),
      f('S1P', 1, 'Stage 1 exists.'),
      enumBits('TTF', 0, 3, 2, 'Table formats.', ['reserved', 'AArch32', 'AArch64', 'both']),
      f('COHACC', 4, 'Table, queue and configuration accesses are coherent with the CPUs.'),
      f('BTM', 5, 'Broadcast TLB maintenance of the CPUs is followed.'),
      enumBits('HTTU', 0, 7, 6, 'What hardware updates in descriptors.', [
        'nothing',
        'access flag',
        'access flag and dirty state',
        'tables too',
      ]),
      f('DORMHINT', 8, 'STATUSR tells whether caches are empty.'),
      f('HYP', 9, 'EL2 streams exist.'),
      f('ATS', 10, 'ATS is supported.'),
      f('NS1ATS', 11, 'Split-stage ATS is not supported.'),
      f('ASID16', 12, 'ASIDs have 16 bits, else 8.'),
      f('MSI', 13, 'Interrupts can be message signalled.'),
      f('SEV', 14, 'Wake-up events are supported.'),
      f('ATOS', 15, 'Address translation operations exist.'),
      f('PRI', 16, 'Page requests are supported.'),
      f('VMW', 17, 'VMID wildcards are supported.'),
      f('VMID16', 18, 'VMIDs have 16 bits, else 8.'),
      f('CD2L', 19, 'CD tables may have two levels.'),
      f('VATOS', 20, 'Virtual address translation operations exist.'),
      enumBits('TTENDIAN', 0, 22, 21, 'Byte order of tables.', ['both', 'reserved', 'little-endian', 'big-endian']),
      f('ATSRECERR', 23, 'Configuration errors of ATS transactions can be recorded.'),
      enumBits('STALL_MODEL', 0, 25, 24, 'What can be done with a faulting transaction.', [
        'stall or terminate',
        'terminate only',
        'stall only',
        'reserved',
      ]),
      f('TERM_MODEL', 26, 'Terminated transactions always abort; read-as-zero is not supported.'),
      enumBits('ST_LEVEL', 0, 28, 27, 'Shapes of the stream table.', [
        'linear',
        'linear or two-level',
        'reserved',
        'reserved',
      ]),
      f('RME_IMPL', 30, 'Granule protection checks are implemented.'),
    ],
  ],
  [
    'IDR1',
    0x04,
    32,
    'Features, second register',
    [
      decBits('SIDSIZE', 0, 5, 0, 'Bits of a StreamID.'),
      decBits('SSIDSIZE', 0, 10, 6, 'Bits of a SubstreamID; 0 means none.'),
      decBits('PRIQS', 0, 15, 11, 'Largest PRI queue: 2^PRIQS entries.'),
      decBits('EVENTQS', 0, 20, 16, 'Largest event queue: 2^EVENTQS entries.'),
      decBits('CMDQS', 0, 25, 21, 'Largest command queue: 2^CMDQS entries.'),
      f('ATTR_PERMS_OVR', 26, 'Permission attributes can be overridden.'),
      f('ATTR_TYPES_OVR', 27, 'Memory types can be overridden.'),
      f('REL', 28, 'Preset addresses are relative to the registers.'),
      f('QUEUES_PRESET', 29, 'Queue addresses are fixed.'),
      f('TABLES_PRESET', 30, 'The stream table address is fixed.'),
      f('ECMDQ', 31, 'Enhanced command queues exist.'),
    ],
  ],
  ['IDR2', 0x08, 32, 'Features, third register', [hexBits('BA_VATOS', 0, 9, 0, 'Page of the VATOS registers.')]],
  [
    'IDR3',
    0x0c,
    32,
    'Features, fourth register',
    [
      f('HAD', 2, 'Hierarchical attributes can be disabled.'),
      f('PBHA', 3, 'Page-based hardware attributes exist.'),
      f('XNX', 4, 'Stage 2 tells privileged from unprivileged execution.'),
      f('PPS', 5, 'Automatic page request answers carry a PASID as the request does.'),
      f('MPAM', 7, 'Memory partitioning exists.'),
      f('FWB', 8, 'Stage 2 can force write-back.'),
      f('STT', 9, 'Small translation tables are supported.'),
      f('RIL', 10, 'Range invalidation and level hints are supported.'),
      enumBits('BBML', 0, 12, 11, 'Help for changing block sizes of live mappings.', [
        'level 0',
        'level 1',
        'level 2',
        'reserved',
      ]),
      f('E0PD', 13, 'Unprivileged access to a half can be disabled.'),
      f('PTWNNC', 14, 'Walks to Device memory happen as Normal non-cacheable.'),
      f('DPT', 15, 'A device permission table exists.'),
      f('PASIDTT', 16, 'ATS-translated transactions may carry a PASID.'),
      f('EPAN', 17, 'The enhanced PAN check exists.'),
      f('S1PI', 18, 'Stage-1 permissions may be indirect.'),
      f('S2PI', 19, 'Stage-2 permissions may be indirect.'),
      f('S2PO', 20, 'Stage-2 permission overlays exist.'),
      f('THE', 21, 'Translation hardening exists.'),
      f('MTEPERM', 22, 'Stage 2 can forbid tag accesses.'),
      f('AIE', 23, 'Descriptors may index sixteen memory attributes.'),
    ],
  ],
  ['IDR4', 0x10, 32, 'Implementation defined features', [hexBits('IMPDEF', 0, 31, 0, 'Implementation defined.')]],
  [
    'IDR5',
    0x14,
    32,
    'Features, sixth register',
    [
      enumBits('OAS', 0, 2, 0, 'Size of a physical address.', addressSizes),
      f('GRAN4K', 4, 'The 4 KiB granule is supported.'),
      f('GRAN16K', 5, 'The 16 KiB granule is supported.'),
      f('GRAN64K', 6, 'The 64 KiB granule is supported.'),
      f('DS', 7, '52-bit addresses with 4 KiB and 16 KiB granules are supported.'),
      f('D128', 8, '128-bit descriptors are supported.'),
      enumBits('VAX', 0, 11, 10, 'Size of a virtual address.', ['48 bits', '52 bits', '56 bits', 'reserved']),
      decBits('STALL_MAX', 0, 31, 16, 'Most transactions that can be stalled at once.'),
    ],
  ],
  [
    'IIDR',
    0x18,
    32,
    'Who made the SMMU',
    [
      hexBits('Implementer', 0, 11, 0, 'JEP106 code of the maker.'),
      decBits('Revision', 0, 15, 12, 'Minor revision.'),
      decBits('Variant', 0, 19, 16, 'Major revision.'),
      hexBits('ProductID', 0, 31, 20, 'Product of the maker.'),
    ],
  ],
  [
    'AIDR',
    0x1c,
    32,
    'Version of the architecture',
    [
      decBits('ArchMinorRev', 0, 3, 0, 'Minor version: 2 is SMMUv3.2.'),
      decBits('ArchMajorRev', 0, 7, 4, 'Major version; 0 is SMMUv3.'),
    ],
  ],
  ['CR0', 0x20, 32, 'Control', cr0Fields],
  ['CR0ACK', 0x24, 32, 'Control, as it has taken effect', cr0Fields],
  [
    'CR1',
    0x28,
    32,
    'Memory attributes of tables and queues',
    [
      enumBits('QUEUE_IC', 0, 1, 0, 'Inner cacheability of queue accesses.', cacheNames),
      enumBits('QUEUE_OC', 0, 3, 2, 'Outer cacheability of queue accesses.', cacheNames),
      enumBits('QUEUE_SH', 0, 5, 4, 'Shareability of queue accesses.', shareability),
      enumBits('TABLE_IC', 0, 7, 6, 'Inner cacheability of stream table reads.', cacheNames),
      enumBits('TABLE_OC', 0, 9, 8, 'Outer cacheability of stream table reads.', cacheNames),
      enumBits('TABLE_SH', 0, 11, 10, 'Shareability of stream table reads.', shareability),
    ],
  ],
  [
    'CR2',
    0x2c,
    32,
    'Control of records and TLB maintenance',
    [
      f('E2H', 0, 'EL2 streams have ASIDs and two halves (EL2-E2H).'),
      f('RECINVSID', 1, 'C_BAD_STREAMID is recorded.'),
      f('PTM', 2, 'Broadcast TLB maintenance of the CPUs is ignored.'),
      f('REC_CFG_ATS', 3, 'Configuration errors of ATS-translated transactions are recorded.'),
    ],
  ],
  ['STATUSR', 0x40, 32, 'Status', [f('DORMANT', 0, 'No cache holds anything.')]],
  [
    'GBPA',
    0x44,
    32,
    'What happens to transactions while SMMUEN is 0',
    [
      hexBits('MemAttr', 0, 3, 0, 'Memory type that replaces the incoming one when MTCFG is set.'),
      f('MTCFG', 4, 'The memory type comes from MemAttr.'),
      hexBits('ALLOCCFG', 0, 11, 8, 'Override of allocation hints.'),
      enumBits('SHCFG', 0, 13, 12, 'Override of shareability.', [
        'non-shareable',
        'use incoming',
        'outer shareable',
        'inner shareable',
      ]),
      enumBits('PRIVCFG', 0, 17, 16, 'Override of the privilege attribute.', [
        'use incoming',
        'reserved',
        'unprivileged',
        'privileged',
      ]),
      enumBits('INSTCFG', 0, 19, 18, 'Override of the instruction or data attribute.', [
        'use incoming',
        'reserved',
        'data',
        'instruction',
      ]),
      f('ABORT', 20, 'Every transaction is aborted; otherwise every one passes unchanged.'),
      f('UPDATE', 31, 'Written as 1 with a new value; the SMMU clears it when the value has taken effect.'),
    ],
  ],
  ['IRQ_CTRL', 0x50, 32, 'Interrupt enables', irqFields],
  ['IRQ_CTRLACK', 0x54, 32, 'Interrupt enables, as they have taken effect', irqFields],
  ['GERROR', 0x60, 32, 'Global errors: a bit that differs from GERRORN is active', gerrorFields],
  ['GERRORN', 0x64, 32, 'Global errors that software has acknowledged', gerrorFields],
  ['GERROR_IRQ_CFG0', 0x68, 64, 'Address of the global error MSI', msiFields.cfg0],
  ['GERROR_IRQ_CFG1', 0x70, 32, 'Data of the global error MSI', msiFields.cfg1],
  ['GERROR_IRQ_CFG2', 0x74, 32, 'Attributes of the global error MSI', msiFields.cfg2],
  [
    'STRTAB_BASE',
    0x80,
    64,
    'Stream table',
    [
      addrBits('ADDR', 0, 51, 6, 'Physical address of the (first-level) stream table.'),
      f('RA', 62, 'Hint: reads may allocate in caches.'),
    ],
  ],
  [
    'STRTAB_BASE_CFG',
    0x88,
    32,
    'Shape of the stream table',
    [
      decBits('LOG2SIZE', 0, 5, 0, 'The table covers 2^LOG2SIZE StreamIDs.'),
      decBits('SPLIT', 0, 10, 6, 'Bits of the StreamID that index a second-level table.', (get) => get('FMT') === 1n),
      enumBits('FMT', 0, 17, 16, 'Levels of the table.', ['linear', 'two-level', 'reserved', 'reserved']),
    ],
  ],
  ['CMDQ_BASE', 0x90, 64, 'Command queue', [log2, queueAddr, f('RA', 62, 'Hint: reads may allocate in caches.')]],
  [
    'CMDQ_PROD',
    0x98,
    32,
    'Where software writes next',
    [index('WR', `Index of the next command that software writes. ${WRAP}`)],
  ],
  [
    'CMDQ_CONS',
    0x9c,
    32,
    'Where the SMMU reads next',
    [
      index('RD', `Index of the next command that the SMMU reads, or of the one that failed. ${WRAP}`),
      enumBits('ERR', 0, 30, 24, 'Why the queue stopped; valid while GERROR.CMDQ_ERR is active.', [
        'CERROR_NONE',
        'CERROR_ILL',
        'CERROR_ABT',
        'CERROR_ATC_INV_SYNC',
      ]),
    ],
  ],
  ['EVENTQ_BASE', 0xa0, 64, 'Event queue', [log2, queueAddr, f('WA', 62, 'Hint: writes may allocate in caches.')]],
  [
    'EVENTQ_PROD',
    0x100a8,
    32,
    'Where the SMMU writes next',
    [
      index('WR', `Index of the next record that the SMMU writes. ${WRAP}`),
      f('OVFLG', 31, 'Toggled when a record was lost because the queue was full.'),
    ],
  ],
  [
    'EVENTQ_CONS',
    0x100ac,
    32,
    'Where software reads next',
    [
      index('RD', `Index of the next record that software reads. ${WRAP}`),
      f('OVACKFLG', 31, 'Made equal to OVFLG to acknowledge an overflow.'),
    ],
  ],
  ['EVENTQ_IRQ_CFG0', 0xb0, 64, 'Address of the event queue MSI', msiFields.cfg0],
  ['EVENTQ_IRQ_CFG1', 0xb8, 32, 'Data of the event queue MSI', msiFields.cfg1],
  ['EVENTQ_IRQ_CFG2', 0xbc, 32, 'Attributes of the event queue MSI', msiFields.cfg2],
  ['PRIQ_BASE', 0xc0, 64, 'PRI queue', [log2, queueAddr, f('WA', 62, 'Hint: writes may allocate in caches.')]],
  [
    'PRIQ_PROD',
    0x100c8,
    32,
    'Where the SMMU writes next',
    [
      index('WR', `Index of the next request that the SMMU writes. ${WRAP}`),
      f('OVFLG', 31, 'Toggled when requests were lost because the queue was full.'),
    ],
  ],
  [
    'PRIQ_CONS',
    0x100cc,
    32,
    'Where software reads next',
    [
      index('RD', `Index of the next request that software reads. ${WRAP}`),
      f('OVACKFLG', 31, 'Made equal to OVFLG to acknowledge an overflow.'),
    ],
  ],
  ['PRIQ_IRQ_CFG0', 0xd0, 64, 'Address of the PRI queue MSI', msiFields.cfg0],
  ['PRIQ_IRQ_CFG1', 0xd8, 32, 'Data of the PRI queue MSI', msiFields.cfg1],
  [
    'PRIQ_IRQ_CFG2',
    0xdc,
    32,
    'Attributes of the PRI queue MSI',
    [...msiFields.cfg2, f('LO', 31, 'Interrupt only at the last request of a group.')],
  ],
];

export const registers: readonly RegisterInfo[] = table.map((row) =>
  registerOf('smmuv3.reg', 'Arm IHI 0070, 6.3', row),
);

const byOffset = new Map(registers.map((r) => [r.offset, r]));
const byName = new Map(registers.map((r) => [r.name, r]));

/**
 * The register at an offset of the register frame: page 0, and page 1 from 0x10000 on. Undefined where the architecture, or
 * an SMMU without Secure state, ATOS, MPAM and enhanced command queues, has none.
 */
export const registerAt = (offset: number): RegisterInfo | undefined => byOffset.get(offset);

/** The register of that architectural name (without SMMU_), or undefined. */
export const registerByName = (name: string): RegisterInfo | undefined => byName.get(name);
