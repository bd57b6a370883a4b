import type { Covered, EntryText, Trace } from '../trace/index.ts';
import { type CacheSnapshot, UID } from './entry.ts';
import { PendingFills } from './pending-fills.ts';
import type { TranslationCache } from './translation-cache.ts';

/**
 * All caches of one IOMMU: the translation caches, and those of its configuration, whose entries never change. Its room says
 * what they are; here is what they tell the trace. Nothing is built while nobody listens.
 */
export abstract class IommuCaches<ConfigName extends string, ConfigEntry extends { readonly uid: number }, Snapshot> {
  /** What is removing entries now, for the trace. */
  by = '';
  /** Asked only while somebody listens: would a fresh walk give this entry again? */
  stillValid: (cache: TranslationCache, index: number) => boolean = () => false;
  /** Asked only while somebody listens: would a fresh look-up give this entry again? */
  configStillValid: (cache: ConfigName, entry: ConfigEntry) => boolean = () => false;
  protected nextUid = 1;
  protected readonly pending = new PendingFills();
  private readonly trace: Trace;

  constructor(trace: Trace) {
    this.trace = trace;
  }

  abstract translation(): readonly TranslationCache[];
  /** Scene object of a translation cache, and the cells of an entry in the order of its columns. */
  protected abstract place(cache: TranslationCache): string;
  protected abstract cells(cache: TranslationCache, index: number): readonly string[];
  /** The same of a configuration cache. */
  protected abstract configPlace(cache: ConfigName): string;
  protected abstract configCells(cache: ConfigName, entry: ConfigEntry): readonly string[];
  /** Reads that a hit has made unnecessary; undefined where that is not known. Asked only while somebody listens. */
  protected abstract covers(cache: TranslationCache, index: number): Covered | undefined;
  protected abstract configCovers(cache: ConfigName, entry: ConfigEntry): Covered | undefined;
  protected abstract saveConfig(): Snapshot;
  protected abstract loadConfig(s: Snapshot): void;

  newUid(): number {
    return this.nextUid++;
  }

  /** Reports removals from the translation caches from now on. */
  protected watch(): void {
    for (const c of this.translation()) c.onRemove = (i) => this.removed(c, i);
  }

  filled(cache: TranslationCache, index: number): void {
    this.trace.listener?.({
      kind: 'cache.fill',
      actor: 'iommu',
      at: this.place(cache),
      entry: this.entry(cache, index),
    });
  }

  hit(cache: TranslationCache, index: number): void {
    if (!this.trace.listener) return;
    const covers = this.covers(cache, index);
    this.trace.listener({
      kind: 'cache.hit',
      actor: 'iommu',
      at: this.place(cache),
      entry: this.entry(cache, index),
      ...(covers && { covers }),
    });
  }

  private removed(cache: TranslationCache, index: number): void {
    this.trace.listener?.({
      kind: 'cache.remove',
      actor: 'iommu',
      at: this.place(cache),
      valid: this.stillValid(cache, index),
      by: this.by,
      entry: this.entry(cache, index),
    });
  }

  private entry(cache: TranslationCache, index: number): EntryText {
    return { cache: cache.name, id: cache.e[index + UID]!, cells: this.cells(cache, index) };
  }

  configEvent(kind: 'cache.fill' | 'cache.hit', cache: ConfigName, e: ConfigEntry): void {
    if (!this.trace.listener) return;
    const covers = kind === 'cache.hit' ? this.configCovers(cache, e) : undefined;
    const event = { actor: 'iommu', at: this.configPlace(cache), entry: this.configEntry(cache, e) } as const;
    this.trace.listener(kind === 'cache.fill' ? { ...event, kind } : { ...event, kind, ...(covers && { covers }) });
  }

  protected configRemoved(cache: ConfigName, e: ConfigEntry): void {
    this.trace.listener?.({
      kind: 'cache.remove',
      actor: 'iommu',
      at: this.configPlace(cache),
      valid: this.configStillValid(cache, e),
      by: this.by,
      entry: this.configEntry(cache, e),
    });
  }

  private configEntry(cache: ConfigName, e: ConfigEntry): EntryText {
    return { cache, id: e.uid, cells: this.configCells(cache, e) };
  }

  save(): unknown {
    return { translation: this.translation().map((c) => c.save()), config: this.saveConfig() };
  }

  load(state: unknown): void {
    const s = state as { translation: CacheSnapshot[]; config: Snapshot };
    for (const [i, c] of this.translation().entries()) c.load(s.translation[i]!);
    this.loadConfig(s.config);
    this.pending.count = 0;
  }
}
