import {
  ANY,
  ATTR,
  alignHi,
  alignLo,
  type EntryData,
  IPA_HI,
  IPA_LO,
  LEVEL,
  OUT_HI,
  OUT_LO,
  TranslationCache,
} from '../../cache/index.ts';
import type { PagingCaches, X86Walker } from '../../pagetable/x86-64.ts';
import {
  type Covered,
  coveredSecond,
  coveredTables,
  coveredTranslation,
  levelsBefore,
  type Trace,
} from '../../trace/index.ts';
import { translationCells } from './cache-text.ts';
import { ConfigCaches } from './config-caches.ts';
import { type HardwareIds, hardwareIds } from './ids.ts';
import { ABSENT, FIRST, PGTT_SHIFT, SECOND } from './iotlb-tags.ts';
import { stepOf } from './read-events.ts';
import { stagesOf } from './walk-stages.ts';

/** What renews an entry that did not grant enough, in the words of the trace. */
const BY_WALK = 'walked again';

/** Places of pending fills. */
const SS_TABLE = 0;
const FS_TABLE = 1;

/** All caches of one VT-d unit: context and PASID cache, and the translation caches with what a walk asks of them. */
export class VtdCaches extends ConfigCaches implements PagingCaches {
  /** Tagged by domain id and PASID, as are the paging-structure caches. */
  readonly iotlb: TranslationCache;
  /** First-stage tables by input address, already translated by the second stage. */
  readonly fswalk = new TranslationCache('FS walk');
  /** Second-stage tables by the address that the second stage translates. */
  readonly sswalk = new TranslationCache('SS walk');

  /** Context of the walk that is under way. */
  private did = 0;
  private tag = 0;
  private pgtt = 0;
  /** What the second stage is asked for just now, as a read has it. */
  private purpose = 0;
  private fsLevel = -1;
  private readonly data: EntryData = { attr: 0, level: 0, granule: 0, sid: 0, ssid: 0, ipaLo: 0, ipaHi: 0 };
  private readonly walks: readonly TranslationCache[];

  constructor(trace: Trace, iotlbEntries = 0, ids = hardwareIds()) {
    super(trace, ids);
    this.iotlb = new TranslationCache('IOTLB', iotlbEntries);
    this.walks = [this.sswalk, this.fswalk];
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
    const stages = stagesOf(this.inUse());
    const level = c.e[i + LEVEL]!;
    if (c === this.iotlb) return coveredTranslation(stages, level);
    if (c === this.fswalk) return coveredTables(stages, level);
    const { second } = stages;
    if (!second) return undefined;
    const step = stepOf(2, level, this.purpose, this.fsLevel);
    return coveredSecond(stages, step, levelsBefore(second, level));
  }

  override translation(): readonly TranslationCache[] {
    return [this.iotlb, this.fswalk, this.sswalk];
  }

  /** Starts a walk for a request of `rid` and `pasid` (0 in legacy mode) whose entry says `did` and `pgtt`. */
  begin(did: number, pasid: number, rid: number, pgtt: number): void {
    this.did = did;
    this.tag = pasid;
    this.pgtt = pgtt;
    this.data.sid = rid;
    this.data.ssid = pasid;
  }

  /**
   * Adds the translation that the walk has found: the leaf that both stages have in common.
   * @param perms permissions and marks as the walker has them
   */
  fillLeaf(
    hi: number,
    lo: number,
    shift: number,
    outHi: number,
    outLo: number,
    gpaHi: number,
    gpaLo: number,
    perms: number,
    level: number,
  ): void {
    const d = this.data;
    d.attr = perms | (this.pgtt << PGTT_SHIFT);
    d.level = level;
    d.granule = this.pgtt === 1 || this.pgtt === 3 ? FIRST : SECOND;
    d.ipaHi = alignHi(gpaHi, shift);
    d.ipaLo = alignLo(gpaLo, shift);
    const c = this.iotlb;
    this.filled(c, c.insert(this.did, this.tag, hi, lo, shift, shift, alignHi(outHi, shift), alignLo(outLo, shift), d));
  }

  /** Adds that the second stage has nothing at a page, which only caching mode allows. */
  fillAbsent(hi: number, lo: number): void {
    const d = this.data;
    d.attr = ABSENT | (this.pgtt << PGTT_SHIFT);
    d.level = 1;
    d.granule = SECOND;
    d.ipaHi = hi;
    d.ipaLo = lo & -4096;
    this.filled(this.iotlb, this.iotlb.insert(this.did, this.tag, hi, lo, 12, 12, 0, 0, d));
  }

  /** Ends a request: what it has read on its way goes into the caches, unless it has ended in a fault. */
  finish(done: boolean): void {
    if (done) this.pending.commit(this.walks, this.data, this);
    else this.pending.count = 0;
    this.by = '';
  }

  /** The entry that is filled next replaces one of the same page. */
  renews(): void {
    this.by = BY_WALK;
  }

  // What the walker asks.

  secondTable(w: X86Walker, hi: number, lo: number, purpose: number, fsLevel: number): number {
    this.purpose = purpose;
    this.fsLevel = fsLevel;
    return this.table(this.sswalk, w, hi, lo);
  }

  firstTable(w: X86Walker, hi: number, lo: number): number {
    return this.table(this.fswalk, w, hi, lo);
  }

  private table(c: TranslationCache, w: X86Walker, hi: number, lo: number): number {
    const i = c.lookup(this.did, this.tag, hi, lo);
    if (i < 0) return -1;
    w.tableHi = c.e[i + OUT_HI]!;
    w.tableLo = c.e[i + OUT_LO]!;
    w.tableGpaHi = c.e[i + IPA_HI]!;
    w.tableGpaLo = c.e[i + IPA_LO]!;
    w.perms = c.e[i + ATTR]!;
    this.hit(c, i);
    return c.e[i + LEVEL]!;
  }

  fillSecondTable(w: X86Walker, hi: number, lo: number, level: number): void {
    this.fillTable(SS_TABLE, w, hi, lo, level, w.tableHi, w.tableLo);
  }

  fillFirstTable(w: X86Walker, hi: number, lo: number, level: number): void {
    this.fillTable(FS_TABLE, w, hi, lo, level, w.tableGpaHi, w.tableGpaLo);
  }

  private fillTable(
    place: number,
    w: X86Walker,
    hi: number,
    lo: number,
    level: number,
    gpaHi: number,
    gpaLo: number,
  ): void {
    const { did, tag } = this;
    const { tableHi, tableLo, perms } = w;
    // One table translates 9 bits more than its level's entries do.
    this.pending.push(place, did, tag, hi, lo, 12 + 9 * level, level, 0, tableHi, tableLo, perms, gpaHi, gpaLo);
  }

  // What IOTLB_INV removes. Source: VT-d specification, 6.5.2.3, table 21.

  iotlbGlobal(): void {
    for (const c of this.translation()) c.removeAllBut(-1);
  }

  iotlbDomain(did: number): void {
    for (const c of this.translation()) c.removeContext(did, ANY);
  }

  /**
   * Pages of a domain: `am` is the log2 of how many. Entries of the first stage go whatever their address: a second-stage
   * address says nothing about what leads to it. So do the first stage's tables, whose places the second stage decides;
   * those of the second stage stay where only leaves have changed (`ih`).
   */
  iotlbPages(did: number, hi: number, lo: number, am: number, ih: boolean): void {
    const bits = Math.min(am + 12, 64);
    const startHi = firstHi(hi, bits);
    const startLo = alignLo(lo, bits);
    this.iotlb.removeRange(did, ANY, startHi, startLo, 2 ** bits, -1, SECOND);
    this.iotlb.removeRange(did, ANY, 0, 0, 2 ** 64, -1, FIRST);
    this.fswalk.removeContext(did, ANY);
    if (!ih) this.sswalk.removeRange(did, ANY, startHi, startLo, 2 ** bits, -1, -1);
  }

  // What P_IOTLB_INV removes. Source: VT-d specification, 6.5.2.4.

  /** Everything of one PASID but second-stage tables. Source: table 24. */
  pasidIotlb(did: number, pasid: number): void {
    this.iotlb.removeContext(did, pasid);
    this.fswalk.removeContext(did, pasid);
  }

  /** Pages of one PASID. Entries of the second stage alone stay, and with `ih` the first stage's tables. */
  pasidIotlbPages(did: number, pasid: number, hi: number, lo: number, am: number, ih: boolean): void {
    const bits = Math.min(am + 12, 64);
    const startHi = firstHi(hi, bits);
    const startLo = alignLo(lo, bits);
    this.iotlb.removeRange(did, pasid, startHi, startLo, 2 ** bits, -1, FIRST);
    if (!ih) this.fswalk.removeRange(did, pasid, startHi, startLo, 2 ** bits, -1, -1);
  }

  /** Empties all caches, as setting the root table pointer does where CAP.ESRTPS says so. */
  everything(): void {
    this.contextGlobal();
    this.pasidGlobal();
    this.iotlbGlobal();
  }
}

/** High half of where 2^bits bytes begin: all of the address space at zero. */
const firstHi = (hi: number, bits: number): number => (bits < 64 ? alignHi(hi, bits) : 0);

const scenes: Readonly<Record<string, keyof HardwareIds>> = {
  IOTLB: 'iotlb',
  'FS walk': 'fswalk',
  'SS walk': 'sswalk',
};

const oneUnit = hardwareIds();

/** Scene object that shows a translation cache of the unit with those ids. */
export const sceneOf = (c: TranslationCache, ids: HardwareIds = oneUnit): string => ids[scenes[c.name]!];
