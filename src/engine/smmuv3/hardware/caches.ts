import {
  ATTR,
  alignHi,
  alignLo,
  type EntryData,
  GLOBAL,
  IPA_HI,
  IPA_LO,
  LEVEL,
  OUT_HI,
  OUT_LO,
  SHIFT,
  TranslationCache,
} from '../../cache/index.ts';
import type { Vmsav8Walker, WalkCaches } from '../../pagetable/vmsav8.ts';
import {
  type Covered,
  coveredSecond,
  coveredTables,
  coveredTranslation,
  levelsBefore,
  levelsTo,
  type Trace,
} from '../../trace/index.ts';
import { translationCells } from './cache-text.ts';
import { ConfigCaches } from './config-caches.ts';
import { type HardwareIds, hardwareIds } from './ids.ts';
import { stepOf } from './read-events.ts';
import { stagesOf } from './walk-stages.ts';

export { type L1Entry, l1cdIndex, l1cdKey } from './config-caches.ts';

/** Tag `a` of translations of the EL2 stream world, which have no VMID. */
export const EL2 = 0x10000;

/** What renews an entry of a writable-clean page, in the words of the trace. */
export const BY_UPDATE = 'dirty state update';

/** Places of pending fills. */
const S2_LEAF = 0;
const S2_TABLE = 1;
const S1_TABLE = 2;

/** All caches of one SMMU: the configuration caches, and the translation caches with what a walk asks of them. */
export class SmmuCaches extends ConfigCaches implements WalkCaches {
  readonly iotlb: TranslationCache;
  /** Stage-1 walk steps: the table of a level for a VA prefix, already translated by stage 2. */
  readonly s1walk = new TranslationCache('S1 walk');
  /** Stage-2 leaves, tagged by VMID and IPA. */
  readonly s2tlb = new TranslationCache('S2 TLB');
  readonly s2walk = new TranslationCache('S2 walk');

  /** Context of the walk that is under way. */
  private vmid = 0;
  private asid = 0;
  private s2Granule = 12;
  /** What stage 2 is asked for just now, as a read has it. */
  private purpose = 0;
  private s1Level = -1;
  private readonly data: EntryData = { attr: 0, level: 0, granule: 12, sid: 0, ssid: -1, ipaLo: 0, ipaHi: 0 };
  /** By place. */
  private readonly steps: readonly TranslationCache[];

  constructor(trace: Trace, iotlbEntries = 0, ids = hardwareIds()) {
    super(trace, ids);
    this.iotlb = new TranslationCache('IOTLB', iotlbEntries);
    this.steps = [this.s2tlb, this.s2walk, this.s1walk];
    this.watch();
  }

  protected override place(c: TranslationCache): string {
    return sceneOf(c, this.ids);
  }

  protected override cells(c: TranslationCache, i: number): readonly string[] {
    return translationCells(c, i);
  }

  protected override covers(c: TranslationCache, i: number): Covered | undefined {
    if (this.inUse === null) return undefined;
    const u = this.inUse();
    const stages = stagesOf(u);
    const { second } = stages;
    const level = c.e[i + LEVEL]!;
    if (c === this.iotlb) return coveredTranslation(stages, level);
    if (c === this.s1walk) return coveredTables(stages, level);
    if (!second) return undefined;
    const step = stepOf(2, level, this.purpose, this.s1Level, u.record);
    const levels = c === this.s2tlb ? levelsTo(second, level) : levelsBefore(second, level);
    return coveredSecond(stages, step, levels);
  }

  override translation(): readonly TranslationCache[] {
    return [this.iotlb, this.s1walk, this.s2tlb, this.s2walk];
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
    this.pending.commit(this.steps, this.data, this);
    this.by = '';
  }

  /** An entry is renewed only when the request has marked the page dirty meanwhile. */
  renews(): void {
    this.by = BY_UPDATE;
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
    const first = kind === S1_TABLE;
    const b = first ? this.asid : 0;
    const granule = first ? this.data.granule : this.s2Granule;
    this.pending.push(kind, this.vmid, b, hi, lo, shift, level, granule, outHi, outLo, perms, ipaHi, ipaLo);
  }

  // What the walker asks.

  stage2Leaf(w: Vmsav8Walker, ipaHi: number, ipaLo: number, purpose: number, s1Level: number): boolean {
    this.purpose = purpose;
    this.s1Level = s1Level;
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

  stage2Table(w: Vmsav8Walker, ipaHi: number, ipaLo: number, purpose: number, s1Level: number): number {
    this.purpose = purpose;
    this.s1Level = s1Level;
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
