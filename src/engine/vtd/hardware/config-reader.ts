import type { Memory } from '../../memory/index.ts';
import { beyond, type ReadVisitor, type UpdateVisitor, X86Walker } from '../../pagetable/x86-64.ts';
import { type ReadStep, stageOf, type Trace } from '../../trace/index.ts';
import type { VtdCaches } from './caches.ts';
import { type ContextEntry, decodeContext, decodeLegacyContext, decodePasidEntry, type PasidEntry } from './config.ts';
import type { VtdFeatures } from './features.ts';
import { hardwareIds } from './ids.ts';
import { type RecordName, readEvent, recordEvent, stepOf, updateEvent } from './read-events.ts';
import { REASON } from './reasons.ts';
import { recordMeans, stagesOf } from './walk-stages.ts';

/** Outcomes of a request. `FAULTED` has a reason; `ABORTED` none: the device gets an unsupported request. */
export const DONE = 0;
export const FAULTED = 1;
export const ABORTED = 2;
/** A write in the form of an interrupt: it is not translated. */
export const INTERRUPT = 3;

/** What of the registers decides a translation. */
export interface RemappingState {
  /** RTADDR_REG as GCMD_REG.SRTP has latched it: table in 63:12, TTM in 11:10. */
  readonly rootAddress: bigint;
  /** GSTS_REG.TES */
  readonly enabled: boolean;
}

/** Values of RTADDR_REG.TTM. */
const LEGACY = 0;
const SCALABLE = 1;
const ABORT = 3;

/**
 * What stands before a translation: the registers that matter, the look-up of context entry and PASID entry through the
 * caches or memory, and the fields in which a fault is described.
 * Source: VT-d specification, 3.4 (domain selection), 7.1.3 (fault reasons).
 */
export class ConfigReader {
  readonly walker: X86Walker;
  /** Sees the paging reads where no trace does. */
  observer: ReadVisitor | null = null;
  protected readonly memory: Memory;
  private readonly state: RemappingState;
  readonly features: VtdFeatures;
  readonly caches: VtdCaches | null;
  protected readonly trace: Trace | null;
  /** Scene id of the unit. */
  private readonly place: string;

  // Registers as numbers, renewed by `registersChanged`.
  protected enabled = false;
  protected legacy = true;
  private ttm = LEGACY;
  private root = 0;
  private rootValid = true;

  // Result.
  status = DONE;
  /** Fault reason. */
  event = 0;
  /** False where FPD keeps the fault from being recorded. */
  recorded = true;
  outHi = 0;
  outLo = 0;
  /** Guest address between the stages; same as the input without a first stage. */
  gpaHi = 0;
  gpaLo = 0;
  /** READ, WRITE and EXEC that both stages grant. */
  granted = 0;
  leafShift = 12;
  /** FS_CLEAN and SS_CLEAN of the translation: a write through it would first have to mark an entry dirty. */
  clean = 0;
  /** The access snoops, whatever it says itself. */
  snoop = false;
  /** 0 walk, 1 IOTLB, 2 nothing translated. */
  answeredBy = 2;
  reads = 0;
  /** The access as it counts: a supervisor request. */
  priv = false;
  /** PASID whose entry was used; that of the RID for requests without one. */
  usedPasid = 0;
  /** The configuration that was used, null when it was not reached. */
  context: ContextEntry | null = null;
  pasidEntry: PasidEntry | null = null;
  protected fetched = 0;
  /** Record of the configuration that could not be read. */
  protected missing: RecordName | null = null;
  /** The fault is not that of a record or of an entry. */
  protected beside = false;

  constructor(
    memory: Memory,
    state: RemappingState,
    features: VtdFeatures,
    caches: VtdCaches | null,
    trace: Trace | null,
    ids = hardwareIds(),
  ) {
    this.memory = memory;
    this.state = state;
    this.features = features;
    this.caches = caches;
    this.trace = trace;
    this.place = ids.unit;
    this.walker = new X86Walker(memory);
    // What caches nothing is a look at what would be, and changes nothing.
    this.walker.updates = caches !== null;
    this.registersChanged();
    if (caches !== null) caches.inUse = () => ({ context: this.context, entry: this.pasidEntry });
  }

  /** Of a request that has faulted before an entry could be read: which one; of one that no entry is to blame for: none at all. */
  get unread(): ReadStep | undefined {
    if (this.status !== FAULTED || this.trace?.listener === null) return undefined;
    if (this.missing !== null) return { what: this.missing, level: -1, s1Level: -1 };
    if (this.beside) return { what: 'S1', level: -1, s1Level: -1 };
    const w = this.walker;
    if (!w.faultUnread) return undefined;
    const stages = stagesOf({ context: this.context, entry: this.pasidEntry });
    const step = stepOf(w.faultStage, w.faultLevel, w.faultFor, w.faultTable);
    return { ...step, ...stageOf(step, stages) };
  }

  registersChanged(): void {
    const { rootAddress, enabled } = this.state;
    const { features } = this;
    this.enabled = enabled;
    this.ttm = Number((rootAddress >> 10n) & 3n);
    this.legacy = this.ttm === LEGACY;
    this.root = Number(rootAddress & ~0xfffn);
    this.rootValid =
      this.root < 2 ** features.haw &&
      (this.legacy || (this.ttm === SCALABLE && features.smts) || (this.ttm === ABORT && features.adms));
  }

  /** @param fpd FPD of the entries that were reached, which silences qualified faults */
  protected fault(reason: number, fpd = false): number {
    this.event = reason;
    this.recorded = !fpd;
    return FAULTED;
  }

  private noEntry(reason: number, fpd = false): null {
    this.fault(reason, fpd);
    return null;
  }

  /**
   * Whether RTADDR_REG lets the request go on. Source: VT-d specification, 11.4.5, 7.1.3 (RTA.1 to RTA.4).
   * @returns false: `event` is set
   */
  protected rootAllows(hasPasid: boolean): boolean {
    if (!this.rootValid) this.fault(this.legacy ? REASON.ROOT_READ : REASON.ROOT_TABLE);
    else if (this.ttm === ABORT) this.fault(REASON.ABORT_MODE);
    else if (this.legacy && hasPasid) this.fault(REASON.LEGACY_PASID);
    else return true;
    return false;
  }

  /**
   * Context entry of a requester, from the context cache or memory. Null: `event` is set. Only with caching mode is an entry
   * kept that is not present or illegal. Source: VT-d specification, 6.1 (caching mode).
   */
  protected findContext(rid: number): ContextEntry | null {
    const hit = this.caches?.context.get(rid);
    if (hit !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'Context', hit);
      return hit.fault === 0 ? hit : this.noContext(hit);
    }
    const at = this.contextAddress(rid);
    if (at < 0) return null;
    const halves = this.legacy ? 4 : 8;
    if (!this.memory.contains(at, halves * 4)) {
      this.missing = 'Context';
      return this.noEntry(this.legacy ? REASON.CONTEXT_READ : REASON.SM_CONTEXT_READ);
    }
    const words = this.read('Context', at, halves, rid);
    const decode = this.legacy ? decodeLegacyContext : decodeContext;
    const e = decode(words, rid, this.caches?.newUid() ?? 0, at, this.features);
    if (e.fault === 0 || this.features.cm) this.caches?.addContext(e);
    return e.fault === 0 ? e : this.noContext(e);
  }

  private noContext(e: ContextEntry): null {
    return this.noEntry(e.fault, e.fpd);
  }

  /** Address of a context entry, by way of the root entry; -1: `event` is set. */
  private contextAddress(rid: number): number {
    const { legacy, features } = this;
    const at = this.root + 16 * ((rid >>> 8) & 0xff);
    if (!this.memory.contains(at, 16)) {
      this.missing = 'Root';
      this.fault(legacy ? REASON.ROOT_READ : REASON.SM_ROOT_READ);
      return -1;
    }
    const w = this.read('Root', at, 4, rid);
    const devfn = rid & 0xff;
    const half = !legacy && devfn >= 0x80 ? 2 : 0;
    const low = w[half]!;
    const high = w[half + 1]!;
    if ((low & 1) === 0) this.fault(legacy ? REASON.ROOT_ABSENT : REASON.SM_ROOT_ABSENT);
    else if ((low & 0xffe) !== 0 || beyond(high | 0, 0, features.haw) || (legacy && (w[2]! | w[3]!) !== 0))
      this.fault(legacy ? REASON.ROOT_RESERVED : REASON.SM_ROOT_RESERVED);
    else {
      const table = high * 4294967296 + ((low & -4096) >>> 0);
      return table + (legacy ? devfn * 16 : (devfn & 0x7f) * 32);
    }
    return -1;
  }

  /** PASID entry of a requester whose context entry is good. Null: `event` is set. */
  protected findPasid(c: ContextEntry, pasid: number): PasidEntry | null {
    const hit = this.caches?.pasid.get(c.rid)?.get(pasid);
    if (hit !== undefined) {
      if (this.trace?.listener) this.caches!.configEvent('cache.hit', 'PASID', hit);
      return hit.fault === 0 ? hit : this.noEntry(hit.fault, c.fpd || hit.fpd);
    }
    const directoryAddress = c.directory + Math.floor(pasid / 64) * 8;
    if (!this.memory.contains(directoryAddress, 8)) {
      this.missing = 'PASIDDir';
      return this.noEntry(REASON.DIRECTORY_READ);
    }
    const d = this.read('PASIDDir', directoryAddress, 2, pasid);
    const low = d[0]!;
    const high = d[1]!;
    const silent = c.fpd || (low & 2) !== 0;
    if ((low & 1) === 0) return this.noEntry(REASON.DIRECTORY_ABSENT, silent);
    if ((low & 0xffc) !== 0 || beyond(high | 0, 0, this.features.haw))
      return this.noEntry(REASON.DIRECTORY_RESERVED, silent);
    const address = high * 4294967296 + ((low & -4096) >>> 0) + (pasid & 63) * 64;
    if (!this.memory.contains(address, 64)) {
      this.missing = 'PASID';
      return this.noEntry(REASON.PASID_READ);
    }
    const words = this.read('PASID', address, 16, pasid);
    const directory = (BigInt(high) << 32n) | BigInt(low);
    const uid = this.caches?.newUid() ?? 0;
    const e = decodePasidEntry(words, { rid: c.rid, pasid, uid, address, directory, directoryAddress }, this.features);
    if (e.fault === 0 || this.features.cm) this.caches?.addPasid(e);
    return e.fault === 0 ? e : this.noEntry(e.fault, c.fpd || e.fpd);
  }

  private read(what: RecordName, address: number, halves: number, key: number): Uint32Array {
    const words = new Uint32Array(halves);
    for (let i = 0; i < halves; i++) words[i] = this.memory.read32(address + 4 * i);
    this.fetched++;
    if (this.trace?.listener) {
      const layout = layouts[what] + (this.legacy && (what === 'Root' || what === 'Context') ? '.legacy' : '');
      const index = what === 'Root' ? `bus ${(key >>> 8).toString(16)}` : key.toString(16);
      const means = recordMeans(what, words, this.legacy, key, this.features);
      const text = `${recordNames[what]} ${index}`;
      this.trace.listener(recordEvent(this.place, what, address, words, layout, text, means));
    }
    return words;
  }

  /** Reports a paging read to whoever listens. Bound once, so that setting it allocates nothing. */
  protected readonly visit: ReadVisitor = (stage, level, hi, lo, valueHi, valueLo, purpose, fsLevel, inHi, inLo) => {
    const stages = stagesOf({ context: this.context, entry: this.pasidEntry });
    const which = stepOf(stage, level, purpose, fsLevel);
    const input = (inHi >>> 0) * 4294967296 + (inLo >>> 0);
    this.trace!.listener!(readEvent(this.place, { stage, level, hi, lo, valueHi, valueLo }, which, stages, input));
  };

  /** Reports an entry that hardware has updated. */
  protected readonly noteUpdate: UpdateVisitor = (stage, level, hi, lo, valueHi, valueLo, changed) => {
    this.trace!.listener!(updateEvent(this.place, { stage, level, hi, lo, valueHi, valueLo }, changed));
  };

  // For the comparison of cached entries with memory; see audit.ts.

  /** Context entry as memory has it; null when a request would fault. Only for a reader without caches. */
  readContext(rid: number): ContextEntry | null {
    return this.rootAllows(false) ? this.findContext(rid) : null;
  }

  readPasid(c: ContextEntry, pasid: number): PasidEntry | null {
    return pasid < c.pasidLimit ? this.findPasid(c, pasid) : null;
  }
}

const layouts: Readonly<Record<RecordName, string>> = {
  Root: 'vtd.root',
  Context: 'vtd.context',
  PASIDDir: 'vtd.pasiddir',
  PASID: 'vtd.pasid',
};

const recordNames: Readonly<Record<RecordName, string>> = {
  Root: 'root entry',
  Context: 'context entry',
  PASIDDir: 'PASID directory entry of',
  PASID: 'PASID entry',
};
