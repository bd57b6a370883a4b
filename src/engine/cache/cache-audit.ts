import type { TranslationCache } from './translation-cache.ts';
import type { Verdict } from './verdict.ts';

interface FreshTranslator {
  readonly walker: {
    caches: object | null;
    visitor: ((stage: 1 | 2, level: number, hi: number, lo: number, ...rest: number[]) => void) | null;
  };
  registersChanged(): void;
}

/** Address of two 32-bit halves. */
export const addressOf = (hi: number, lo: number): number => (hi >>> 0) * 4294967296 + (lo >>> 0);

/** Addresses of the 64-bit words of a record. */
export const wordAddresses = (at: number, words = 8): number[] => Array.from({ length: words }, (_, k) => at + 8 * k);

/** Whether two records have the same content. */
export function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Compares the caches of one IOMMU with what memory says now; its room says how. */
export abstract class CacheAudit<Fresh extends FreshTranslator, Device, ConfigName, ConfigEntry> {
  /** Physical addresses that the fresh walk under way has read. */
  protected depends: number[] = [];
  /** A translator that caches nothing and that nobody listens to. */
  protected readonly fresh: Fresh;

  constructor(fresh: Fresh) {
    this.fresh = fresh;
  }

  registersChanged(): void {
    this.fresh.registersChanged();
  }

  /** Makes the fresh translator ready for a walk of which `depends` is to tell. */
  protected begin(): Fresh {
    this.depends = [];
    this.fresh.registersChanged();
    this.fresh.walker.caches = null;
    this.fresh.walker.visitor = this.note;
    return this.fresh;
  }

  /** Verdict on an entry of a translation cache. */
  abstract verdict(cache: TranslationCache, index: number): Verdict;
  /** Verdict on a translation that a device holds. */
  abstract atc(device: Device, index: number): Verdict;
  /** Verdict on an entry of a configuration cache. */
  abstract config(name: ConfigName, entry: ConfigEntry): Verdict;

  same(cache: TranslationCache, index: number): boolean {
    return this.verdict(cache, index).state === 'same';
  }

  sameAtc(device: Device, index: number): boolean {
    return this.atc(device, index).state === 'same';
  }

  sameConfig(name: ConfigName, entry: ConfigEntry): boolean {
    return this.config(name, entry).state === 'same';
  }

  /** Visitor of a walk. Bound once, so that setting it allocates nothing. */
  protected readonly note = (_stage: 1 | 2, _level: number, hi: number, lo: number): void => {
    this.depends.push(addressOf(hi, lo));
  };
}
