import {
  ATTR,
  alignHi,
  alignLo,
  type CacheSnapshot,
  type EntryData,
  GLOBAL,
  IPA_HI,
  IPA_LO,
  LEVEL,
  OUT_HI,
  OUT_LO,
  SHIFT,
  TranslationCache,
  UID,
} from '../../cache/index.ts';
import type { Vmsav8Walker, WalkCaches } from '../../pagetable/vmsav8.ts';
import type { Trace } from '../../trace/index.ts';
import { type ConfigCacheName, configCells, translationCells } from './cache-text.ts';
import type { CdConfig, SteConfig } from './config.ts';
import { type HardwareIds, hardwareIds } from './ids.ts';

/** Tag `a` of translations of the EL2 stream world, which have no VMID. */
export const EL2 = 0x10000;

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

/** What renews an entry of a writable-clean page, in the words of the trace. */
export const BY_UPDATE = 'dirty state update';

/** Kinds of pending fills. */
const S2_LEAF = 0;
const S2_TABLE = 1;
const S1_TABLE = 2;
const PENDING = 64;
/** Integers a pending fill takes. */
const WIDTH = 13;

/**
 * All caches of one SMMU. Translation caches are indexed; configuration caches are keyed by StreamID, as CFGI commands
 * name them.
 */
export class SmmuCaches implements WalkCaches {
  readonly iotlb: TranslationCache;
  /** Stage-1 walk steps: the table of a level for a VA prefix, already translated by stage 2. */
  readonly s1walk = new TranslationCache('S1 walk');
  /** Stage-2 leaves, tagged by VMID and IPA. */
  readonly s2tlb = new TranslationCache('S2 TLB');
  readonly s2walk = new TranslationCache('S2 walk');
  readonly ste = new Map<number, SteConfig>();
  /** By StreamID, then SSID. */
  readonly cd = new Map<number, Map<number, CdConfig>>();
  readonly l1std = new Map<number, L1Entry>();
  readonly l1cd = new Map<number, L1Entry>();
  private nextUid = 1;
  private readonly trace: Trace;
  /** Scene ids of this unit. */
  readonly ids: HardwareIds;

  /** What is removing entries now, for the trace. */
  by = '';
  /** Asked only while somebody listens: would a fresh walk give this entry again? */
  stillValid: (cache: TranslationCache, index: number) => boolean = () => false;
  configStillValid: (cache: ConfigCacheName, entry: SteConfig | CdConfig | L1Entry) => boolean = () => false;

  /** Context of the walk that is under way. */
  private vmid = 0;
  private asid = 0;
  private s2Granule = 12;
  private readonly data: EntryData = { attr: 0, level: 0, granule: 12, sid: 0, ssid: -1, ipaLo: 0, ipaHi: 0 };
  private pendingCount = 0;
  private readonly pending = new Int32Array(PENDING * WIDTH);

  constructor(trace: Trace, iotlbEntries = 0, ids = hardwareIds()) {
    this.trace = trace;
    this.ids = ids;
    this.iotlb = new TranslationCache('IOTLB', iotlbEntries);
    for (const c of this.translation())
      c.onRemove = (i) => {
        if (this.trace.listener)
          this.trace.listener({
            kind: 'cache.remove',
            actor: 'iommu',
            at: sceneOf(c, this.ids),
            valid: this.stillValid(c, i),
            by: this.by,
            entry: { cache: c.name, id: c.e[i + UID]!, cells: translationCells(c, i) },
          });
      };
  }

  translation(): readonly TranslationCache[] {
    return [this.iotlb, this.s1walk, this.s2tlb, this.s2walk];
  }

  newUid(): number {
    return this.nextUid++;
  }

  /** Starts a walk in the context of an STE and CD; granules are log2. */
  begin(vmid: number, asid: number, sid: number, ssid: number, s1Granule: number, s2Granule: number): void {
    this.vmid = vmid;
    this.asid = asid;
    this.data.sid = sid;
    this.data.ssid = ssid;
    this.data.granule = s1Granule;
    this.s2Granule = s2Granule;
  }

  /** Adds the combined (or stage-1) leaf that the walker has just found. */
  fillLeaf(w: Vmsav8Walker, vaHi: number, vaLo: number, global: boolean): void {
    const d = this.data;
    d.attr = w.perms;
    d.level = w.level;
    d.ipaHi = alignHi(w.ipaHi, w.leafShift);
    d.ipaLo = alignLo(w.ipaLo, w.leafShift);
    const i = this.iotlb.insert(
      this.vmid,
      global ? GLOBAL : this.asid,
      vaHi,
      vaLo,
      w.leafShift,
      // An entry of several descriptors is its own block; a piece of one goes with the whole of it.
      Math.max(w.s1Shift, w.leafShift),
      alignHi(w.outHi, w.leafShift),
      alignLo(w.outLo, w.leafShift),
      d,
    );
    this.filled(this.iotlb, i);
  }

  /** Puts in what the finished request has read on its way. Until now it could not hit its own steps. */
  commit(): void {
    const p = this.pending;
    for (let n = 0; n < this.pendingCount; n++) {
      const at = n * WIDTH;
      const kind = p[at]!;
      const cache = kind === S2_LEAF ? this.s2tlb : kind === S2_TABLE ? this.s2walk : this.s1walk;
      const a = p[at + 8]!;
      const b = kind === S1_TABLE ? p[at + 9]! : 0;
      const shift = p[at + 4]!;
      const hi = alignHi(p[at + 1]!, shift);
      const lo = alignLo(p[at + 2]!, shift);
      const known = cache.find(a, b, hi, lo, shift);
      // Renewed only when the request has marked the page dirty meanwhile.
      if (known >= 0 && cache.e[known + ATTR] === p[at + 7]) continue;
      if (known >= 0) this.by = BY_UPDATE;
      const d = this.data;
      d.granule = p[at + 10]!;
      d.level = p[at + 3]!;
      d.attr = p[at + 7]!;
      d.ipaHi = p[at + 11]!;
      d.ipaLo = p[at + 12]!;
      this.filled(cache, cache.insert(a, b, hi, lo, shift, shift, p[at + 5]!, p[at + 6]!, d));
    }
    this.pendingCount = 0;
    this.by = '';
  }

  private push(
    kind: number,
    hi: number,
    lo: number,
    level: number,
    shift: number,
    outHi: number,
    outLo: number,
    perms: number,
    ipaHi = outHi,
    ipaLo = outLo,
  ): void {
    if (this.pendingCount === PENDING) return;
    const at = this.pendingCount++ * WIDTH;
    const p = this.pending;
    p[at] = kind;
    p[at + 1] = hi;
    p[at + 2] = lo;
    p[at + 3] = level;
    p[at + 4] = shift;
    p[at + 5] = outHi;
    p[at + 6] = outLo;
    p[at + 7] = perms;
    p[at + 8] = this.vmid;
    p[at + 9] = this.asid;
    p[at + 10] = kind === S1_TABLE ? this.data.granule : this.s2Granule;
    p[at + 11] = ipaHi;
    p[at + 12] = ipaLo;
  }

  private filled(cache: TranslationCache, i: number): void {
    this.trace.listener?.({
      kind: 'cache.fill',
      actor: 'iommu',
      at: sceneOf(cache, this.ids),
      entry: { cache: cache.name, id: cache.e[i + UID]!, cells: translationCells(cache, i) },
    });
  }

  hit(cache: TranslationCache, i: number): void {
    this.trace.listener?.({
      kind: 'cache.hit',
      actor: 'iommu',
      at: sceneOf(cache, this.ids),
      entry: { cache: cache.name, id: cache.e[i + UID]!, cells: translationCells(cache, i) },
    });
  }

  // What the walker asks.

  stage2Leaf(w: Vmsav8Walker, ipaHi: number, ipaLo: number): boolean {
    const c = this.s2tlb;
    const i = c.lookup(this.vmid, 0, ipaHi, ipaLo);
    if (i < 0) return false;
    const shift = c.e[i + SHIFT]!;
    w.outHi = c.e[i + OUT_HI]! | (ipaHi & ~alignHi(-1, shift));
    w.outLo = c.e[i + OUT_LO]! | (ipaLo & ~alignLo(-1, shift));
    w.perms = c.e[i + ATTR]!;
    w.leafShift = shift;
    w.level = c.e[i + LEVEL]!;
    this.hit(c, i);
    return true;
  }

  stage2Table(w: Vmsav8Walker, ipaHi: number, ipaLo: number): number {
    return this.table(this.s2walk, 0, w, ipaHi, ipaLo);
  }

  stage1Table(w: Vmsav8Walker, vaHi: number, vaLo: number): number {
    return this.table(this.s1walk, this.asid, w, vaHi, vaLo);
  }

  private table(c: TranslationCache, b: number, w: Vmsav8Walker, hi: number, lo: number): number {
    const i = c.lookup(this.vmid, b, hi, lo);
    if (i < 0) return -1;
    w.tableHi = c.e[i + OUT_HI]!;
    w.tableLo = c.e[i + OUT_LO]!;
    w.tableIpaHi = c.e[i + IPA_HI]!;
    w.tableIpaLo = c.e[i + IPA_LO]!;
    w.perms = c.e[i + ATTR]!;
    this.hit(c, i);
    return c.e[i + LEVEL]!;
  }

  fillStage2Leaf(w: Vmsav8Walker, ipaHi: number, ipaLo: number, level: number): void {
    this.push(
      S2_LEAF,
      ipaHi,
      ipaLo,
      level,
      w.leafShift,
      alignHi(w.outHi, w.leafShift),
      alignLo(w.outLo, w.leafShift),
      w.perms,
    );
  }

  fillStage2Table(w: Vmsav8Walker, ipaHi: number, ipaLo: number, level: number): void {
    this.push(S2_TABLE, ipaHi, ipaLo, level, tableShift(level, this.s2Granule), w.tableHi, w.tableLo, 0);
  }

  fillStage1Table(w: Vmsav8Walker, vaHi: number, vaLo: number, level: number): void {
    const shift = tableShift(level, this.data.granule);
    const { tableHi, tableLo, perms, tableIpaHi, tableIpaLo } = w;
    this.push(S1_TABLE, vaHi, vaLo, level, shift, tableHi, tableLo, perms, tableIpaHi, tableIpaLo);
  }

  // Configuration caches.

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

  configEvent(kind: 'cache.fill' | 'cache.hit', cache: ConfigCacheName, e: SteConfig | CdConfig | L1Entry): void {
    this.trace.listener?.({
      kind,
      actor: 'iommu',
      at: this.ids.config,
      entry: { cache, id: e.uid, cells: configCells(cache, e) },
    });
  }

  private configRemoved(cache: ConfigCacheName, e: SteConfig | CdConfig | L1Entry): void {
    if (this.trace.listener)
      this.trace.listener({
        kind: 'cache.remove',
        actor: 'iommu',
        at: this.ids.config,
        valid: this.configStillValid(cache, e),
        by: this.by,
        entry: { cache, id: e.uid, cells: configCells(cache, e) },
      });
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

  save(): unknown {
    return {
      translation: this.translation().map((c) => c.save()),
      // Entries themselves never change, so the maps are copied and the entries shared.
      ste: [...this.ste],
      cd: [...this.cd].map(([sid, of]) => [sid, [...of]] as const),
      l1std: [...this.l1std],
      l1cd: [...this.l1cd],
      nextUid: this.nextUid,
    };
  }

  load(state: unknown): void {
    const s = state as {
      translation: CacheSnapshot[];
      ste: [number, SteConfig][];
      cd: [number, [number, CdConfig][]][];
      l1std: [number, L1Entry][];
      l1cd: [number, L1Entry][];
      nextUid: number;
    };
    this.translation().forEach((c, i) => {
      c.load(s.translation[i]!);
    });
    refill(this.ste, s.ste);
    this.cd.clear();
    for (const [sid, of] of s.cd) this.cd.set(sid, new Map(of));
    refill(this.l1std, s.l1std);
    refill(this.l1cd, s.l1cd);
    this.nextUid = s.nextUid;
    this.pendingCount = 0;
  }
}

function refill<K, V>(map: Map<K, V>, entries: readonly [K, V][]): void {
  map.clear();
  for (const [k, v] of entries) map.set(k, v);
}

/** Log2 of what one table of a level translates. */
function tableShift(level: number, granule: number): number {
  return granule + (4 - level) * (granule - 3);
}

const cacheScene: Readonly<Record<string, keyof HardwareIds>> = {
  IOTLB: 'iotlb',
  'S1 walk': 's1walk',
  'S2 TLB': 's2tlb',
  'S2 walk': 's2walk',
};

const oneUnit = hardwareIds();

/** Scene object that shows a translation cache of the unit with those ids. */
export function sceneOf(c: TranslationCache, ids: HardwareIds = oneUnit): string {
  return ids[cacheScene[c.name]!];
}
