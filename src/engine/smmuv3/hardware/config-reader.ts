import type { Memory } from '../../memory/index.ts';
import {
  ACCESS,
  ADDR_SIZE,
  EABT,
  FOR_CD,
  FOR_TABLE,
  OK,
  PERMISSION,
  READ,
  type ReadVisitor,
  type StageConfig,
  TRANSLATION,
  type UpdateVisitor,
  Vmsav8Walker,
} from '../../pagetable/vmsav8.ts';
import { type ReadStep, stageOf, type Trace } from '../../trace/index.ts';
import { configCells } from './cache-text.ts';
import { type L1Entry, l1cdKey, type SmmuCaches } from './caches.ts';
import { type CdConfig, decodeCd, decodeSte, type SteConfig } from './config.ts';
import type { SmmuFeatures } from './features.ts';
import { hardwareIds } from './ids.ts';
import { type RecordName, readEvent, recordEvent, stepOf, updateEvent } from './read-events.ts';
import { CR0, type RegisterFile } from './registers.ts';
import { locateSte, type SteLocation, type StreamTable, steOfL1, streamTableGeometry } from './stream-table.ts';
import { firstStage, levelOneMeans, type StagesInUse, secondStage, stagesOf } from './walk-stages.ts';

/** Kinds of request. */
export const UNTRANSLATED = 0;
export const ATS_REQUEST = 1;
export const TRANSLATED = 2;

/** Outcomes of a request. `FAULTED` has an event, `ABORTED` none. */
export const DONE = 0;
export const FAULTED = 1;
export const ABORTED = 2;

/** Event numbers. Source: Arm IHI 0070, 7.3. */
export const EVENT = {
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
} as const;

export const walkEvents: readonly number[] = [];
(walkEvents as number[])[TRANSLATION] = EVENT.F_TRANSLATION;
(walkEvents as number[])[ADDR_SIZE] = EVENT.F_ADDR_SIZE;
(walkEvents as number[])[ACCESS] = EVENT.F_ACCESS;
(walkEvents as number[])[PERMISSION] = EVENT.F_PERMISSION;
(walkEvents as number[])[EABT] = EVENT.F_WALK_EABT;

/**
 * What stands before a translation: the registers that matter, the look-up of STE and CD through the configuration caches
 * or memory, and the fields in which a fault is described.
 * Source: Arm IHI 0070, 3.3.1, 3.3.2, 5.1 to 5.4.
 */
export class ConfigReader {
  readonly walker: Vmsav8Walker;
  /** Sees the page-table reads where no trace does. */
  observer: ReadVisitor | null = null;
  protected readonly memory: Memory;
  protected readonly regs: RegisterFile;
  readonly features: SmmuFeatures;
  readonly caches: SmmuCaches | null;
  protected readonly trace: Trace | null;

  // Registers as numbers, renewed by `registersChanged`.
  protected enabled = false;
  protected atsChk = false;
  protected gbpaAbort = false;
  protected e2h = false;
  protected table: StreamTable;
  private readonly addressLimit: number;
  /** Scene id of the unit. */
  private readonly place: string;
  /** Whether 64 KiB descriptors carry 52-bit addresses. */
  private readonly wide: boolean;
  /** Log2 granule of the stage-1 tables under way, for whoever listens. */
  protected s1Granule = 12;
  /** Stage-1 tables under way, and the record that stage 2 is asked for; for whoever listens. */
  protected first: StageConfig | null = null;
  private record: 'CD' | 'L1CD' = 'CD';
  /** Record of the configuration that could not be read. */
  protected missing: RecordName | null = null;

  // Result.
  status = DONE;
  event = 0;
  outHi = 0;
  outLo = 0;
  /** Intermediate address; same as the input without stage 1. */
  ipaHi = 0;
  ipaLo = 0;
  /** READ and WRITE that an ATS completion grants (both stages). */
  granted = 0;
  leafShift = 12;
  /** S1_CLEAN and S2_CLEAN of the translation: a write through it would first have to mark a descriptor dirty. */
  clean = 0;
  /** 0 walk, 1 IOTLB, 2 stage-2 TLB alone, 3 no translation. */
  answeredBy = 0;
  reads = 0;
  /** Of an event. */
  faultStage = 1;
  faultClass = 2;
  faultIpaHi = 0;
  faultIpaLo = 0;
  fetchAddress = 0;
  /** The access as the STE's overrides leave it, which is how events describe it. */
  need = 0;
  priv = false;
  /** The fault is that of a descriptor's update: the table was to be written (TTRnW = 0). */
  tableWrite = false;
  /** False when the CD or STE says that the fault is not recorded. */
  recorded = true;
  ssidValid = false;
  /** The configuration that was used, null when it was not reached. */
  ste: SteConfig | null = null;
  cd: CdConfig | null = null;
  protected fetched = 0;

  constructor(
    memory: Memory,
    regs: RegisterFile,
    features: SmmuFeatures,
    caches: SmmuCaches | null,
    trace: Trace | null,
    ids = hardwareIds(),
  ) {
    this.memory = memory;
    this.regs = regs;
    this.features = features;
    this.caches = caches;
    this.trace = trace;
    this.place = ids.smmu;
    this.wide = features.oas >= 52;
    this.walker = new Vmsav8Walker(memory);
    // What caches nothing is a look at what would be, and changes nothing.
    this.walker.updates = caches !== null;
    this.walker.contiguous = caches !== null && features.contiguous;
    this.addressLimit = 2 ** features.oas;
    this.table = this.streamTable();
    this.registersChanged();
    if (caches !== null) caches.inUse = () => this.inUse();
  }

  private inUse(): StagesInUse {
    const { ste, cd, first, record, table } = this;
    return { ste, cd, first, record, twoLevel: table.twoLevel };
  }

  /** Of a request that has faulted before an entry could be read: which one. */
  get unread(): ReadStep | undefined {
    if (this.status !== FAULTED || this.trace?.listener === null) return undefined;
    if (this.missing !== null) return { what: this.missing, level: -1, s1Level: -1 };
    const w = this.walker;
    if (!w.faultUnread || this.event < EVENT.F_WALK_EABT) return undefined;
    const step = stepOf(w.faultStage, w.faultLevel, w.faultFor, w.faultTable, this.record);
    return { ...step, ...stageOf(step, stagesOf(this.inUse())) };
  }

  private streamTable(): StreamTable {
    const { regs, features } = this;
    const cfg = regs.get('STRTAB_BASE_CFG');
    return streamTableGeometry(regs.get('STRTAB_BASE'), cfg, features.sidBits, features.twoLevelStreamTable);
  }

  registersChanged(): void {
    const cr0 = this.regs.num('CR0');
    this.enabled = (cr0 & CR0.SMMUEN) !== 0;
    this.atsChk = (cr0 & CR0.ATSCHK) !== 0;
    this.gbpaAbort = (this.regs.num('GBPA') & (1 << 20)) !== 0;
    this.e2h = this.features.hyp && (this.regs.num('CR2') & 1) !== 0;
    this.table = this.streamTable();
  }

  protected fault(event: number): number {
    this.event = event;
    return FAULTED;
  }

  protected walkFault(event: number, stage: number, purpose: number, ipaHi: number, ipaLo: number): number {
    this.event = event;
    this.faultStage = stage;
    this.faultClass = purpose === FOR_CD ? 0 : purpose === FOR_TABLE ? 1 : 2;
    this.faultIpaHi = ipaHi;
    this.faultIpaLo = ipaLo;
    this.tableWrite = purpose === FOR_TABLE && this.walker.faultWrite;
    if (event === EVENT.F_WALK_EABT) {
      this.fetchAddress = (ipaHi >>> 0) * 4294967296 + (ipaLo >>> 0);
      this.recorded = true;
    }
    return FAULTED;
  }

  protected fetchFault(event: number, address: number): null {
    this.event = event;
    this.fetchAddress = address;
    return null;
  }

  /** STE of a StreamID, from the configuration cache or memory. Null: `event` is set. */
  protected findSte(sid: number): SteConfig | null {
    const hit = this.caches?.ste.get(sid);
    if (hit !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'STE', hit);
      return hit;
    }
    const at = this.steAddress(sid);
    if (at < 0) {
      if (this.event === EVENT.F_STE_FETCH) this.missing ??= 'STE';
      return null;
    }
    this.fetched++;
    const words = this.readRecord(at);
    const e = decodeSte(words, sid, this.caches?.newUid() ?? 0, at, this.features);
    if (this.trace?.listener)
      this.traceRead('STE', at, words, `STE ${sid.toString(16)}`, { means: configCells('STE', e)[2]! });
    this.caches?.addSte(e);
    return e;
  }

  protected steAddress(sid: number): number {
    const g = this.table;
    const at = g.twoLevel && sid < 2 ** g.log2Size ? this.steThroughL1(sid) : locateSte(this.memory, g, sid);
    if ('error' in at) {
      this.fetchFault(EVENT[at.error], at.address);
      return -1;
    }
    if (at.address < this.addressLimit) return at.address;
    this.fetchFault(EVENT.F_STE_FETCH, at.address);
    return -1;
  }

  /** The STE's place by way of the level-1 descriptor, cached or read. */
  private steThroughL1(sid: number): SteLocation {
    const g = this.table;
    const index = Math.floor(sid / 2 ** g.split);
    const cached = this.caches?.l1std.get(index);
    if (cached !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'L1STD', cached);
      return steOfL1(this.memory, g.split, sid, cached.address, cached.word);
    }
    const l1Address = g.base + index * 8;
    if (!this.memory.contains(l1Address) || l1Address >= this.addressLimit) {
      this.missing = 'L1STD';
      return { error: 'F_STE_FETCH', address: l1Address };
    }
    const word = this.memory.readWord(l1Address);
    this.fetched++;
    if (this.trace?.listener)
      this.traceRead('L1STD', l1Address, word, `L1STD[${index.toString(16)}]`, {
        means: levelOneMeans('L1STD', word),
      });
    const at = steOfL1(this.memory, g.split, sid, l1Address, word);
    // A descriptor without a table is never cached: Linux makes tables later without an invalidation.
    if (this.caches !== null && !('error' in at))
      this.caches.addL1('L1STD', { key: index, uid: this.caches.newUid(), sid, address: l1Address, word });
    return at;
  }

  /** CD of an SSID. Null: `event` and the fault's fields are set. */
  protected findCd(ste: SteConfig, ssid: number): CdConfig | null {
    this.ste = ste;
    const hit = this.caches?.cd.get(ste.sid)?.get(ssid);
    if (hit !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'CD', hit);
      return hit;
    }
    let address = ste.contextPtr;
    if (ste.s1Fmt === 0) address += ssid * 64;
    else {
      const l2bits = ste.s1Fmt === 1 ? 6 : 10;
      const table = this.l1cd(ste, Math.floor(ssid / 2 ** l2bits));
      if (table < 0) return null;
      address = table + (ssid % 2 ** l2bits) * 64;
    }
    this.record = 'CD';
    const pa = this.fetchable(ste, address);
    if (pa < 0) return null;
    const words = this.readRecord(pa);
    this.fetched++;
    const uid = this.caches?.newUid() ?? 0;
    const e = decodeCd(words, ste.sid, ssid, uid, pa, this.features, ste.s1StallD, ste.el2 && !this.e2h);
    if (this.trace?.listener)
      this.traceRead('CD', pa, words, `CD ${ssid}`, {
        means: configCells('CD', e)[2]!,
        ...(ste.s2 !== null && { input: address }),
      });
    this.caches?.addCd(e);
    return e;
  }

  /** Address of a level-2 CD table, or -1 with the fault set. */
  protected l1cd(ste: SteConfig, index: number): number {
    const key = l1cdKey(ste.sid, index);
    let e: L1Entry | undefined = this.caches?.l1cd.get(key);
    if (e === undefined) {
      const address = ste.contextPtr + index * 8;
      this.record = 'L1CD';
      const pa = this.fetchable(ste, address);
      if (pa < 0) return -1;
      const word = this.memory.readWord(pa);
      this.fetched++;
      if (this.trace?.listener)
        this.traceRead('L1CD', pa, word, `L1CD[${index}]`, {
          means: levelOneMeans('L1CD', word),
          ...(ste.s2 !== null && { input: address }),
        });
      e = { key, uid: this.caches?.newUid() ?? 0, sid: ste.sid, address: pa, word };
      this.caches?.addL1('L1CD', e);
    } else if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'L1CD', e);
    const table = Number(e.word & (ste.s1Fmt === 1 ? 0xffffffffff000n : 0xfffffffff0000n));
    // Out of range: with stage 2 that is a fault of its own. Source: IHI 0070 3.4.3, 7.3.9.
    if ((e.word & 1n) === 0n || (ste.s2 === null && table >= this.addressLimit)) {
      this.event = EVENT.C_BAD_SUBSTREAMID;
      return -1;
    }
    return table;
  }

  /** Physical address of a CD or L1CD: through stage 2 when nested. -1 with the fault set. */
  protected fetchable(ste: SteConfig, address: number): number {
    let pa = address;
    if (ste.s2 !== null) {
      const w = this.walker;
      const hi = Math.floor(address / 4294967296);
      this.caches?.begin(ste.vmid, 0, ste.sid, -1, ste.s2.granule, ste.s2.granule);
      const r = w.stage2(ste.s2, hi, address | 0, READ, FOR_CD, -1);
      if (r !== OK) {
        this.recorded = ste.s2Record;
        this.walkFault(walkEvents[r]!, 2, FOR_CD, w.faultHi, w.faultLo);
        return -1;
      }
      pa = (w.outHi >>> 0) * 4294967296 + (w.outLo >>> 0);
    }
    if (!this.memory.contains(pa, 8)) {
      this.missing = this.record;
      this.fetchFault(EVENT.F_CD_FETCH, pa);
      return -1;
    }
    return pa;
  }

  protected readRecord(address: number): Uint32Array {
    const words = new Uint32Array(16);
    for (let i = 0; i < 16; i++) words[i] = this.memory.read32(address + 4 * i);
    return words;
  }

  private traceRead(
    what: RecordName,
    address: number,
    halves: Uint32Array | bigint,
    text: string,
    more: Pick<ReadStep, 'means' | 'input'>,
  ): void {
    this.trace!.listener!(recordEvent(this.place, what, address, halves, text, more));
  }

  /** Reports a page-table read to whoever listens. Bound once, so that setting it allocates nothing. */
  protected readonly visit: ReadVisitor = (stage, level, hi, lo, valueHi, valueLo, purpose, s1Level, inHi, inLo) => {
    const granule = this.granuleOf(stage);
    const second = secondStage(this.ste);
    this.trace!.listener!(
      readEvent(
        this.place,
        { stage, level, hi, lo, valueHi, valueLo, granule, wide: this.wide },
        stepOf(stage, level, purpose, s1Level, this.record),
        { first: purpose === FOR_TABLE ? firstStage(this.inUse()) : undefined, second },
        second && (inHi >>> 0) * 4294967296 + (inLo >>> 0),
      ),
    );
  };

  /** Reports a descriptor that hardware has updated. */
  protected readonly noteUpdate: UpdateVisitor = (stage, level, hi, lo, valueHi, valueLo, changed) => {
    const granule = this.granuleOf(stage);
    this.trace!.listener!(
      updateEvent(this.place, { stage, level, hi, lo, valueHi, valueLo, granule, wide: this.wide }, changed),
    );
  };

  private granuleOf(stage: 1 | 2): number {
    return stage === 1 ? this.s1Granule : (this.ste?.s2?.granule ?? 12);
  }

  // For the comparison of cached entries with memory; see audit.ts.

  /** STE of a stream as memory has it; null when there is none. Only for a translator without caches. */
  readSte(sid: number): SteConfig | null {
    return this.findSte(sid);
  }

  readCd(ste: SteConfig, ssid: number): CdConfig | null {
    return this.findCd(ste, ssid);
  }

  /** Where a fresh look-up finds a level-1 descriptor, -1 where it needs none or cannot reach it. */
  l1stdAddress(index: number): number {
    const at = this.table.base + index * 8;
    return this.enabled && this.table.twoLevel && this.memory.contains(at) ? at : -1;
  }

  /** Physical address of what lies in a CD table, -1 where stage 2 or memory has nothing there. */
  cdAddress(ste: SteConfig, address: number): number {
    return this.fetchable(ste, address);
  }

  l1cdAddress(ste: SteConfig, index: number): number {
    if (ste.bad || !ste.s1 || ste.s1Fmt === 0) return -1;
    return this.fetchable(ste, ste.contextPtr + index * 8);
  }
}
