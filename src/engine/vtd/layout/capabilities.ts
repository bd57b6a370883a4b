/** Bits of the capability registers. Source: Intel VT-d specification, 11.4.2 and 11.4.3. */

import type { Field } from '../../bits/index.ts';
import { decBits, flag, hexBits } from '../../bits/index.ts';

const f = (name: string, bit: number, meaning: string): Field => flag(name, 0, bit, meaning);

export const capFields: readonly Field[] = [
  decBits('ND', 0, 2, 0, 'The unit has 2^(4+2*ND) domain ids.'),
  f('AFL', 3, 'Advanced fault logging exists.'),
  f('RWBF', 4, 'The write buffer must be flushed by command.'),
  f('PLMR', 5, 'Protected low memory exists.'),
  f('PHMR', 6, 'Protected high memory exists.'),
  f('CM', 7, 'Caching mode: entries that are not present may be cached.'),
  hexBits('SAGAW', 0, 12, 8, 'Widths of the second stage: bit 1 for 39, bit 2 for 48, bit 3 for 57 bits.'),
  decBits('MGAW', 0, 21, 16, 'Widest input address of the second stage, minus one bit.'),
  f('ZLR', 22, 'Zero-length reads of write-only pages pass.'),
  hexBits('FRO', 0, 33, 24, 'Offset of the fault records, in units of 16 bytes.'),
  hexBits('SSLPS', 0, 37, 34, 'Large pages of the second stage: bit 0 for 2 MiB, bit 1 for 1 GiB.'),
  f('PSI', 39, 'Second-stage translations can be removed by address.'),
  decBits('NFR', 0, 47, 40, 'Number of fault records, minus one.'),
  decBits('MAMV', 0, 53, 48, 'Largest AM of an invalidation by address.'),
  f('DWD', 54, 'An IOTLB invalidation can drain writes.'),
  f('DRD', 55, 'An IOTLB invalidation can drain reads.'),
  f('FS1GP', 56, 'The first stage has pages of 1 GiB.'),
  f('PI', 59, 'Interrupts can be posted.'),
  f('FS5LP', 60, 'The first stage can have 5 levels.'),
  f('ECMDS', 61, 'Enhanced commands exist.'),
  f('ESIRTPS', 62, 'SIRTP removes everything cached for interrupts.'),
  f('ESRTPS', 63, 'SRTP removes everything cached for DMA.'),
];

export const ecapFields: readonly Field[] = [
  f('C', 0, 'Reads of tables other than scalable-mode paging entries snoop the caches of the CPUs.'),
  f('QI', 1, 'Queued invalidation exists.'),
  f('DT', 2, 'Device TLBs (ATS) are supported.'),
  f('IR', 3, 'Interrupt remapping exists.'),
  f('EIM', 4, 'Extended interrupt mode (x2APIC) exists.'),
  f('PT', 6, 'Pass-through exists.'),
  f('SC', 7, 'Snoop control exists.'),
  hexBits('IRO', 0, 17, 8, 'Offset of IVA_REG, in units of 16 bytes.'),
  decBits('MHMV', 0, 23, 20, 'Largest IM of an interrupt entry cache invalidation.'),
  f('MTS', 25, 'Memory types are supported.'),
  f('NEST', 26, 'Nested translation exists.'),
  f('PRS', 29, 'Page requests are supported.'),
  f('ERS', 30, 'Execute requests are supported.'),
  f('SRS', 31, 'Supervisor requests are supported.'),
  f('NWFS', 33, 'The no-write flag of translation requests is honoured.'),
  f('EAFS', 34, 'The extended accessed flag exists.'),
  decBits('PSS', 0, 39, 35, 'Bits of a PASID, minus one.'),
  f('PASID', 40, 'Requests with a PASID are supported.'),
  f('DIT', 41, 'Invalidations of device TLBs are throttled by PFSID.'),
  f('PDS', 42, 'A wait descriptor can drain page requests.'),
  f('SMTS', 43, 'Scalable mode exists.'),
  f('VCS', 44, 'Virtual commands exist.'),
  f('SSADS', 45, 'Hardware can set A and D in second-stage entries.'),
  f('SSTS', 46, 'Second-stage translation exists in scalable mode.'),
  f('FSTS', 47, 'First-stage translation exists in scalable mode.'),
  f('SMPWCS', 48, 'Reads of scalable-mode paging entries can snoop the caches of the CPUs.'),
  f('RPS', 49, 'RID_PASID of the context entry counts.'),
  f('PMS', 51, 'Performance monitoring exists.'),
  f('ADMS', 52, 'Abort mode exists.'),
  f('RPRIVS', 53, 'RID_PRIV of the context entry counts.'),
];
