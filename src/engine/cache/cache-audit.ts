import type { TranslationCache } from './translation-cache.ts';
import type { Verdict } from './verdict.ts';

/** Compares the caches of one IOMMU with what memory says now; its room says how. */
export abstract class CacheAudit<Device, ConfigName, ConfigEntry> {
  /** Physical addresses that the fresh walk under way has read. */
  protected depends: number[] = [];

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
    this.depends.push((hi >>> 0) * 4294967296 + (lo >>> 0));
  };
}
