import { ANY, type CacheSnapshot, TranslationCache } from '../cache/index.ts';
import { PageRequests, type PageRequestsSnapshot } from './page-requests.ts';

/** How a device is described. */
export interface PciDeviceSpec {
  readonly name: string;
  readonly rid: number;
  readonly vrid: number;
  readonly pasidBits: number;
  readonly ats: boolean;
  readonly pri: boolean;
  /** PRG Response PASID Required. */
  readonly prgPasidRequired?: boolean;
  /** True: its transactions may stall. */
  readonly stall?: boolean;
}

export interface DeviceSnapshot {
  readonly atsEnabled: boolean;
  readonly atc: CacheSnapshot;
  readonly pasidEnabled: boolean;
  readonly pri: PageRequestsSnapshot;
}

/**
 * A PCI function as the IOMMU sees it. Its ATC keeps what translation requests returned until an invalidation request
 * (or a reset) removes it.
 */
export class PciDevice {
  readonly name: string;
  /** Requester id on the host: segment << 16 | bus << 8 | device << 3 | function. */
  readonly rid: number;
  /** The same as the guest sees it. */
  readonly vrid: number;
  /** Width of its PASIDs, 0: none. */
  readonly pasidBits: number;
  readonly atsCapable: boolean;
  readonly priCapable: boolean;
  /** Its transactions may wait for software (firmware's `dma-can-stall`); one on PCI Express never does. */
  readonly canStall: boolean;
  /** Enable bit of the ATS capability, switched by the host kernel. */
  atsEnabled = false;
  /** Enable bit of the PASID capability, which firmware leaves set where the function has one. */
  pasidEnabled: boolean;
  /** The PRI capability and the page requests that wait for an answer. */
  readonly pri: PageRequests;
  /**
   * True while a reset is under way: the function answers nothing, invalidation requests neither.
   * Source: PCI Express base specification, 6.6.2 and the note on ATS in 10.3.1.
   */
  inReset = false;
  /** Tag b is the PASID, or `NO_PASID`. */
  readonly atc: TranslationCache;

  /** `index` among the devices keeps the ids of all ATCs apart. */
  constructor(d: PciDeviceSpec, atcEntries = 0, index = 0) {
    this.name = d.name;
    this.rid = d.rid;
    this.vrid = d.vrid;
    this.pasidBits = d.pasidBits;
    this.atsCapable = d.ats;
    this.priCapable = d.pri;
    this.canStall = d.stall ?? false;
    this.pasidEnabled = d.pasidBits > 0;
    this.pri = new PageRequests(d.pri, d.prgPasidRequired);
    this.atc = new TranslationCache('ATC', atcEntries, 1 + index * 0x1000000);
  }

  /** Enable bit of the PRI capability. Switching it on forgets earlier requests and what became of them. */
  get priEnabled(): boolean {
    return this.pri.enabled;
  }

  set priEnabled(on: boolean) {
    if (on) this.pri.enable();
    else this.pri.enabled = false;
  }

  /**
   * Function-level reset: the ATC is empty, the enables of ATS, PRI and PASID are off, and no page request waits any more.
   * Source: PCI Express base specification, 6.6.2 (FLR), 10.2.3 and 10.4 (what a reset clears).
   */
  reset(): void {
    this.inReset = true;
    this.atsEnabled = false;
    this.pasidEnabled = false;
    this.pri.reset();
    this.atc.removeContext(0, ANY);
    this.inReset = false;
  }

  save(): DeviceSnapshot {
    return {
      atsEnabled: this.atsEnabled,
      atc: this.atc.save(),
      pasidEnabled: this.pasidEnabled,
      pri: this.pri.save(),
    };
  }

  load(s: DeviceSnapshot): void {
    this.atsEnabled = s.atsEnabled;
    this.atc.load(s.atc);
    this.pasidEnabled = s.pasidEnabled;
    this.pri.load(s.pri);
  }
}

/** ATC tag of translations requested without PASID: its own name space, apart from every PASID. */
export const NO_PASID = 0x100000;

/** `0000:01:00.0` of a requester id. */
export function ridText(rid: number): string {
  const h = (n: number, w: number): string => n.toString(16).padStart(w, '0');
  return `${h(Math.floor(rid / 65536), 4)}:${h((rid >> 8) & 255, 2)}:${h((rid >> 3) & 31, 2)}.${rid & 7}`;
}

/** `01:00.0` of a requester id in segment 0, all of it in another. */
export const slotText = (rid: number): string => ridText(rid).replace(/^0000:/, '');
