import type { EntryText, Trace } from '../trace/index.ts';
import { UID } from './entry.ts';
import type { TranslationCache } from './translation-cache.ts';

/** Tells the trace what happens to the translation caches of one IOMMU. Nothing is built while nobody listens. */
export class CacheTrace {
  private readonly trace: Trace;
  private readonly place: (cache: TranslationCache) => string;
  private readonly cells: (cache: TranslationCache, index: number) => readonly string[];

  /** @param place scene object of a cache; `cells` of an entry in the order of its columns */
  constructor(
    trace: Trace,
    place: (cache: TranslationCache) => string,
    cells: (cache: TranslationCache, index: number) => readonly string[],
  ) {
    this.trace = trace;
    this.place = place;
    this.cells = cells;
  }

  event(kind: 'cache.fill' | 'cache.hit', cache: TranslationCache, index: number): void {
    this.trace.listener?.({ kind, actor: 'iommu', at: this.place(cache), entry: this.entry(cache, index) });
  }

  /** Reports removals from now on. @param valid whether a fresh walk would still give the entry; `by` what removes it */
  watch(cache: TranslationCache, valid: (index: number) => boolean, by: () => string): void {
    cache.onRemove = (i) => {
      if (this.trace.listener)
        this.trace.listener({
          kind: 'cache.remove',
          actor: 'iommu',
          at: this.place(cache),
          valid: valid(i),
          by: by(),
          entry: this.entry(cache, i),
        });
    };
  }

  private entry(cache: TranslationCache, index: number): EntryText {
    return { cache: cache.name, id: cache.e[index + UID]!, cells: this.cells(cache, index) };
  }
}
