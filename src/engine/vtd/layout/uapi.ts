/** Entries that user space hands to iommufd for VT-d, as layouts. Source: Linux include/uapi/linux/iommufd.h. */

import type { Layout } from '../../bits/index.ts';
import { addrBits, decBits, flag, hexBits, hexPlain } from '../../bits/index.ts';
import type { CommandText } from '../../trace/index.ts';

/** `npages` of an entry that covers the whole address space. */
export const ALL_PAGES = 0xffff_ffff_ffff_ffffn;

export const s1InvalidateLayout: Layout = {
  id: 'vtd.uapi.s1_invalidate',
  name: 'iommu_hwpt_vtd_s1_invalidate',
  title: 'Entry of IOMMU_HWPT_INVALIDATE for a VT-d first-stage page table',
  words: 3,
  source: 'Linux include/uapi/linux/iommufd.h',
  fields: [
    hexBits('addr', 0, 63, 0, 'First input address of what is removed; with all pages it must be 0.'),
    hexBits('npages', 1, 63, 0, 'Number of pages of 4 KiB; all ones for the whole address space.'),
    flag('LEAF', 2, 0, 'Only leaf entries changed.'),
    hexBits('flags_reserved', 2, 31, 1, 'Must be 0.'),
    hexBits('reserved', 2, 63, 32, 'Must be 0.'),
  ],
};

export const s1Layout: Layout = {
  id: 'vtd.uapi.s1',
  name: 'iommu_hwpt_vtd_s1',
  title: 'Data of IOMMU_HWPT_ALLOC for a VT-d first-stage page table',
  words: 3,
  source: 'Linux include/uapi/linux/iommufd.h',
  fields: [
    flag('SRE', 0, 0, 'Supervisor requests are allowed.'),
    flag('EAFE', 0, 1, 'Hardware sets the extended accessed flag.'),
    flag('WPE', 0, 2, 'Supervisor writes need R/W too.'),
    hexBits('flags_reserved', 0, 63, 3, 'Must be 0.'),
    addrBits('pgtbl_addr', 1, 63, 0, 'Guest physical address of the first table.'),
    decBits('addr_width', 2, 31, 0, 'Width of input addresses: 48 or 57.'),
    hexBits('reserved', 2, 63, 32, 'Must be 0.'),
  ],
};

/** An entry of IOMMU_HWPT_INVALIDATE on its way down: `S1_INVALIDATE addr 0x1000 npages 1 leaf`. @param words addr, npages, flags */
export function s1InvalidateText(words: readonly bigint[]): CommandText {
  const [addr = 0n, npages = 0n, flags = 0n] = words;
  const range = npages === ALL_PAGES ? 'all' : `addr ${hexPlain(addr)} npages ${npages}`;
  const leaf = flags & 1n && npages !== ALL_PAGES ? ' leaf' : '';
  const name = 'S1_INVALIDATE';
  return { words, layout: s1InvalidateLayout.id, name, text: `${name} ${range}${leaf}` };
}
