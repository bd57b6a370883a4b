import type { Trace } from '../../trace/index.ts';
import { type ConfigCacheName, configCells } from './cache-text.ts';
import type { ContextEntry, PasidEntry } from './config.ts';
import type { HardwareIds } from './ids.ts';

export interface ConfigSnapshot {
  readonly context: readonly [number, ContextEntry][];
  readonly pasid: readonly [number, [number, PasidEntry][]][];
  readonly nextUid: number;
}

/**
 * The context cache (by requester id) and the PASID cache (by requester id and PASID) of one unit. Entries never change.
 * Source: VT-d specification, 6.2.2, 6.2.3.
 */
export class ConfigCaches {
  readonly context = new Map<number, ContextEntry>();
  readonly pasid = new Map<number, Map<number, PasidEntry>>();
  private nextUid = 1;
  protected readonly trace: Trace;
  /** Scene ids of this unit. */
  readonly ids: HardwareIds;

  /** What is removing entries now, for the trace. */
  by = '';
  /** Asked only while somebody listens: would a fresh look-up give this entry again? */
  configStillValid: (cache: ConfigCacheName, entry: ContextEntry | PasidEntry) => boolean = () => false;

  constructor(trace: Trace, ids: HardwareIds) {
    this.trace = trace;
    this.ids = ids;
  }

  newUid(): number {
    return this.nextUid++;
  }

  addContext(e: ContextEntry): void {
    this.context.set(e.rid, e);
    this.configEvent('cache.fill', 'Context', e);
  }

  addPasid(e: PasidEntry): void {
    let of = this.pasid.get(e.rid);
    if (!of) this.pasid.set(e.rid, (of = new Map()));
    of.set(e.pasid, e);
    this.configEvent('cache.fill', 'PASID', e);
  }

  configEvent(kind: 'cache.fill' | 'cache.hit', cache: ConfigCacheName, e: ContextEntry | PasidEntry): void {
    this.trace.listener?.({ kind, actor: 'iommu', at: this.place(cache), entry: entryText(cache, e) });
  }

  private removed(cache: ConfigCacheName, e: ContextEntry | PasidEntry): void {
    if (!this.trace.listener) return;
    const valid = this.configStillValid(cache, e);
    const at = this.place(cache);
    this.trace.listener({ kind: 'cache.remove', actor: 'iommu', at, valid, by: this.by, entry: entryText(cache, e) });
  }

  private place(cache: ConfigCacheName): string {
    return cache === 'Context' ? this.ids.context : this.ids.pasid;
  }

  // What CC_INV removes. Source: VT-d specification, 6.5.2.1.

  contextGlobal(): void {
    for (const e of this.context.values()) this.dropContext(e);
  }

  /** Of legacy entries those of the domain. A scalable-mode entry has no domain id: all of them go. */
  contextDomain(did: number): void {
    for (const e of this.context.values()) if (e.scalable || e.did === did) this.dropContext(e);
  }

  /** @param fm function mask: how many of the upper function bits, from bit 2 down, count as equal: 0 to 3 */
  contextDevice(rid: number, fm: number): void {
    const free = fm === 0 ? 0 : fm === 1 ? 4 : fm === 2 ? 6 : 7;
    for (const e of this.context.values()) if (((e.rid ^ rid) & ~free) === 0) this.dropContext(e);
  }

  private dropContext(e: ContextEntry): void {
    this.removed('Context', e);
    this.context.delete(e.rid);
  }

  // What PC_INV removes. Source: VT-d specification, 6.5.2.2.

  pasidGlobal(): void {
    for (const of of this.pasid.values()) for (const e of of.values()) this.dropPasid(e);
  }

  pasidDomain(did: number): void {
    for (const of of this.pasid.values()) for (const e of of.values()) if (belongs(e, did)) this.dropPasid(e);
  }

  pasidSelective(did: number, pasid: number): void {
    for (const of of this.pasid.values()) {
      const e = of.get(pasid);
      if (e !== undefined && belongs(e, did)) this.dropPasid(e);
    }
  }

  private dropPasid(e: PasidEntry): void {
    this.removed('PASID', e);
    const of = this.pasid.get(e.rid)!;
    of.delete(e.pasid);
    if (of.size === 0) this.pasid.delete(e.rid);
  }

  protected saveConfig(): ConfigSnapshot {
    return {
      context: [...this.context],
      pasid: [...this.pasid].map(([rid, of]) => [rid, [...of]]),
      nextUid: this.nextUid,
    };
  }

  protected loadConfig(s: ConfigSnapshot): void {
    this.context.clear();
    for (const [rid, e] of s.context) this.context.set(rid, e);
    this.pasid.clear();
    for (const [rid, of] of s.pasid) this.pasid.set(rid, new Map(of));
    this.nextUid = s.nextUid;
  }
}

/** An entry that cannot be used has no domain id: it goes with any. */
const belongs = (e: PasidEntry, did: number): boolean => e.did === did || e.fault > 0;

const entryText = (cache: ConfigCacheName, e: ContextEntry | PasidEntry) => ({
  cache,
  id: e.uid,
  cells: configCells(cache, e),
});
