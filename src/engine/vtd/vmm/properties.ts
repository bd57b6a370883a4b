/**
 * What `-device intel-iommu,scalable-mode=on,fsts=on,caching-mode=on,aw-bits=48` offers its guest (hw/i386/intel_iommu.c
 * vtd_cap_init, vtd_init, vtd_decide_config), and whether a host can stand behind it (vtd_check_hiod).
 */

/**
 * Properties that a document does not fix. QEMU has no `auto`: here it stands for a command line that was written with the
 * host in view, settled by the first device.
 */
export interface VmmProperties {
  /** 1 GiB pages in the first stage. */
  readonly fs1gp?: 'auto' | boolean;
  /** Bits of a PASID, 0 for none. */
  readonly pasidBits?: 'auto' | number;
  /** Page requests (PRS, PDS, NWFS). Needs PASIDs and device TLBs. */
  readonly svm?: 'auto' | boolean;
  /** `device-iotlb`: device TLBs. */
  readonly dt?: 'auto' | boolean;
}

/** Properties with every `auto` settled. */
export interface Offer {
  readonly fs1gp: boolean;
  readonly pasidBits: number;
  readonly svm: boolean;
  readonly dt: boolean;
}

/** CAP_REG and ECAP_REG of a host as IOMMU_GET_HW_INFO gives them, and what the kernel lets the device use. */
export interface HostCapabilities {
  readonly cap: bigint;
  readonly ecap: bigint;
  readonly maxPasidLog2: number;
  /** Bits of the last address of the IOAS. */
  readonly addressBits: number;
}

/** The only width that QEMU takes with `fsts=on`. */
export const AW_BITS = 48;
/** PASID bits that a PCI function can have at most. */
const MAX_PASID_BITS = 20;
/** CAP_REG with caching mode and without FS1GP: ND 6, CM, SAGAW 39 and 48, MGAW 48, one fault record at 0x220, MAMV 18, ... */
const CAP = 0x80d2008c222f0686n;
/** ECAP_REG of the first stage alone: QI, PT, IRO 0xf0, SMTS, FSTS. */
const ECAP = 0x0000880000000f42n;
const FS1GP = 1n << 56n;
const DT = 1n << 2n;
export const PRS = 1n << 29n;
const NWFS = 1n << 33n;
const PASID = 1n << 40n;
const PDS = 1n << 42n;
const PSS_SHIFT = 35n;

const hostPasidBits = (ecap: bigint): number => (ecap & PASID ? Number((ecap >> PSS_SHIFT) & 31n) + 1 : 0);

/** Before a device has settled the `auto` properties: everything that QEMU can emulate. */
export function largestOffer(p: VmmProperties = {}): Offer {
  const or = <T>(value: 'auto' | T | undefined, most: T): T =>
    value === undefined || value === 'auto' ? most : (value as T);
  const pasidBits = or(p.pasidBits, MAX_PASID_BITS);
  const dt = or(p.dt, true);
  return { fs1gp: or(p.fs1gp, true), pasidBits, dt, svm: or(p.svm, dt && pasidBits > 0) };
}

/** Takes the `auto` properties from the first device's unit. */
export function settle(p: VmmProperties, host: HostCapabilities): Offer {
  const most = largestOffer(p);
  const auto = (value: unknown): boolean => value === undefined || value === 'auto';
  const pasidBits = auto(p.pasidBits) ? Math.min(most.pasidBits, hostPasidBits(host.ecap)) : most.pasidBits;
  const dt = auto(p.dt) ? (host.ecap & DT) !== 0n : most.dt;
  return {
    fs1gp: auto(p.fs1gp) ? (host.cap & FS1GP) !== 0n : most.fs1gp,
    pasidBits,
    dt,
    svm: auto(p.svm) ? dt && pasidBits > 0 && (host.ecap & PRS) !== 0n : most.svm,
  };
}

/** CAP_REG and ECAP_REG of the vIOMMU. */
export function capabilityWords(o: Offer): { readonly cap: bigint; readonly ecap: bigint } {
  let ecap = ECAP;
  if (o.dt) ecap |= DT;
  if (o.pasidBits > 0) ecap |= (BigInt(o.pasidBits - 1) << PSS_SHIFT) | PASID;
  if (o.svm) ecap |= PRS | PDS | NWFS;
  return { cap: o.fs1gp ? CAP | FS1GP : CAP, ecap };
}

/** vtd_decide_config. @returns '' or why QEMU does not start with these properties */
export function configProblem(o: Offer): string {
  if (o.pasidBits > MAX_PASID_BITS)
    return `PASID width ${o.pasidBits} exceeds Max PASID Width ${MAX_PASID_BITS} allowed in PCI spec`;
  if (o.svm && !o.dt) return 'Need to set device IOTLB for svm';
  return o.svm && o.pasidBits === 0 ? 'Need to set PASID support for svm' : '';
}

/** vtd_check_hiod and vtd_check_hiod_accel. @returns '' or QEMU's error */
export function incompatibility(o: Offer, host: HostCapabilities): string {
  if (AW_BITS > host.addressBits) return `aw-bits ${AW_BITS} > host aw-bits ${host.addressBits}`;
  if (o.fs1gp && !(host.cap & FS1GP)) return 'First stage 1GB large page is unsupported by host IOMMU';
  // The field is read whether or not the host has PASIDs; the device's own limit decides if that matters.
  const bits = Number((host.ecap >> PSS_SHIFT) & 31n) + 1;
  if (host.maxPasidLog2 > 0 && o.pasidBits > bits)
    return `PASID bits size ${o.pasidBits} > host IOMMU PASID bits size ${bits}`;
  return '';
}
