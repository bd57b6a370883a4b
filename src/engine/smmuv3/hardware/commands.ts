import { highHalf, lowHalf, twoWords } from '../../bits/index.ts';
import { ANY, type TranslationCache } from '../../cache/index.ts';
import type { Injector } from '../../machine/index.ts';
import { invalidateAtc, type PageResponseCode, type PciDevice } from '../../pci/index.ts';
import type { Trace } from '../../trace/index.ts';
import { EL2, l1cdKey, type SmmuCaches } from './caches.ts';
import type { SmmuFeatures } from './features.ts';
import { deviceId, type HardwareIds } from './ids.ts';
import type { Interrupts } from './interrupts.ts';
import type { PageRequestQueue } from './page-requests.ts';
import type { Prefetcher } from './prefetch.ts';
import { CR0, GERROR, type RegisterFile } from './registers.ts';
import type { DeviceRequests } from './requests.ts';
import { streamTableGeometry } from './stream-table.ts';

/** Opcodes as literals, which the dispatch compares without a look-up; a test holds them equal to the layouts. */
export const OP = {
  PREFETCH_CONFIG: 0x01,
  PREFETCH_ADDR: 0x02,
  CFGI_STE: 0x03,
  CFGI_STE_RANGE: 0x04,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  CFGI_VMS_PIDM: 0x07,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_NH_VAA: 0x13,
  TLBI_EL2_ALL: 0x20,
  TLBI_EL2_ASID: 0x21,
  TLBI_EL2_VA: 0x22,
  TLBI_EL2_VAA: 0x23,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  ATC_INV: 0x40,
  PRI_RESP: 0x41,
  RESUME: 0x44,
  STALL_TERM: 0x45,
  SYNC: 0x46,
} as const;

/** CMDQ_CONS.ERR. Source: Arm IHI 0070, 7.1. */
export const CERROR_NONE = 0;
export const CERROR_ILL = 1;
export const CERROR_ABT = 2;
export const CERROR_ATC_INV_SYNC = 3;
export const cerrorNames = ['CERROR_NONE', 'CERROR_ILL', 'CERROR_ABT', 'CERROR_ATC_INV_SYNC'] as const;

/** By CMD_PRI_RESP.Resp; 3 is illegal. */
const pageResponseCodes: readonly (PageResponseCode | undefined)[] = [
  'failure',
  'invalid request',
  'success',
  undefined,
];

/** As the tag of an invalidation: no entry has it. */
const NO_CONTEXT = -1;

const CR2_E2H = 1;
const IDR5_DS = 1 << 7;

/** Log2 of the granule by TG. */
const granuleOfTg = [0, 12, 14, 16] as const;

/**
 * Executes commands on the caches. The two words of a command are read as four 32-bit halves, so that an invalidation
 * allocates nothing.
 * Source: Arm IHI 0070, 4.2 to 4.8; 4.4.1 for range invalidation.
 */
export class CommandExecutor {
  private readonly features: SmmuFeatures;
  private readonly caches: SmmuCaches;
  private readonly regs: RegisterFile;
  private readonly interrupts: Interrupts;
  private readonly trace: Trace;
  private readonly injector: Injector;
  private readonly device: (sid: number) => PciDevice | undefined;
  private readonly requests: DeviceRequests;
  private readonly pageRequests: PageRequestQueue;
  private readonly prefetcher: Prefetcher;
  private readonly ids: HardwareIds;
  /** An ATC invalidation got no answer; the next CMD_SYNC reports it. */
  atcTimeout = false;

  constructor(p: {
    features: SmmuFeatures;
    caches: SmmuCaches;
    regs: RegisterFile;
    interrupts: Interrupts;
    trace: Trace;
    injector: Injector;
    device: (sid: number) => PciDevice | undefined;
    requests: DeviceRequests;
    pageRequests: PageRequestQueue;
    prefetcher: Prefetcher;
    ids: HardwareIds;
  }) {
    this.features = p.features;
    this.caches = p.caches;
    this.regs = p.regs;
    this.interrupts = p.interrupts;
    this.trace = p.trace;
    this.injector = p.injector;
    this.device = p.device;
    this.requests = p.requests;
    this.pageRequests = p.pageRequests;
    this.prefetcher = p.prefetcher;
    this.ids = p.ids;
  }

  /**
   * @param w0,w1,w2,w3 the command's 32-bit halves, low first, int32
   * @returns a CERROR_* code
   */
  execute(w0: number, w1: number, w2: number, w3: number): number {
    const f = this.features;
    const vmid = f.s2p ? w1 & 0xffff : 0;
    const asid = w1 >>> 16;
    // A tag that this SMMU cannot hold matches nothing, global entries neither. Source: IHI 0070, 4.4.
    const longAsid = !f.asid16 && asid > 0xff;
    const ssid = w0 >>> 12;
    if ((w0 & 0x400) !== 0) return CERROR_ILL; // SSec on the Non-secure queue
    switch (w0 & 0xff) {
      case OP.PREFETCH_CONFIG:
        this.prefetcher.config(w1 >>> 0, (w0 & 0x800) !== 0 ? ssid : -1);
        return CERROR_NONE;
      case OP.PREFETCH_ADDR:
        this.prefetcher.addresses(w1 >>> 0, (w0 & 0x800) !== 0 ? ssid : -1, w3, w2 & -4096, w2 & 31, (w2 >>> 5) & 31);
        return CERROR_NONE;
      case OP.CFGI_STE:
        this.invalidateSte(w1 >>> 0, (w2 & 1) !== 0);
        return CERROR_NONE;
      case OP.CFGI_STE_RANGE:
        this.invalidateSteRange(w1 >>> 0, w2 & 31);
        return CERROR_NONE;
      case OP.CFGI_CD:
        if (!f.s1p) return CERROR_ILL;
        this.invalidateCd(w1 >>> 0, ssid, (w2 & 1) !== 0);
        return CERROR_NONE;
      case OP.CFGI_CD_ALL:
        if (!f.s1p) return CERROR_ILL;
        this.caches.removeCds(w1 >>> 0);
        return CERROR_NONE;
      case OP.CFGI_VMS_PIDM:
        return f.mpam && f.s2p ? CERROR_NONE : CERROR_ILL;
      case OP.TLBI_NH_ALL:
        return f.s1p ? this.byContext(vmid, ANY) : CERROR_ILL;
      case OP.TLBI_NH_ASID:
        return f.s1p ? this.byContext(longAsid ? NO_CONTEXT : vmid, asid) : CERROR_ILL;
      case OP.TLBI_NH_VA:
        return f.s1p ? this.byAddress(longAsid ? NO_CONTEXT : vmid, asid, w0, w2, w3) : CERROR_ILL;
      case OP.TLBI_NH_VAA:
        return f.s1p ? this.byAddress(vmid, ANY, w0, w2, w3) : CERROR_ILL;
      case OP.TLBI_EL2_ALL:
        return f.s1p && f.hyp ? this.byContext(EL2, ANY) : CERROR_ILL;
      case OP.TLBI_EL2_ASID:
        return f.s1p && f.hyp ? this.byContext(longAsid ? NO_CONTEXT : EL2, asid) : CERROR_ILL;
      case OP.TLBI_EL2_VA: {
        if (!f.s1p || !f.hyp) return CERROR_ILL;
        // Without E2H the regime has no ASIDs.
        if ((this.regs.num('CR2') & CR2_E2H) === 0) return this.byAddress(EL2, ANY, w0, w2, w3);
        return this.byAddress(longAsid ? NO_CONTEXT : EL2, asid, w0, w2, w3);
      }
      case OP.TLBI_EL2_VAA:
        return f.s1p && f.hyp ? this.byAddress(EL2, ANY, w0, w2, w3) : CERROR_ILL;
      case OP.TLBI_S12_VMALL:
        if (!f.s2p) return CERROR_ILL;
        this.byContext(vmid, ANY);
        this.caches.s2tlb.removeContext(vmid, ANY);
        this.caches.s2walk.removeContext(vmid, ANY);
        return CERROR_NONE;
      case OP.TLBI_S2_IPA:
        return f.s2p ? this.byRange(this.caches.s2tlb, this.caches.s2walk, vmid, 0, w0, w2, w3 & 0xfffff) : CERROR_ILL;
      case OP.TLBI_NSNH_ALL:
        this.caches.iotlb.removeAllBut(EL2);
        this.caches.s1walk.removeAllBut(EL2);
        this.caches.s2tlb.removeAllBut(EL2);
        this.caches.s2walk.removeAllBut(EL2);
        return CERROR_NONE;
      case OP.ATC_INV:
        if (!f.ats) return CERROR_ILL;
        if ((w2 & 63) > 52) return CERROR_ILL;
        if ((this.regs.num('CR0') & CR0.SMMUEN) !== 0) this.invalidateAtc(w0, w1 >>> 0, w2, w3);
        return CERROR_NONE;
      case OP.PRI_RESP:
        return f.pri ? this.pageResponse(w0, w1 >>> 0, w2) : CERROR_ILL;
      case OP.RESUME:
        if (f.stallModel === 1) return CERROR_ILL;
        this.resume(w0, w1 >>> 0, w2 & 0xffff);
        return CERROR_NONE;
      case OP.STALL_TERM:
        if (f.stallModel === 1) return CERROR_ILL;
        this.requests.terminate(w1 >>> 0);
        this.requests.retryUnrecorded();
        return CERROR_NONE;
      case OP.SYNC:
        return this.sync(w0, w1, w2, w3);
      default:
        return CERROR_ILL;
    }
  }

  private byContext(a: number, b: number): number {
    this.caches.iotlb.removeContext(a, b);
    this.caches.s1walk.removeContext(a, b);
    return CERROR_NONE;
  }

  private byAddress(a: number, b: number, w0: number, w2: number, hi: number): number {
    return this.byRange(this.caches.iotlb, this.caches.s1walk, a, b, w0, w2, hi);
  }

  /** Leaf entries of the range, and without Leaf the walk entries that cover it. */
  private byRange(
    leaves: TranslationCache,
    tables: TranslationCache,
    a: number,
    b: number,
    w0: number,
    w2: number,
    hi: number,
  ): number {
    const lo = w2 & -4096;
    let bytes = 1;
    let level = 0;
    let granule = -1;
    const tg = this.features.ril ? (w2 >>> 10) & 3 : 0;
    if (tg !== 0) {
      const num = (w0 >>> 12) & 31;
      // With 52-bit addresses the field has a sixth bit; more than 39 counts as 39. Source: IHI 0070, 4.4.1.1.
      const ds = (this.features.idr[5]! & IDR5_DS) !== 0;
      const scale = ds ? Math.min((w0 >>> 20) & 63, 39) : (w0 >>> 20) & 31;
      granule = granuleOfTg[tg]!;
      level = (w2 >>> 8) & 3;
      // The 16 KiB granule has no blocks at level 1 below 52 bits.
      if (granule === 14 && level === 1 && !ds) level = 0;
      if (num === 0 && scale === 0 && level === 0) return CERROR_ILL;
      bytes = (num + 1) * 2 ** (scale + granule);
    }
    leaves.removeRange(a, b, hi, lo, bytes, level === 0 ? -1 : level, granule);
    if ((w2 & 1) === 0) {
      if (level === 0) tables.removeRange(a, b, hi, lo, bytes, -1, granule);
      else for (let l = 1; l <= level; l++) tables.removeRange(a, b, hi, lo, bytes, l, granule);
    }
    return CERROR_NONE;
  }

  private invalidateSte(sid: number, leaf: boolean): void {
    this.caches.removeCds(sid);
    this.caches.removeSte(sid);
    if (!leaf) this.caches.removeL1('L1STD', this.l1Index(sid));
  }

  private l1Index(sid: number): number {
    return Math.floor(
      sid / 2 ** streamTableGeometry(this.regs.get('STRTAB_BASE'), this.regs.get('STRTAB_BASE_CFG')).split,
    );
  }

  private invalidateSteRange(sid: number, range: number): void {
    const size = 2 ** (range + 1);
    const first = sid - (sid % size);
    const last = first + size - 1;
    const inside = (s: number): boolean => s >= first && s <= last;
    const { caches } = this;
    for (const s of caches.cd.keys()) if (inside(s)) caches.removeCds(s);
    for (const s of caches.ste.keys()) if (inside(s)) caches.removeSte(s);
    for (const e of caches.l1cd.values()) if (inside(e.sid)) caches.removeL1('L1CD', e.key);
    // Descriptors that were cached under another SPLIT go too when everything does.
    const from = this.l1Index(first);
    const to = range === 31 ? Number.POSITIVE_INFINITY : this.l1Index(last);
    for (const k of caches.l1std.keys()) if (k >= from && k <= to) caches.removeL1('L1STD', k);
  }

  private invalidateCd(sid: number, ssid: number, leaf: boolean): void {
    this.caches.removeCd(sid, ssid);
    if (leaf) return;
    const fmt = this.caches.ste.get(sid)?.s1Fmt;
    if (fmt !== 2) this.caches.removeL1('L1CD', l1cdKey(sid, ssid >>> 6));
    if (fmt !== 1) this.caches.removeL1('L1CD', l1cdKey(sid, ssid >>> 10));
  }

  /**
   * Sends the invalidation to the device. Without an answer the next CMD_SYNC ends in an error. Source: IHI 0070, 3.9.1, 4.5.1.
   * Only while somebody injects faults is the message made into words that can be lost, changed or held back.
   */
  private invalidateAtc(w0: number, sid: number, w2: number, w3: number): void {
    const d = this.device(sid);
    const at = d ? deviceId(d) : this.ids.cmdq;
    const answers = d?.atsCapable && !d.inReset;
    if (answers && this.injector.quiet) {
      this.deliverAtc(d, w0, w2, w3);
      return;
    }
    const delivered = answers ? this.injector.pass('atc.invalidation', twoWords(w0, sid, w2, w3), at) : [];
    if (d === undefined || delivered.length === 0) {
      this.atcTimeout = true;
      this.trace.listener?.({
        kind: 'ats',
        actor: 'iommu',
        at: this.ids.cmdq,
        to: at,
        message: 'timeout',
        device: d?.name ?? '',
        text: 'invalidation request without completion',
      });
      return;
    }
    for (const w of delivered) this.deliverAtcWords(w);
  }

  /** An invalidation request that was held back, or changed on its way, arrives at the device that it names. */
  deliverAtcWords(w: readonly bigint[]): void {
    const [a = 0n, b = 0n] = w;
    const d = this.device(highHalf(a) >>> 0);
    if (d?.atsCapable) this.deliverAtc(d, lowHalf(a), lowHalf(b), highHalf(b));
  }

  private deliverAtc(d: PciDevice, w0: number, w2: number, w3: number): void {
    // Without SSV the request has no PASID and takes every matching entry, whatever its PASID; so does Global.
    const b = (w0 & 0x800) === 0 || (w0 & 0x200) !== 0 ? ANY : w0 >>> 12;
    const size = w2 & 63;
    invalidateAtc(d, this.trace, this.ids.smmu, b, w3, w2, size >= 52 ? 64 : 12 + size);
  }

  /** The response goes to the device as it is; only a disabled SMMU sends none. Source: IHI 0070, 4.5.2. */
  private pageResponse(w0: number, sid: number, w2: number): number {
    const code = pageResponseCodes[(w2 >>> 12) & 3];
    if (code === undefined) return CERROR_ILL;
    const d = this.device(sid);
    if (!d?.priCapable || (this.regs.num('CR0') & CR0.SMMUEN) === 0) return CERROR_NONE;
    const pasid = (w0 & 0x800) !== 0 && this.features.ssidBits > 0 ? w0 >>> 12 : -1;
    this.pageRequests.answer(d, w2 & 0x1ff, pasid, code, false);
    return CERROR_NONE;
  }

  /** Ab counts only where an SMMU can end a transaction without an error. Source: IHI 0070, 4.7.1. */
  private resume(w0: number, sid: number, stag: number): void {
    const abort = this.features.termModel || (w0 & 0x2000) !== 0;
    this.requests.resume(sid, stag, (w0 & 0x1000) !== 0 ? 'retry' : abort ? 'abort' : 'terminate');
    this.requests.retryUnrecorded();
  }

  private sync(w0: number, w1: number, w2: number, w3: number): number {
    const cs = (w0 >>> 12) & 3;
    if (cs === 3) return CERROR_ILL;
    if (this.atcTimeout) {
      this.atcTimeout = false;
      return CERROR_ATC_INV_SYNC;
    }
    if (cs === 1 && this.features.msi) {
      const address = (w3 & 0xffffff) * 4294967296 + ((w2 & ~3) >>> 0);
      // The command completes all the same when the write does not arrive. Source: IHI 0070, 4.7.3, 7.5.1.
      if (address !== 0 && !this.interrupts.write(address, w1 >>> 0)) this.interrupts.raise(GERROR.MSI_CMDQ_ABT_ERR);
    }
    return CERROR_NONE;
  }
}
