import { IommuCaches } from '../../cache/index.ts';
import type { Covered, Trace } from '../../trace/index.ts';
import { type ConfigCacheName, configCells } from './cache-text.ts';
import type { CdConfig, SteConfig } from './config.ts';
import type { HardwareIds } from './ids.ts';
import { coveredConfig, type StagesInUse } from './walk-stages.ts';

/** A cached level-1 descriptor (L1STD by its index, L1CD by SID and index). */
export interface L1Entry {
  readonly key: number;
  readonly uid: number;
  readonly sid: number;
  readonly address: number;
  readonly word: bigint;
}

/** Key of an L1CD: StreamID and level-1 index. */
export const l1cdKey = (sid: number, index: number): number => sid * 16384 + index;
export const l1cdIndex = (key: number): number => key % 16384;

export interface ConfigSnapshot {
  readonly ste: readonly [number, SteConfig][];
  readonly cd: readonly [number, [number, CdConfig][]][];
  readonly l1std: readonly [number, L1Entry][];
  readonly l1cd: readonly [number, L1Entry][];
  readonly nextUid: number;
}

type ConfigEntry = SteConfig | CdConfig | L1Entry;

/** The configuration caches of one SMMU, keyed by StreamID, as CFGI commands name their entries. */
export abstract class ConfigCaches extends IommuCaches<ConfigCacheName, ConfigEntry, ConfigSnapshot> {
  readonly ste = new Map<number, SteConfig>();
  /** By StreamID, then SSID. */
  readonly cd = new Map<number, Map<number, CdConfig>>();
  readonly l1std = new Map<number, L1Entry>();
  readonly l1cd = new Map<number, L1Entry>();
  /** Scene ids of this unit. */
  readonly ids: HardwareIds;
  /** What the request under way uses, as its translator says; asked only while somebody listens. */
  inUse: (() => StagesInUse) | null = null;

  constructor(trace: Trace, ids: HardwareIds) {
    super(trace);
    this.ids = ids;
  }

  addSte(e: SteConfig): void {
    this.ste.set(e.sid, e);
    this.configEvent('cache.fill', 'STE', e);
  }

  addCd(e: CdConfig): void {
    let of = this.cd.get(e.sid);
    if (!of) this.cd.set(e.sid, (of = new Map()));
    of.set(e.ssid, e);
    this.configEvent('cache.fill', 'CD', e);
  }

  addL1(cache: 'L1STD' | 'L1CD', e: L1Entry): void {
    (cache === 'L1STD' ? this.l1std : this.l1cd).set(e.key, e);
    this.configEvent('cache.fill', cache, e);
  }

  protected override configPlace(): string {
    return this.ids.config;
  }

  protected override configCells(cache: ConfigCacheName, e: ConfigEntry): readonly string[] {
    return configCells(cache, e);
  }

  protected override configCovers(cache: ConfigCacheName): Covered | undefined {
    return this.inUse === null ? undefined : coveredConfig(cache, this.inUse());
  }

  removeSte(sid: number): void {
    const e = this.ste.get(sid);
    if (!e) return;
    this.configRemoved('STE', e);
    this.ste.delete(sid);
  }

  removeCd(sid: number, ssid: number): void {
    const of = this.cd.get(sid);
    const e = of?.get(ssid);
    if (!of || !e) return;
    this.configRemoved('CD', e);
    of.delete(ssid);
    if (of.size === 0) this.cd.delete(sid);
  }

  removeCds(sid: number): void {
    const of = this.cd.get(sid);
    if (of) for (const ssid of of.keys()) this.removeCd(sid, ssid);
    if (this.l1cd.size > 0) for (const e of this.l1cd.values()) if (e.sid === sid) this.removeL1('L1CD', e.key);
  }

  removeL1(cache: 'L1STD' | 'L1CD', key: number): void {
    const of = cache === 'L1STD' ? this.l1std : this.l1cd;
    const e = of.get(key);
    if (!e) return;
    this.configRemoved(cache, e);
    of.delete(key);
  }

  protected override saveConfig(): ConfigSnapshot {
    // Entries themselves never change, so the maps are copied and the entries shared.
    return {
      ste: [...this.ste],
      cd: [...this.cd].map(([sid, of]) => [sid, [...of]]),
      l1std: [...this.l1std],
      l1cd: [...this.l1cd],
      nextUid: this.nextUid,
    };
  }

  protected override loadConfig(s: ConfigSnapshot): void {
    refill(this.ste, s.ste);
    this.cd.clear();
    for (const [sid, of] of s.cd) this.cd.set(sid, new Map(of));
    refill(this.l1std, s.l1std);
    refill(this.l1cd, s.l1cd);
    this.nextUid = s.nextUid;
  }
}

function refill<K, V>(map: Map<K, V>, entries: readonly [K, V][]): void {
  map.clear();
  for (const [k, v] of entries) map.set(k, v);
}
