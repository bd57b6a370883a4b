/** Context descriptor and level-1 context descriptor. Address fields have the SMMUv3.1 to v3.3 width (52 bits). */

import type { Layout } from '../../bits/index.ts';
import { addrBits, decBits, enumBits, flag, hexBits } from '../../bits/index.ts';
import { addressSizes, cacheability, shareability } from './ste.ts';

type Get = (name: string) => bigint;

const valid = (get: Get): boolean => get('V') === 1n;
/** The lower half of the address space is walked. */
const lower = (get: Get): boolean => valid(get) && get('EPD0') === 0n;
/** The upper half of the address space is walked. */
const upper = (get: Get): boolean => valid(get) && get('EPD1') === 0n;
const either = (get: Get): boolean => lower(get) || upper(get);
const indirect = (get: Get): boolean => valid(get) && get('PIE') === 1n;

export const cdLayout: Layout = {
  id: 'smmuv3.cd',
  name: 'CD',
  title: 'Context descriptor',
  words: 8,
  source: 'Arm IHI 0070, 5.4',
  fields: [
    decBits('T0SZ', 0, 5, 0, 'The lower half has addresses of 64 - T0SZ bits.', lower),
    enumBits('TG0', 0, 7, 6, 'Granule of the TTB0 tables.', ['4 KiB', '64 KiB', '16 KiB', 'reserved'], lower),
    enumBits('IR0', 0, 9, 8, 'Inner cacheability of TTB0 table reads.', cacheability, lower),
    enumBits('OR0', 0, 11, 10, 'Outer cacheability of TTB0 table reads.', cacheability, lower),
    enumBits('SH0', 0, 13, 12, 'Shareability of TTB0 table reads.', shareability, lower),
    flag('EPD0', 0, 14, 'No walks through TTB0: every address of the lower half is a translation fault.', valid),
    flag('ENDI', 0, 15, 'Stage-1 tables are big-endian.', either, { 0: 'little-endian', 1: 'big-endian' }),
    decBits('T1SZ', 0, 21, 16, 'The upper half has addresses of 64 - T1SZ bits.', upper),
    enumBits(
      'TG1',
      0,
      23,
      22,
      'Granule of the TTB1 tables, coded otherwise than TG0.',
      ['reserved', '16 KiB', '4 KiB', '64 KiB'],
      upper,
    ),
    enumBits('IR1', 0, 25, 24, 'Inner cacheability of TTB1 table reads.', cacheability, upper),
    enumBits('OR1', 0, 27, 26, 'Outer cacheability of TTB1 table reads.', cacheability, upper),
    enumBits('SH1', 0, 29, 28, 'Shareability of TTB1 table reads.', shareability, upper),
    flag('EPD1', 0, 30, 'No walks through TTB1: every address of the upper half is a translation fault.', valid),
    flag('V', 0, 31, 'Without it every transaction that selects this CD is aborted and C_BAD_CD is recorded.'),
    enumBits(
      'IPS',
      0,
      34,
      32,
      'Output address size of stage 1; the smaller of this and IDR5.OAS counts.',
      addressSizes,
      valid,
    ),
    flag('AFFD', 0, 35, 'A clear access flag causes no fault at stage 1.', valid),
    flag('WXN', 0, 36, 'Writable pages may not be executed.', valid),
    flag(
      'UWXN',
      0,
      37,
      'Pages that unprivileged code may write are not executable when privileged; only for AArch32 tables.',
      valid,
    ),
    flag('TBI0', 0, 38, 'The top byte of lower-half addresses is ignored.', valid),
    flag('TBI1', 0, 39, 'The top byte of upper-half addresses is ignored.', valid),
    flag('PAN', 0, 40, 'Privileged accesses may not touch pages that unprivileged ones may access.', valid),
    flag('AA64', 0, 41, 'Stage-1 tables have the VMSAv8-64 format.', valid, { 0: 'VMSAv8-32 LPAE', 1: 'VMSAv8-64' }),
    flag('HD', 0, 42, 'Hardware manages the dirty state of stage-1 descriptors; needs HA.', valid),
    flag('HA', 0, 43, 'Hardware sets the access flag of stage-1 descriptors.', valid),
    flag('S', 0, 44, 'Stage-1 faults stall the transaction until software resumes or terminates it.', valid),
    flag('R', 0, 45, 'Stage-1 faults (F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION) are recorded.', valid),
    flag(
      'A',
      0,
      46,
      'A terminated transaction is aborted; otherwise it reads zero and its writes are dropped.',
      valid,
      {
        0: 'read as zero, write ignored',
        1: 'abort',
      },
    ),
    flag(
      'ASET',
      0,
      47,
      'The ASID is not shared with the CPUs, so broadcast TLB invalidation by ASID leaves it alone.',
      valid,
      {
        0: 'shared with the CPUs',
        1: 'not shared',
      },
    ),
    decBits(
      'ASID',
      0,
      63,
      48,
      'Tags the non-global translations of this address space, together with the VMID.',
      valid,
    ),

    flag('NSCFG0', 1, 0, 'Secure streams only: the first TTB0 table is read as Non-secure.', lower),
    flag('HAD0', 1, 1, 'Permission bits of TTB0 table descriptors are ignored.', lower),
    flag('E0PD0', 1, 2, 'Unprivileged accesses to the lower half are translation faults.', lower),
    flag('HAFT', 1, 3, 'Hardware sets the access flag of stage-1 table descriptors.', valid),
    addrBits(
      'TTB0',
      1,
      51,
      4,
      'First stage-1 table of the lower half: an IPA if stage 2 translates, else a physical address.',
      lower,
    ),
    flag('PnCH', 1, 58, 'Stage-1 descriptors carry the protected attribute.', valid),
    flag(
      'EPAN',
      1,
      59,
      'PAN also covers pages that unprivileged code may execute.',
      (get) => valid(get) && get('PAN') === 1n,
    ),
    flag('HWU059', 1, 60, 'Hardware may use bit 59 of TTB0 leaf descriptors.', lower),
    flag('HWU060', 1, 61, 'Hardware may use bit 60 of TTB0 leaf descriptors.', lower),
    flag('HWU061', 1, 62, 'Hardware may use bit 61 of TTB0 leaf descriptors.', lower),
    flag('HWU062', 1, 63, 'Hardware may use bit 62 of TTB0 leaf descriptors.', lower),

    flag('NSCFG1', 2, 0, 'Secure streams only: the first TTB1 table is read as Non-secure.', upper),
    flag('HAD1', 2, 1, 'Permission bits of TTB1 table descriptors are ignored.', upper),
    flag('E0PD1', 2, 2, 'Unprivileged accesses to the upper half are translation faults.', upper),
    flag('AIE', 2, 3, 'Descriptors index sixteen memory attributes instead of eight.', valid),
    addrBits(
      'TTB1',
      2,
      51,
      4,
      'First stage-1 table of the upper half: an IPA if stage 2 translates, else a physical address.',
      upper,
    ),
    flag('DS', 2, 58, 'Descriptors hold 52-bit addresses with 4 KiB and 16 KiB granules.', valid),
    flag('PIE', 2, 59, 'Stage-1 permissions are indirect, through PIIU and PIIP.', valid),
    flag('HWU159', 2, 60, 'Hardware may use bit 59 of TTB1 leaf descriptors.', upper),
    flag('HWU160', 2, 61, 'Hardware may use bit 60 of TTB1 leaf descriptors.', upper),
    flag('HWU161', 2, 62, 'Hardware may use bit 61 of TTB1 leaf descriptors.', upper),
    flag('HWU162', 2, 63, 'Hardware may use bit 62 of TTB1 leaf descriptors.', upper),

    hexBits('MAIR', 3, 63, 0, 'Eight memory attributes of one byte each; AttrIndx of a descriptor selects one.', valid),
    hexBits('AMAIR', 4, 63, 0, 'Implementation defined companion of MAIR.', valid),

    hexBits('IMPDEF', 5, 31, 0, 'Implementation defined.', valid),
    hexBits('PARTID', 5, 47, 32, 'MPAM partition of the address space, if STE.S1MPAM is set.', valid),
    hexBits('PMG', 5, 55, 48, 'MPAM performance monitoring group, if STE.S1MPAM is set.', valid),
    hexBits('PIIU', 6, 47, 0, 'Sixteen unprivileged permissions of three bits each.', indirect),
    hexBits('PIIP', 7, 47, 0, 'Sixteen privileged permissions of three bits each.', indirect),
  ],
};

export const l1cdLayout: Layout = {
  id: 'smmuv3.l1cd',
  name: 'L1CD',
  title: 'Level-1 context descriptor',
  words: 1,
  source: 'Arm IHI 0070, 5.3',
  fields: [
    flag('V', 0, 0, 'Without it every SubstreamID of this leaf is C_BAD_SUBSTREAMID.'),
    addrBits('L2Ptr', 0, 51, 12, 'Leaf table of CDs: an IPA if stage 2 translates, else a physical address.', valid),
  ],
};
