/**
 * Fault reasons: the specification's condition, what Linux prints for it, and whether FPD suppresses it.
 * Sources: Intel VT-d specification, 7.1.3; Linux drivers/iommu/intel/dmar.c (dma_remap_fault_reasons,
 * dma_remap_sm_fault_reasons, irq_remap_fault_reasons).
 */

export interface FaultReason {
  readonly code: number;
  /** The specification's condition: `SFS.2`; '' for 0. Interrupt remapping: `IR`. */
  readonly mnemonic: string;
  /** What Linux prints. */
  readonly text: string;
  /** A qualified fault is not recorded where FPD is set. */
  readonly qualified: boolean;
}

/** Code, mnemonic, text of Linux, 'n' where the fault is recorded whatever FPD says. */
const table: readonly (readonly [number, string, string, 'n'?])[] = [
  [0x00, '', 'Software', 'n'],
  [0x01, 'LRT.2', 'Present bit in root entry is clear', 'n'],
  [0x02, 'LCT.2', 'Present bit in context entry is clear'],
  [0x03, 'LCT.4', 'Invalid context entry'],
  [0x04, 'LGN.1', 'Access beyond MGAW'],
  [0x05, 'LGN.2', 'PTE Write access is not set'],
  [0x06, 'LGN.3', 'PTE Read access is not set'],
  [0x07, 'LSS.1', 'Next page table ptr is invalid'],
  [0x08, 'LRT.1', 'Root table address invalid', 'n'],
  [0x09, 'LCT.1', 'Context table ptr is invalid', 'n'],
  [0x0a, 'LRT.3', 'non-zero reserved fields in RTP', 'n'],
  [0x0b, 'LCT.3', 'non-zero reserved fields in CTP'],
  [0x0c, 'LSS.2', 'non-zero reserved fields in PTE'],
  [0x0d, 'LCT.5', 'PCE for translation request specifies blocking'],
  [0x0e, 'LGN.4', 'Unknown'],
  [0x20, 'IR', 'Detected reserved fields in the decoded interrupt-remapped request', 'n'],
  [0x21, 'IR', 'Interrupt index exceeded the interrupt-remapping table size', 'n'],
  [0x22, 'IR', 'Present field in the IRTE entry is clear'],
  [0x23, 'IR', 'Error accessing interrupt-remapping table pointed by IRTA_REG', 'n'],
  [0x24, 'IR', 'Detected reserved fields in the IRTE entry'],
  [0x25, 'IR', 'Blocked a compatibility format interrupt request', 'n'],
  [0x26, 'IR', 'Blocked an interrupt request due to source-id verification failure'],
  [0x27, 'IR', 'Unknown'],
  [0x28, 'IR', 'Unknown'],
  [0x29, 'IR', 'Unknown'],
  [0x30, 'RTA.1', 'SM: Invalid Root Table Address', 'n'],
  [0x31, 'RTA.2', 'SM: TTM 0 for request with PASID', 'n'],
  [0x32, 'RTA.3', 'SM: TTM 0 for page group request', 'n'],
  [0x33, 'RTA.4', 'Unknown', 'n'],
  [0x34, 'RTA.5', 'Unknown', 'n'],
  [0x38, 'SRT.1', 'SM: Error attempting to access Root Entry', 'n'],
  [0x39, 'SRT.2', 'SM: Present bit in Root Entry is clear', 'n'],
  [0x3a, 'SRT.3', 'SM: Non-zero reserved field set in Root Entry', 'n'],
  [0x40, 'SCT.1', 'SM: Error attempting to access Context Entry', 'n'],
  [0x41, 'SCT.2', 'SM: Present bit in Context Entry is clear'],
  [0x42, 'SCT.3', 'SM: Non-zero reserved field set in the Context Entry'],
  [0x43, 'SCT.4', 'SM: Invalid Context Entry'],
  [0x44, 'SCT.5', 'SM: DTE field in Context Entry is clear'],
  [0x45, 'SCT.6', 'SM: PASID Enable field in Context Entry is clear'],
  [0x46, 'SCT.7', 'SM: PASID is larger than the max in Context Entry'],
  [0x47, 'SCT.8', 'SM: PRE field in Context-Entry is clear'],
  [0x48, 'SCT.9', 'SM: RID_PASID field error in Context-Entry'],
  [0x49, 'SCT.10', 'Unknown'],
  [0x50, 'SPD.1', 'SM: Error attempting to access the PASID Directory Entry', 'n'],
  [0x51, 'SPD.2', 'SM: Present bit in Directory Entry is clear'],
  [0x52, 'SPD.3', 'SM: Non-zero reserved field set in PASID Directory Entry'],
  [0x58, 'SPT.1', 'SM: Error attempting to access PASID Table Entry', 'n'],
  [0x59, 'SPT.2', 'SM: Present bit in PASID Table Entry is clear'],
  [0x5a, 'SPT.3', 'SM: Non-zero reserved field set in PASID Table Entry'],
  [0x5b, 'SPT.4', 'SM: Invalid Scalable-Mode PASID Table Entry'],
  [0x5c, 'SPT.5', 'SM: ERE field is clear in PASID Table Entry'],
  [0x5d, 'SPT.6', 'SM: SRE field is clear in PASID Table Entry'],
  [0x60, 'SPT.9', 'Unknown'],
  [0x70, 'SFS.1', 'SM: Error attempting to access first-level paging entry'],
  [0x71, 'SFS.2', 'SM: Present bit in first-level paging entry is clear'],
  [0x72, 'SFS.3', 'SM: Non-zero reserved field set in first-level paging entry'],
  [0x73, 'SFS.4', 'SM: Error attempting to access FL-PML4 entry'],
  [0x74, 'SFS.5', 'SM: First-level entry address beyond MGAW in Nested translation'],
  [0x75, 'SFS.6', 'SM: Read permission error in FL-PML4 entry in Nested translation'],
  [0x76, 'SFS.7', 'SM: Read permission error in first-level paging entry in Nested translation'],
  [0x77, 'SFS.8', 'SM: Write permission error in first-level paging entry in Nested translation'],
  [0x78, 'SSS.1', 'SM: Error attempting to access second-level paging entry'],
  [0x79, 'SSS.2', 'SM: Read/Write permission error in second-level paging entry'],
  [0x7a, 'SSS.3', 'SM: Non-zero reserved field set in second-level paging entry'],
  [0x7b, 'SSS.4', 'SM: Invalid second-level page table pointer'],
  [0x7c, 'SSS.5', 'SM: A/D bit update needed in second-level entry when set up in no snoop'],
  [0x7d, 'SSS.6', 'Unknown'],
  [0x80, 'SGN.1', 'SM: Address in first-level translation is not canonical'],
  [0x81, 'SGN.2', 'SM: U/S set 0 for first-level translation with user privilege'],
  [0x82, 'SGN.3', 'SM: No execute permission for request with PASID and ER=1'],
  [0x83, 'SGN.4', 'SM: Address beyond the DMA hardware max'],
  [0x84, 'SGN.5', 'SM: Second-level entry address beyond the max'],
  [0x85, 'SGN.6', 'SM: No write permission for Write/AtomicOp request'],
  [0x86, 'SGN.7', 'SM: No read permission for Read/AtomicOp request'],
  [0x87, 'SGN.8', 'SM: Invalid address-interrupt address'],
  [0x88, 'SGN.9', 'Unknown'],
  [0x89, 'SGN.10', 'Unknown'],
  [0x90, 'SFS.9', 'SM: A/D bit update needed in first-level entry when set up in no snoop'],
  [0x91, 'SFS.10', 'Unknown'],
  [0xa0, 'HPT.1', 'Unknown'],
  [0xa1, 'HPT.2', 'Unknown'],
  [0xa2, 'HPT.3', 'Unknown'],
  [0xa3, 'HPT.4', 'Unknown'],
  [0xa4, 'HPT.5', 'Unknown'],
  [0xa5, 'HPT.6', 'Unknown'],
];

export const faultReasons: readonly FaultReason[] = table.map(([code, mnemonic, text, mark]) => ({
  code,
  mnemonic,
  text,
  qualified: mark !== 'n',
}));

const byCode = new Map(faultReasons.map((r) => [r.code, r]));
const byMnemonic = new Map(faultReasons.filter((r) => r.mnemonic && r.mnemonic !== 'IR').map((r) => [r.mnemonic, r]));

/** The reason of a code; a code that the specification does not name prints as Linux does, `Unknown`. */
export const faultReason = (code: number): FaultReason =>
  byCode.get(code) ?? { code, mnemonic: '', text: 'Unknown', qualified: true };

/** The reason of a condition (`SFS.2`), or undefined. Interrupt remapping has no single one. */
export const faultReasonByName = (mnemonic: string): FaultReason | undefined => byMnemonic.get(mnemonic);

/** `SFS.2`; `FR_0x22` for a code without a name of its own. */
export function faultName(code: number): string {
  const { mnemonic } = faultReason(code);
  return mnemonic && mnemonic !== 'IR' ? mnemonic : `FR_0x${code.toString(16)}`;
}
