import { type CacheSnapshot, TranslationCache } from '../cache/index.ts';

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
  /** Enable bit of the ATS capability, switched by the host kernel. */
  atsEnabled = false;
  /** Tag b is the PASID, or `NO_PASID`. */
  readonly atc: TranslationCache;

  /** `index` among the devices keeps the ids of all ATCs apart. */
  constructor(
    d: { name: string; rid: number; vrid: number; pasidBits: number; ats: boolean; pri: boolean },
    atcEntries = 0,
    index = 0,
  ) {
    this.name = d.name;
    this.rid = d.rid;
    this.vrid = d.vrid;
    this.pasidBits = d.pasidBits;
    this.atsCapable = d.ats;
    this.priCapable = d.pri;
    this.atc = new TranslationCache('ATC', atcEntries, 1 + index * 0x1000000);
  }

  save(): { atsEnabled: boolean; atc: CacheSnapshot } {
    return { atsEnabled: this.atsEnabled, atc: this.atc.save() };
  }

  load(s: { atsEnabled: boolean; atc: CacheSnapshot }): void {
    this.atsEnabled = s.atsEnabled;
    this.atc.load(s.atc);
  }
}

/** ATC tag of translations requested without PASID: its own name space, apart from every PASID. */
export const NO_PASID = 0x100000;

/** `0000:01:00.0` of a requester id. */
export function ridText(rid: number): string {
  const h = (n: number, w: number): string => n.toString(16).padStart(w, '0');
  return `${h(Math.floor(rid / 65536), 4)}:${h((rid >> 8) & 255, 2)}:${h((rid >> 3) & 31, 2)}.${rid & 7}`;
}
