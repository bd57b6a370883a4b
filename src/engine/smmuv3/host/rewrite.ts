import { opcodes } from '../layout/index.ts';

/**
 * A guest's invalidation command on its way to the physical queue (arm-smmu-v3-iommufd.c arm_vsmmu_convert_user_cmd): the
 * host's VMID or the physical StreamID goes in, all other bits stay as the guest wrote them.
 */

const VMID_MASK = 0xffffn << 32n;
const SID_MASK = 0xffffffffn << 32n;

/**
 * @param words two 64-bit words
 * @param sidOf the physical StreamID of a virtual one, null where the vIOMMU has no such vDEVICE
 * @returns null for what a guest may not send (EIO)
 */
export function rewriteCommand(
  words: readonly bigint[],
  vmid: number,
  sidOf: (vsid: number) => number | null,
): bigint[] | null {
  const [w0, w1] = [words[0]!, words[1]!];
  switch (Number(w0 & 0xffn)) {
    case opcodes.TLBI_NSNH_ALL:
      // A guest's everything is the host's VMID.
      return [BigInt(opcodes.TLBI_NH_ALL!) | (BigInt(vmid) << 32n), 0n];
    case opcodes.TLBI_NH_ALL:
    case opcodes.TLBI_NH_ASID:
    case opcodes.TLBI_NH_VA:
    case opcodes.TLBI_NH_VAA:
      return [(w0 & ~VMID_MASK) | (BigInt(vmid) << 32n), w1];
    case opcodes.ATC_INV:
    case opcodes.CFGI_CD:
    case opcodes.CFGI_CD_ALL: {
      const sid = sidOf(Number(w0 >> 32n));
      return sid === null ? null : [(w0 & ~SID_MASK) | (BigInt(sid) << 32n), w1];
    }
    default:
      return null;
  }
}

/** Event ids that a guest may see: those that its own stage 1 causes. */
const forwarded = new Set([0x04, 0x06, 0x08, 0x0a, 0x10, 0x11, 0x12, 0x13]);

/** The driver handles the record at all (arm_smmu_handle_event); all else is only logged. */
export const isHandledEvent = (evt: readonly bigint[]): boolean => forwarded.has(Number(evt[0]! & 0xffn));

/** The record that a guest gets: the virtual StreamID in place of the physical one (arm_vmaster_report_event). */
export const guestEvent = (evt: readonly bigint[], vsid: number | bigint): bigint[] => [
  (evt[0]! & 0xffffffffn) | (BigInt(vsid) << 32n),
  ...evt.slice(1),
];
