import {
  A,
  ATTR,
  B,
  GLOBAL,
  IN_HI,
  IN_LO,
  IPA_HI,
  IPA_LO,
  LEVEL,
  OUT_HI,
  OUT_LO,
  SHIFT,
  SID,
  SSID,
  type TranslationCache,
} from '../../cache/index.ts';
import type { Memory } from '../../memory/index.ts';
import { FOR_INPUT, OK, PRIV_SHIFT, S2_SHIFT, UNPRIV_SHIFT, type WalkCaches } from '../../pagetable/vmsav8.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import type { ConfigCacheName } from './cache-text.ts';
import { EL2, type L1Entry, type SmmuCaches } from './caches.ts';
import type { CdConfig, SteConfig } from './config.ts';
import type { SmmuFeatures } from './features.ts';
import type { RegisterFile } from './registers.ts';
import { ATS_REQUEST, DONE, Translator, UNTRANSLATED } from './translator.ts';

/** What a fresh walk says about a cached entry. */
export interface Verdict {
  /** `same`, `differs`, or `unreachable`: no stream has this tag now, so nothing can hit the entry. */
  readonly state: 'same' | 'differs' | 'unreachable';
  /** What a fresh walk gives: an address, or why it gives none. */
  readonly now: string;
  /** Physical addresses of the words that decide it. */
  readonly depends: readonly number[];
  /** The guest's own tables still say the same: stage 2 is what changed. */
  readonly stage2?: boolean;
}

const SAME: Verdict = { state: 'same', now: '', depends: [] };
const UNREACHABLE: Verdict = { state: 'unreachable', now: 'no stream has this tag', depends: [] };

const faultNames = [
  '',
  'translation fault',
  'address size fault',
  'access flag fault',
  'permission fault',
  'external abort',
];

/**
 * Compares cached entries with what memory says now, through a second translator that caches nothing and that nobody
 * listens to.
 */
export class Audit {
  private readonly fresh: Translator;
  private readonly devices: readonly PciDevice[];
  private readonly caches: SmmuCaches;
  private readonly memory: Memory;
  private depends: number[] = [];

  constructor(
    memory: Memory,
    regs: RegisterFile,
    features: SmmuFeatures,
    devices: readonly PciDevice[],
    caches: SmmuCaches,
  ) {
    this.memory = memory;
    this.fresh = new Translator(memory, regs, features, null, null);
    this.devices = devices;
    this.caches = caches;
  }

  registersChanged(): void {
    this.fresh.registersChanged();
  }

  same(c: TranslationCache, i: number): boolean {
    return this.verdict(c, i).state === 'same';
  }

  sameAtc(d: PciDevice, i: number): boolean {
    return this.atc(d, i).state === 'same';
  }

  sameConfig(name: ConfigCacheName, e: SteConfig | CdConfig | L1Entry): boolean {
    return this.config(name, e).state === 'same';
  }

  private readonly note = (_s: 1 | 2, _l: number, hi: number, lo: number): void => {
    this.depends.push((hi >>> 0) * 4294967296 + (lo >>> 0));
  };

  private begin(): Translator {
    this.depends = [];
    this.fresh.registersChanged();
    const w = this.fresh.walker;
    w.caches = null;
    w.visitor = this.note;
    return this.fresh;
  }

  /** Verdict on an entry of the IOTLB, a walk cache or the stage-2 TLB. */
  verdict(c: TranslationCache, i: number): Verdict {
    const stage2 = c === this.caches.s2tlb || c === this.caches.s2walk;
    let verdict: Verdict = UNREACHABLE;
    // The stream that filled it first, then every other: tags are shared, so any of them could hit the entry.
    const sids = [c.e[i + SID]!, ...this.devices.map((d) => d.rid)];
    for (let k = 0; k < sids.length; k++) {
      const sid = sids[k]!;
      if (k > 0 && sid === c.e[i + SID]) continue;
      const v = stage2 ? this.stage2(c, i, sid) : this.stage1(c, i, sid);
      if (v.state === 'differs') return v;
      if (v.state === 'same') verdict = v;
    }
    return verdict;
  }

  private stage2(c: TranslationCache, i: number, sid: number): Verdict {
    const t = this.begin();
    const ste = t.readSte(sid);
    if (ste === null || ste.bad || ste.s2 === null || ste.vmid !== c.e[i + A]) return UNREACHABLE;
    const seen = c === this.caches.s2walk ? new TableSeen(c.e[i + LEVEL]!, 2) : null;
    t.walker.caches = seen;
    const r = t.walker.stage2(ste.s2, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, FOR_INPUT, -1);
    t.walker.caches = null;
    return this.compare(c, i, r, seen, S2_SHIFT, 7);
  }

  private stage1(c: TranslationCache, i: number, sid: number): Verdict {
    const t = this.begin();
    const ste = t.readSte(sid);
    if (ste === null || ste.bad || !ste.s1 || (ste.el2 ? EL2 : ste.vmid) !== c.e[i + A]) return UNREACHABLE;
    let verdict: Verdict = UNREACHABLE;
    const filled = sid === c.e[i + SID] && c.e[i + SSID]! >= 0 ? c.e[i + SSID]! : 0;
    for (const ssid of filled === 0 ? [0] : [filled, 0]) {
      if (ssid > 0 && ssid >= 2 ** ste.s1CdMax) continue;
      const cd = t.readCd(ste, ssid);
      if (cd === null || cd.bad) continue;
      if (c.e[i + B] !== GLOBAL && cd.asid !== c.e[i + B]) continue;
      const upper = c.e[i + IN_HI]! < 0;
      const s1 = upper ? cd.ttb1 : cd.ttb0;
      if (s1 === null) return { state: 'differs', now: 'translation fault', depends: this.depends };
      const seen = c === this.caches.s1walk ? new TableSeen(c.e[i + LEVEL]!, 1) : null;
      this.depends = [cd.address, cd.address + 8];
      t.walker.visitor = this.note;
      t.walker.caches = seen;
      const r = t.walker.stage1(s1, ste.s2, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, false);
      t.walker.caches = null;
      verdict = this.compare(c, i, r, seen, 0, 0x1ff);
      if (verdict.state === 'differs') return verdict;
    }
    return verdict;
  }

  private compare(
    c: TranslationCache,
    i: number,
    r: number,
    seen: TableSeen | null,
    shift: number,
    mask: number,
  ): Verdict {
    const w = this.fresh.walker;
    if (seen !== null) {
      if (seen.found && seen.hi === c.e[i + OUT_HI] && seen.lo === c.e[i + OUT_LO]) return SAME;
      return {
        state: 'differs',
        now: seen.found ? `table 0x${address(seen.hi, seen.lo).toString(16)}` : 'no table',
        depends: this.depends,
      };
    }
    if (r !== OK) return { state: 'differs', now: faultNames[r]!, depends: this.depends, stage2: w.faultStage === 2 };
    const entryPerms = (c.e[i + ATTR]! >> shift) & mask;
    const nowPerms = (w.perms >> shift) & mask;
    if (
      w.outHi === c.e[i + OUT_HI] &&
      w.outLo === c.e[i + OUT_LO] &&
      entryPerms === nowPerms &&
      w.leafShift >= c.e[i + SHIFT]!
    )
      return SAME;
    const now = `PA 0x${address(w.outHi, w.outLo).toString(16)}${entryPerms === nowPerms ? '' : ' with other permissions'}`;
    const stage2 = entryPerms === nowPerms && w.ipaHi === c.e[i + IPA_HI] && w.ipaLo === c.e[i + IPA_LO];
    return { state: 'differs', now, depends: this.depends, stage2 };
  }

  /** Verdict on a translation that a device holds. A device whose ATS is off cannot use it. */
  atc(d: PciDevice, i: number): Verdict {
    if (!d.atsEnabled) return UNREACHABLE;
    const t = this.begin();
    const c = d.atc;
    const status = this.freshAts(d, c, i);
    const granted = status === DONE ? t.granted & 3 : 0;
    if (
      status === DONE &&
      granted === c.e[i + ATTR] &&
      t.outHi === c.e[i + OUT_HI] &&
      t.outLo === c.e[i + OUT_LO] &&
      t.leafShift >= c.e[i + SHIFT]!
    )
      return SAME;
    const now = status !== DONE || granted === 0 ? 'no translation' : `PA 0x${address(t.outHi, t.outLo).toString(16)}`;
    const depends: number[] = [];
    this.depends = depends;
    this.traceUntranslated(d, c, i);
    return { state: 'differs', now, depends };
  }

  private freshAts(d: PciDevice, c: TranslationCache, i: number): number {
    return this.fresh.translate(
      d.rid,
      c.e[i + B] === NO_PASID ? -1 : c.e[i + B]!,
      c.e[i + IN_HI]!,
      c.e[i + IN_LO]!,
      0,
      false,
      ATS_REQUEST,
    );
  }

  /** The reads of a fresh walk: translate() resets the visitor, so the walk is made once more through the parts. */
  private traceUntranslated(d: PciDevice, c: TranslationCache, i: number): void {
    const t = this.fresh;
    const ste = t.readSte(d.rid);
    if (ste === null) return;
    for (let k = 0; k < 8; k++) this.depends.push(ste.address + 8 * k);
    if (ste.bad || ste.config < 4) return;
    t.walker.caches = null;
    t.walker.visitor = this.note;
    if (!ste.s1) {
      if (ste.s2) t.walker.stage2(ste.s2, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, FOR_INPUT, -1);
      return;
    }
    const cd = t.readCd(ste, c.e[i + B] === NO_PASID ? 0 : c.e[i + B]!);
    if (cd === null) return;
    for (let k = 0; k < 8; k++) this.depends.push(cd.address + 8 * k);
    if (cd.bad || cd.ttb0 === null) return;
    t.walker.stage1(cd.ttb0, ste.s2, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, false);
  }

  /** Verdict on a configuration-cache entry: are its words still those in memory? */
  config(name: ConfigCacheName, e: SteConfig | CdConfig | L1Entry): Verdict {
    const t = this.begin();
    if (name === 'L1STD' || name === 'L1CD') {
      const l = e as L1Entry;
      if (this.memory.readWord(l.address) === l.word) return SAME;
      return { state: 'differs', now: `0x${this.memory.readWord(l.address).toString(16)}`, depends: [l.address] };
    }
    if (name === 'STE') {
      const s = e as SteConfig;
      const now = t.readSte(s.sid);
      if (now !== null && sameWords(now.words, s.words)) return SAME;
      return {
        state: 'differs',
        now: now === null ? 'no STE' : 'another STE',
        depends: record(now?.address ?? s.address),
      };
    }
    const cd = e as CdConfig;
    const ste = t.readSte(cd.sid);
    const now = ste !== null && !ste.bad && ste.s1 ? t.readCd(ste, cd.ssid) : null;
    if (now !== null && sameWords(now.words, cd.words)) return SAME;
    return {
      state: 'differs',
      now: now === null ? 'no CD' : 'another CD',
      depends: [...record(now?.address ?? cd.address), ...(ste ? record(ste.address) : [])],
    };
  }

  /** Does any untranslated access of this device with these parameters succeed now? For property tests. */
  translateFresh(d: PciDevice, pasid: number, hi: number, lo: number, need: number): number {
    this.fresh.registersChanged();
    return this.fresh.translate(d.rid, pasid, hi, lo, need, false, UNTRANSLATED);
  }
}

/** Remembers the table of one level that a walk passes, and answers no look-up. */
class TableSeen implements WalkCaches {
  found = false;
  hi = 0;
  lo = 0;
  private readonly level: number;
  private readonly stage: 1 | 2;

  constructor(level: number, stage: 1 | 2) {
    this.level = level;
    this.stage = stage;
  }

  stage2Leaf(): boolean {
    return false;
  }

  stage2Table(): number {
    return -1;
  }

  stage1Table(): number {
    return -1;
  }

  fillStage2Leaf(): void {}

  fillStage2Table(w: { tableHi: number; tableLo: number }, _hi: number, _lo: number, level: number): void {
    if (this.stage === 2) this.take(w, level);
  }

  fillStage1Table(w: { tableHi: number; tableLo: number }, _hi: number, _lo: number, level: number): void {
    if (this.stage === 1) this.take(w, level);
  }

  private take(w: { tableHi: number; tableLo: number }, level: number): void {
    if (level !== this.level) return;
    this.found = true;
    this.hi = w.tableHi;
    this.lo = w.tableLo;
  }
}

const address = (hi: number, lo: number): number => (hi >>> 0) * 4294967296 + (lo >>> 0);
const record = (at: number): number[] => Array.from({ length: 8 }, (_, k) => at + 8 * k);

function sameWords(a: Uint32Array, b: Uint32Array): boolean {
  for (let i = 0; i < 16; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Permission bits that an unprivileged and a privileged access have in an entry; exported for the text of hazards. */
export const unprivileged = (attr: number): number => (attr >> UNPRIV_SHIFT) & (attr >> S2_SHIFT) & 7;
export const privileged = (attr: number): number => (attr >> PRIV_SHIFT) & (attr >> S2_SHIFT) & 7;
