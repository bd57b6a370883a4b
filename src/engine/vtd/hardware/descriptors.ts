import { twoWords } from '../../bits/index.ts';
import { ANY } from '../../cache/index.ts';
import type { Injector } from '../../machine/index.ts';
import type { Memory } from '../../memory/index.ts';
import { invalidateAtc, NO_PASID, type PageResponseCode, type PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import type { VtdCaches } from './caches.ts';
import type { FaultRecorder } from './faults.ts';
import type { VtdFeatures } from './features.ts';
import { deviceId, type HardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import type { PageRequestQueue } from './page-requests.ts';
import { FSTS, IQEI, type RegisterFile } from './registers.ts';

/** Descriptor types as literals, which the dispatch compares without a look-up; a test holds them equal to the layouts. */
export const TYPE = {
  CC_INV: 1,
  IOTLB_INV: 2,
  DEV_TLB_INV: 3,
  IEC_INV: 4,
  INV_WAIT: 5,
  P_IOTLB_INV: 6,
  PC_INV: 7,
  P_DEV_TLB_INV: 8,
  PAGE_GRP_RESP: 9,
} as const;

/** Bits 11:9 are the upper bits of the type. */
const TYPE_BITS = 0xe0f;

/** Fields of INV_WAIT in the first half. */
const WAIT = { IF: 0x10, SW: 0x20, FN: 0x40, PD: 0x80 } as const;

/** Address mask that covers 64 bits; a larger one does too. */
const ALL_PAGES = 52;

/** Bits of an invalidation request that goes to a device. */
const PFSID_LO = 0xf000;
const PFSID_HI = 0xfff0_0000;

/** By PAGE_GRP_RESP.RC; a device takes every other code for a failure. Source: PCI Express base specification, 10.4.2.1. */
const responses: Readonly<Record<number, PageResponseCode>> = { 0: 'success', 1: 'invalid request' };

/**
 * Executes invalidation descriptors on the caches. A descriptor is read as 32-bit halves, so that an invalidation allocates
 * nothing.
 * Source: VT-d specification, 6.5.2 (queued invalidation), 7.7 (page group response).
 */
export class DescriptorExecutor {
  private readonly memory: Memory;
  private readonly features: VtdFeatures;
  private readonly caches: VtdCaches;
  private readonly regs: RegisterFile;
  private readonly interrupts: Interrupts;
  private readonly faults: FaultRecorder;
  private readonly trace: Trace;
  private readonly injector: Injector;
  private readonly device: (rid: number) => PciDevice | undefined;
  private readonly pageRequests: PageRequestQueue;
  private readonly ids: HardwareIds;
  /** Requester that has not answered an invalidation request, -1: none. The next wait reports it. */
  unanswered = -1;

  constructor(p: {
    memory: Memory;
    features: VtdFeatures;
    caches: VtdCaches;
    regs: RegisterFile;
    interrupts: Interrupts;
    faults: FaultRecorder;
    trace: Trace;
    injector: Injector;
    device: (rid: number) => PciDevice | undefined;
    pageRequests: PageRequestQueue;
    ids: HardwareIds;
  }) {
    this.memory = p.memory;
    this.features = p.features;
    this.caches = p.caches;
    this.regs = p.regs;
    this.interrupts = p.interrupts;
    this.faults = p.faults;
    this.trace = p.trace;
    this.injector = p.injector;
    this.device = p.device;
    this.pageRequests = p.pageRequests;
    this.ids = p.ids;
  }

  /**
   * @param w0,w1,w2,w3 32-bit halves of the first two words, low first, int32
   * @param rest halves of the other two words, ORed together: zero in a legal descriptor of these types
   * @param wide descriptors have 256 bits and tables are not those of legacy mode, where types above 5 are invalid (table 26)
   * @returns an IQEI code, 0 when the descriptor was legal
   */
  execute(w0: number, w1: number, w2: number, w3: number, rest: number, wide: boolean): number {
    const f = this.features;
    const g = (w0 >>> 4) & 3;
    switch (w0 & TYPE_BITS) {
      case TYPE.CC_INV:
        if ((w0 & 0xf1c0) !== 0 || (w1 & 0xfffc_0000) !== 0 || (w2 | w3 | rest) !== 0 || g === 0) return IQEI.RESERVED;
        this.context(g, this.did(w0), w1 & 0xffff, (w1 >>> 16) & 3);
        return IQEI.NONE;
      case TYPE.IOTLB_INV:
        if ((w0 & 0xf100) !== 0 || w1 !== 0 || (w2 & 0xf80) !== 0 || rest !== 0 || g === 0) return IQEI.RESERVED;
        if (g === 3 && (!f.psi || (w2 & 63) > f.mamv)) return IQEI.RESERVED;
        this.iotlb(g, this.did(w0), w3, w2);
        return IQEI.NONE;
      case TYPE.DEV_TLB_INV:
        if (!f.dt) return IQEI.TYPE;
        if ((w0 & 0xffe0_01f0) !== 0 || (w1 & 0x000f_0000) !== 0 || (w2 & 0xffe) !== 0 || rest !== 0)
          return IQEI.RESERVED;
        if (!f.dit && ((w0 & PFSID_LO) | (w1 & PFSID_HI)) !== 0) return IQEI.RESERVED;
        this.deviceTlb(w0, w1, w2, w3);
        return IQEI.NONE;
      case TYPE.IEC_INV:
        if (!f.ir) return IQEI.TYPE;
        // No interrupt remapping entry is cached, so that nothing is to remove.
        return (w0 & 0x07ff_f1e0) !== 0 || (w1 & 0xffff_0000) !== 0 || (w2 | w3 | rest) !== 0
          ? IQEI.RESERVED
          : IQEI.NONE;
      case TYPE.INV_WAIT:
        return this.wait(w0, w1, w2, w3, rest);
      case TYPE.P_IOTLB_INV:
        if (!wide || !f.smts) return IQEI.TYPE;
        if ((w0 & 0xf1c0) !== 0 || (w1 & 0xfff0_0000) !== 0 || (w2 & 0xf80) !== 0 || rest !== 0 || g < 2)
          return IQEI.RESERVED;
        // CAP.MAMV binds the second stage only: every mask is legal here. Source: VT-d specification, 11.4.2 (MAMV).
        if (g === 2) this.caches.pasidIotlb(this.did(w0), w1);
        else if ((w2 & 63) >= ALL_PAGES)
          this.caches.pasidIotlbPages(this.did(w0), w1, 0, 0, ALL_PAGES, (w2 & 0x40) !== 0);
        else this.caches.pasidIotlbPages(this.did(w0), w1, w3, w2 & -4096, w2 & 63, (w2 & 0x40) !== 0);
        return IQEI.NONE;
      case TYPE.PC_INV:
        if (!wide || !f.smts) return IQEI.TYPE;
        if ((w0 & 0xf1c0) !== 0 || (w1 & 0xfff0_0000) !== 0 || (w2 | w3 | rest) !== 0 || g === 2) return IQEI.RESERVED;
        if (g === 0) this.caches.pasidDomain(this.did(w0));
        else if (g === 1) this.caches.pasidSelective(this.did(w0), w1);
        else this.caches.pasidGlobal();
        return IQEI.NONE;
      case TYPE.P_DEV_TLB_INV:
        if (!wide || !f.smts || !f.dt) return IQEI.TYPE;
        if ((w2 & 0x7fe) !== 0 || rest !== 0) return IQEI.RESERVED;
        if (!f.dit && ((w0 & PFSID_LO) | (w1 & PFSID_HI)) !== 0) return IQEI.RESERVED;
        this.deviceTlb(w0, w1, w2, w3);
        return IQEI.NONE;
      case TYPE.PAGE_GRP_RESP:
        if (!wide || !f.prs) return IQEI.TYPE;
        if ((w0 & 0x1e0) !== 0 || (w1 & 0xfff0_0000) !== 0 || ((w2 & 0xffff_f003) | w3) !== 0) return IQEI.RESERVED;
        this.pageResponse(w0, w1, w2);
        return IQEI.NONE;
      default:
        return IQEI.TYPE;
    }
  }

  /** Bits of DID that the unit does not have are ignored. Source: VT-d specification, 6.5.2.2 to 6.5.2.4. */
  private did(w0: number): number {
    return (w0 >>> 16) & (2 ** this.features.didBits - 1);
  }

  /** CC_INV and CCMD_REG. @param g 1 all, 2 of a domain, 3 of a device */
  context(g: number, did: number, sid: number, fm: number): void {
    if (g === 1) this.caches.contextGlobal();
    else if (g === 2) this.caches.contextDomain(did);
    else this.caches.contextDevice(did, sid, fm);
  }

  /**
   * IOTLB_INV and IOTLB_REG. Without CAP.PSI a page-selective request is done for the domain.
   * @param g 1 all, 2 of a domain, 3 of a domain in a range
   * @param hi,lo IVA_REG or the descriptor's second word: ADDR, IH, AM
   */
  iotlb(g: number, did: number, hi: number, lo: number): void {
    if (g === 1) this.caches.iotlbGlobal();
    else if (g === 2 || !this.features.psi) this.caches.iotlbDomain(did);
    else if ((lo & 63) >= ALL_PAGES) this.caches.iotlbPages(did, 0, 0, ALL_PAGES, (lo & 0x40) !== 0);
    else this.caches.iotlbPages(did, hi, lo & -4096, lo & 63, (lo & 0x40) !== 0);
  }

  private wait(w0: number, w1: number, w2: number, w3: number, rest: number): number {
    if ((w0 & (this.features.pds ? 0xffff_f100 : 0xffff_f180)) !== 0 || (w2 & 3) !== 0 || rest !== 0)
      return IQEI.RESERVED;
    if ((w0 & (WAIT.IF | WAIT.SW | WAIT.FN)) === 0) return IQEI.RESERVED;
    // A wait behind an invalidation that was never answered does not complete.
    if (this.unanswered >= 0) return IQEI.NONE;
    if ((w0 & WAIT.SW) !== 0) {
      const at = (w3 >>> 0) * 4294967296 + ((w2 & ~3) >>> 0);
      // A write that nothing takes is lost. Source: no error code of 11.4.24 names it.
      if (this.memory.contains(at, 4)) this.memory.write32(at, w1);
    }
    // A second completion is not told while the first one is. Source: VT-d specification, 11.4.20 (IWC).
    if ((w0 & WAIT.IF) !== 0 && (this.regs.num('ICS_REG') & 1) === 0) {
      this.regs.setNum('ICS_REG', 1);
      this.interrupts.raise('inv');
    }
    return IQEI.NONE;
  }

  /**
   * Sends the invalidation to the device. Only while somebody injects faults is the message made into words that can be
   * lost, changed or held back. A device that is in reset, and one whose ATS is off, does not answer.
   */
  private deviceTlb(w0: number, w1: number, w2: number, w3: number): void {
    const rid = (w0 & TYPE_BITS) === TYPE.DEV_TLB_INV ? w1 & 0xffff : w0 >>> 16;
    const d = this.device(rid);
    const answers = d !== undefined && takesInvalidations(d);
    if (answers && this.injector.quiet) {
      this.deliver(d, w0, w1, w2, w3);
      return;
    }
    const at = d ? deviceId(d) : this.ids.iq;
    const delivered = answers ? this.injector.pass('atc.invalidation', twoWords(w0, w1, w2, w3), at) : [];
    if (delivered.length === 0) {
      if (this.unanswered < 0) this.unanswered = rid;
      this.trace.listener?.({
        kind: 'ats',
        actor: 'iommu',
        at: this.ids.iq,
        to: at,
        message: 'timeout',
        device: d?.name ?? '',
        text: 'invalidation request without completion',
      });
      return;
    }
    for (const w of delivered) this.deliverWords(w);
  }

  /**
   * A device-TLB invalidation that was held back arrives. Its completion comes when nobody waits for it any more.
   * Source: VT-d specification, 11.4.9 (ICE).
   */
  deliverLate(w: readonly bigint[]): void {
    const d = this.deliverWords(w);
    if (d === undefined) return;
    if ((this.regs.num('FSTS_REG') & FSTS.ICE) === 0)
      this.regs.set('IQERCD_REG', (this.regs.get('IQERCD_REG') & 0xffff_ffff_ffffn) | (BigInt(d.rid & 0xffff) << 48n));
    this.faults.error(FSTS.ICE);
  }

  /** @returns the device that took it, or undefined when the words (they may be corrupted) are nothing that one takes */
  private deliverWords(w: readonly bigint[]): PciDevice | undefined {
    const half = (x: bigint | undefined, s: bigint): number => Number(((x ?? 0n) >> s) & 0xffff_ffffn) | 0;
    const w0 = half(w[0], 0n);
    const w1 = half(w[0], 32n);
    const type = w0 & TYPE_BITS;
    if (type !== TYPE.DEV_TLB_INV && type !== TYPE.P_DEV_TLB_INV) return undefined;
    const d = this.device(type === TYPE.DEV_TLB_INV ? w1 & 0xffff : w0 >>> 16);
    if (d === undefined || !takesInvalidations(d)) return undefined;
    this.deliver(d, w0, w1, half(w[1], 0n), half(w[1], 32n));
    return d;
  }

  private deliver(d: PciDevice, w0: number, w1: number, w2: number, w3: number): void {
    // Without a PASID the request takes only what was requested without one. Source: VT-d specification, 6.5.2.5.
    const plain = (w0 & TYPE_BITS) === TYPE.DEV_TLB_INV;
    const tag = plain ? NO_PASID : (w2 & 1) !== 0 ? ANY : w1 & 0xf_ffff;
    const shift = (w2 & (plain ? 1 : 0x800)) === 0 ? 12 : sizeShift(w2, w3);
    invalidateAtc(d, this.trace, this.ids.unit, tag, w3, w2 & -4096, shift);
  }

  /** The message goes to the function as it is; without PP it carries no PASID. */
  private pageResponse(w0: number, w1: number, w2: number): void {
    const d = this.device(w0 >>> 16);
    if (!d?.priCapable) return;
    const pasid = (w0 & 0x10) !== 0 ? w1 & 0xf_ffff : -1;
    this.pageRequests.answer(d, (w2 >>> 3) & 0x1ff, pasid, responses[(w0 >>> 12) & 15] ?? 'failure', false);
  }
}

const takesInvalidations = (d: PciDevice): boolean => d.atsCapable && d.atsEnabled && !d.inReset;

/**
 * Log2 of the bytes that ADDR with its size bit codes: the lowest zero bit from bit 12 on ends the size. Where only bit 63
 * is zero, and where no bit is, it is everything (64). Source: PCI Express base specification, 10.2.3.2 (S field).
 */
function sizeShift(lo: number, hi: number): number {
  const low = ~lo & -4096;
  const high = ~hi;
  const bit = low !== 0 ? trailing(low) : high !== 0 ? 32 + trailing(high) : 63;
  return bit + 1;
}

/** Index of the lowest set bit of a number that has one. */
const trailing = (n: number): number => 31 - Math.clz32(n & -n);
