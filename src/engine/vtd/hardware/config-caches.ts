import { IommuCaches } from '../../cache/index.ts';
import type { Covered, Trace } from '../../trace/index.ts';
import { type ConfigCacheName, configCells } from './cache-text.ts';
import type { ContextEntry, PasidEntry } from './config.ts';
import type { HardwareIds } from './ids.ts';
import { coveredConfig, type StagesInUse } from './walk-stages.ts';

export interface ConfigSnapshot {
  readonly context: readonly [number, ContextEntry][];
  readonly pasid: readonly [number, [number, PasidEntry][]][];
  readonly nextUid: number;
}

/**
 * The context cache (by requester id) and the PASID cache (by requester id and PASID) of one unit. Entries never change.
 * Source: VT-d specification, 6.2.2, 6.2.3.
 */
export abstract class ConfigCaches extends IommuCaches<ConfigCacheName, ContextEntry | PasidEntry, ConfigSnapshot> {
  readonly context = new Map<number, ContextEntry>();
  readonly pasid = new Map<number, Map<number, PasidEntry>>();
  /** Scene ids of this unit. */
  readonly ids: HardwareIds;
  /** What the request under way uses, as its translator says; asked only while somebody listens. */
  inUse: (() => StagesInUse) | null = null;

  constructor(trace: Trace, ids: HardwareIds) {
    super(trace);
    this.ids = ids;
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

  protected override configPlace(cache: ConfigCacheName): string {
    return cache === 'Context' ? this.ids.context : this.ids.pasid;
  }

  protected override configCells(cache: ConfigCacheName, e: ContextEntry | PasidEntry): readonly string[] {
    return configCells(cache, e);
  }

  protected override configCovers(cache: ConfigCacheName): Covered {
    return coveredConfig(cache);
  }

  // What CC_INV removes. Source: VT-d specification, 6.5.2.1.

  contextGlobal(): void {
    for (const e of this.context.values()) this.dropContext(e);
  }

  /** Of legacy entries those of the domain. A scalable-mode entry has no domain id: all of them go. */
  contextDomain(did: number): void {
    for (const e of this.context.values()) if (hasDomain(e, did)) this.dropContext(e);
  }

  /** A legacy entry of another domain stays. @param fm function mask: how many of the upper function bits, from bit 2 down, count as equal: 0 to 3 */
  contextDevice(did: number, rid: number, fm: number): void {
    const free = fm === 0 ? 0 : fm === 1 ? 4 : fm === 2 ? 6 : 7;
    for (const e of this.context.values()) if (((e.rid ^ rid) & ~free) === 0 && hasDomain(e, did)) this.dropContext(e);
  }

  private dropContext(e: ContextEntry): void {
    this.configRemoved('Context', e);
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
    this.configRemoved('PASID', e);
    const of = this.pasid.get(e.rid)!;
    of.delete(e.pasid);
    if (of.size === 0) this.pasid.delete(e.rid);
  }

  protected override saveConfig(): ConfigSnapshot {
    return {
      context: [...this.context],
      pasid: [...this.pasid].map(([rid, of]) => [rid, [...of]]),
      nextUid: this.nextUid,
    };
  }

  protected override loadConfig(s: ConfigSnapshot): void {
    this.context.clear();
    for (const [rid, e] of s.context) this.context.set(rid, e);
    this.pasid.clear();
    for (const [rid, of] of s.pasid) this.pasid.set(rid, new Map(of));
    this.nextUid = s.nextUid;
  }
}

/** Of legacy entries, one that cannot be used has domain id 0; scalable-mode ones have none. Source: 6.2.2, 6.5.2.1. */
const hasDomain = (e: ContextEntry, did: number): boolean => e.scalable || (e.fault > 0 ? 0 : e.did) === did;

/** An entry that cannot be used has no domain id: it goes with any. */
const belongs = (e: PasidEntry, did: number): boolean => e.did === did || e.fault > 0;
