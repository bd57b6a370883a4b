import {
  A,
  ATTR,
  addressOf,
  B,
  CacheAudit,
  GLOBAL,
  IN_HI,
  IN_LO,
  IPA_HI,
  IPA_LO,
  LEVEL,
  OUT_HI,
  OUT_LO,
  SAME,
  SHIFT,
  SID,
  SSID,
  sameWords,
  type TranslationCache,
  type Verdict,
  wordAddresses,
} from '../../cache/index.ts';
import type { Memory } from '../../memory/index.ts';
import {
  ALL_S1,
  ALL_S2,
  ANY_DATA,
  beyond,
  FOR_INPUT,
  OK,
  PRIV_SHIFT,
  S1_CLEAN,
  S2_CLEAN,
  S2_DEVICE,
  S2_SHIFT,
  stage2Need,
  TRANSLATION,
  UNPRIV_SHIFT,
  type Vmsav8Walker,
  type WalkCaches,
  WRITE,
} from '../../pagetable/vmsav8.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import type { ConfigCacheName } from './cache-text.ts';
import { EL2, type L1Entry, l1cdIndex, type SmmuCaches } from './caches.ts';
import type { CdConfig, SteConfig } from './config.ts';
import type { SmmuFeatures } from './features.ts';
import { FreshConfig } from './fresh-config.ts';
import type { RegisterFile } from './registers.ts';
import { ATS_REQUEST, DONE, Translator } from './translator.ts';

const STAGE2_PERMS = ALL_S2 | S2_DEVICE;
const UNREACHABLE: Verdict = { state: 'unreachable', now: 'no stream has this tag', depends: [] };

const faultNames = [
  '',
  'translation fault',
  'address size fault',
  'access flag fault',
  'permission fault',
  'external abort',
];

const forms = new WeakMap<object, string>();

/** Stages of equal form translate alike. */
function formOf(stage: object | null): string {
  if (stage === null) return 'none';
  let form = forms.get(stage);
  if (form === undefined) forms.set(stage, (form = JSON.stringify(stage)));
  return form;
}

/**
 * Compares cached entries with what memory says now, through a second translator that caches nothing and that nobody
 * listens to.
 */
export class Audit extends CacheAudit<Translator, PciDevice, ConfigCacheName, SteConfig | CdConfig | L1Entry> {
  private readonly now: FreshConfig;
  private readonly devices: readonly PciDevice[];
  private readonly caches: SmmuCaches;
  private readonly memory: Memory;
  /** Stages that were walked for the entry at hand. Many streams share theirs. */
  private readonly walked = new Set<string>();

  constructor(
    memory: Memory,
    regs: RegisterFile,
    features: SmmuFeatures,
    devices: readonly PciDevice[],
    caches: SmmuCaches,
  ) {
    super(new Translator(memory, regs, features, null, null));
    this.memory = memory;
    this.now = new FreshConfig(memory, regs, this.fresh);
    this.devices = devices;
    this.caches = caches;
  }

  protected override begin(): Translator {
    this.now.begin();
    return super.begin();
  }

  /** Verdict on an entry of the IOTLB, a walk cache or the stage-2 TLB. */
  verdict(c: TranslationCache, i: number): Verdict {
    const stage2 = c === this.caches.s2tlb || c === this.caches.s2walk;
    const filler = c.e[i + SID]!;
    let verdict: Verdict = UNREACHABLE;
    this.walked.clear();
    // The stream that filled it first, then every other: tags are shared, so any of them could hit the entry.
    for (const sid of new Set([filler, ...this.devices.map((d) => d.rid)])) {
      const v = stage2 ? this.stage2(c, i, sid) : this.stage1(c, i, sid);
      if (v.state === 'differs') return v;
      if (v.state === 'same') verdict = v;
    }
    return verdict;
  }

  /** Whether these stages have been walked for the entry already: as long as nothing differs, walking again gives the same. */
  private again(stages: string): boolean {
    if (this.walked.has(stages)) return true;
    this.walked.add(stages);
    return false;
  }

  private stage2(c: TranslationCache, i: number, sid: number): Verdict {
    const t = this.begin();
    const ste = this.now.ste(sid);
    if (ste === null || ste.bad || ste.s2 === null || ste.vmid !== c.e[i + A]) return UNREACHABLE;
    const { s2 } = ste;
    if (this.again(formOf(s2))) return SAME;
    this.depends = [];
    const walk = (hi: number, lo: number): number => t.walker.stage2(s2, hi, lo, 0, FOR_INPUT, -1);
    return c === this.caches.s2walk ? this.table(c, i, 2, walk) : this.leaf(c, i, walk, STAGE2_PERMS);
  }

  private stage1(c: TranslationCache, i: number, sid: number): Verdict {
    const t = this.begin();
    const ste = this.now.ste(sid);
    if (ste === null || ste.bad || !ste.s1 || (ste.el2 ? EL2 : ste.vmid) !== c.e[i + A]) return UNREACHABLE;
    let verdict: Verdict = UNREACHABLE;
    const filled = sid === c.e[i + SID] ? Math.max(c.e[i + SSID]!, 0) : 0;
    // The one that filled it, then every other that a table has: the next access may use any of them.
    for (const ssid of new Set([filled, ...this.now.ssids(ste)])) {
      if (ssid > 0 && ssid >= 2 ** ste.s1CdMax) continue;
      const cd = this.now.cd(ste, ssid);
      if (cd === null || cd.bad) continue;
      if (c.e[i + B] !== GLOBAL && (cd.single || cd.asid !== c.e[i + B])) continue;
      const upper = c.e[i + IN_HI]! < 0;
      const s1 = upper ? cd.ttb1 : cd.ttb0;
      this.depends = [cd.address, cd.address + 8];
      if (s1 === null) return { state: 'differs', now: faultNames[TRANSLATION]!, depends: this.depends };
      if (this.again(`${formOf(s1)} ${formOf(ste.s2)}`)) {
        verdict = SAME;
        continue;
      }
      const walk = (hi: number, lo: number): number => {
        if (upper ? beyond(~hi, ~lo, s1.inputBits) : beyond(hi, lo, s1.inputBits)) return TRANSLATION;
        return t.walker.stage1(s1, ste.s2, hi, lo, 0, false);
      };
      t.walker.visitor = this.note;
      const v = c === this.caches.s1walk ? this.table(c, i, 1, walk) : this.leaf(c, i, walk, decisive(c.e[i + ATTR]!));
      t.walker.visitor = null;
      if (v.state === 'differs') return v;
      verdict = v;
    }
    return verdict;
  }

  /** A cached walk step: does a fresh walk pass the same table, with the same restrictions on what lies below? */
  private table(c: TranslationCache, i: number, stage: 1 | 2, walk: Walk): Verdict {
    const seen = new TableSeen(c.e[i + LEVEL]!, stage);
    const w = this.fresh.walker;
    w.caches = seen;
    walk(c.e[i + IN_HI]!, c.e[i + IN_LO]!);
    w.caches = null;
    const place = seen.hi === c.e[i + OUT_HI] && seen.lo === c.e[i + OUT_LO];
    if (seen.found && place && seen.perms === c.e[i + ATTR]) return SAME;
    const found = `table 0x${addressOf(seen.hi, seen.lo).toString(16)}${place ? ' with other permissions' : ''}`;
    return { state: 'differs', now: seen.found ? found : 'no table', depends: this.depends };
  }

  /** A cached translation, leaf by leaf of a fresh walk, whose leaves may be smaller. */
  private leaf(c: TranslationCache, i: number, walk: Walk, mask: number): Verdict {
    const w = this.fresh.walker;
    const size = 2 ** c.e[i + SHIFT]!;
    const known = this.depends.length;
    const attr = c.e[i + ATTR]!;
    const perms = attr & mask;
    let clean = S1_CLEAN | S2_CLEAN;
    for (let done = 0; done < size; done += 2 ** w.leafShift) {
      this.depends.length = known;
      const hi = Math.floor(done / 4294967296);
      const lo = done | 0;
      const r = walk(c.e[i + IN_HI]! | hi, c.e[i + IN_LO]! | lo);
      if (r !== OK) return { state: 'differs', now: faultNames[r]!, depends: this.depends, stage2: w.faultStage === 2 };
      const place = w.outHi === (c.e[i + OUT_HI]! | hi) && w.outLo === (c.e[i + OUT_LO]! | lo);
      const allowed = (w.perms & mask) === perms;
      clean &= w.perms;
      if (place && allowed) continue;
      const now = `PA 0x${addressOf(w.outHi, w.outLo).toString(16)}${allowed ? '' : ' with other permissions'}`;
      const stage2 = allowed && w.ipaHi === (c.e[i + IPA_HI]! | hi) && w.ipaLo === (c.e[i + IPA_LO]! | lo);
      return { state: 'differs', now, depends: this.depends, stage2 };
    }
    // A page made clean again whose entry still lets writes through: they would go unmarked. One dirty descriptor marks the
    // whole of a contiguous range. The other way round costs a walk and is right.
    if (writes(attr, c === this.caches.s2tlb) && (clean & ~attr) !== 0)
      return { state: 'differs', now: 'a clean page', depends: this.depends, stage2: (clean & ~attr) === S2_CLEAN };
    return SAME;
  }

  /** Verdict on a translation that a device holds. A device whose ATS is off cannot use it. */
  atc(d: PciDevice, i: number): Verdict {
    if (!d.atsEnabled) return UNREACHABLE;
    const t = this.begin();
    const c = d.atc;
    const ssid = c.e[i + B] === NO_PASID ? -1 : c.e[i + B]!;
    const size = 2 ** c.e[i + SHIFT]!;
    t.observer = this.note;
    let verdict: Verdict = SAME;
    const out = [c.e[i + OUT_HI]!, c.e[i + OUT_LO]!] as const;
    const writable = (c.e[i + ATTR]! & WRITE) !== 0;
    let clean = S1_CLEAN | S2_CLEAN;
    for (let done = 0; done < size && verdict === SAME; done += 2 ** t.leafShift) {
      this.depends = [];
      const hi = Math.floor(done / 4294967296);
      const lo = done | 0;
      const status = t.translate(d.rid, ssid, c.e[i + IN_HI]! | hi, c.e[i + IN_LO]! | lo, ANY_DATA, false, ATS_REQUEST);
      const granted = status === DONE ? t.granted : 0;
      const place = t.outHi === (out[0] | hi) && t.outLo === (out[1] | lo);
      // With split stages every access of the device still passes stage 2.
      clean &= t.ste?.eats === 2 ? t.clean & S1_CLEAN : t.clean;
      const last = done + 2 ** t.leafShift >= size;
      const marked = !(last && writable && clean !== 0);
      if (granted !== 0 && granted === c.e[i + ATTR] && place && marked) continue;
      const to = marked ? `PA 0x${addressOf(t.outHi, t.outLo).toString(16)}` : 'a clean page';
      const now = granted === 0 ? 'no translation' : to;
      const config = [t.ste, t.cd].flatMap((r) => (r ? wordAddresses(r.address) : []));
      verdict = { state: 'differs', now, depends: [...config, ...this.depends] };
    }
    t.observer = null;
    return verdict;
  }

  /** Verdict on a configuration-cache entry: are its words still those in memory? */
  config(name: ConfigCacheName, e: SteConfig | CdConfig | L1Entry): Verdict {
    const t = this.begin();
    if (name === 'L1STD' || name === 'L1CD') return this.level1(name, e as L1Entry);
    if (name === 'STE') {
      const s = e as SteConfig;
      const now = t.readSte(s.sid);
      if (now !== null && sameWords(now.words, s.words)) return SAME;
      return {
        state: 'differs',
        now: now === null ? 'no STE' : 'another STE',
        depends: wordAddresses(now?.address ?? s.address),
      };
    }
    const cd = e as CdConfig;
    const ste = t.readSte(cd.sid);
    const now = ste !== null && !ste.bad && ste.s1 ? t.readCd(ste, cd.ssid) : null;
    if (now !== null && sameWords(now.words, cd.words)) return SAME;
    return {
      state: 'differs',
      now: now === null ? 'no CD' : 'another CD',
      // Stage 2 decides where the CD lies, and whether it can be reached.
      depends: [
        ...wordAddresses(now?.address ?? cd.address),
        ...(ste ? wordAddresses(ste.address) : []),
        ...this.depends,
      ],
    };
  }

  /** A level-1 descriptor, at the place where a look-up now finds it. */
  private level1(name: 'L1STD' | 'L1CD', e: L1Entry): Verdict {
    const t = this.fresh;
    const ste = name === 'L1CD' ? t.readSte(e.sid) : null;
    const at = name === 'L1STD' ? t.l1stdAddress(e.key) : ste === null ? -1 : t.l1cdAddress(ste, l1cdIndex(e.key));
    const depends = [at < 0 ? e.address : at, ...(ste ? wordAddresses(ste.address) : []), ...this.depends];
    if (at < 0) return { state: 'differs', now: 'no table', depends };
    const word = this.memory.readWord(at);
    return word === e.word ? SAME : { state: 'differs', now: `0x${word.toString(16)}`, depends };
  }
}

/**
 * Bits of a combined entry's permissions that an access can notice: those of stage 2 only where stage 1 lets it through.
 * Whether other ASIDs see the entry shows in its tag.
 */
function decisive(perms: number): number {
  const unpriv = perms >> UNPRIV_SHIFT;
  const priv = perms >> PRIV_SHIFT;
  return ALL_S1 | S2_DEVICE | ((stage2Need(unpriv & 7, false) | stage2Need(priv & 7, true)) << S2_SHIFT);
}

/** Whether an entry lets any write through. */
function writes(attr: number, stage2: boolean): boolean {
  const one = stage2 ? WRITE : (attr >>> UNPRIV_SHIFT) | (attr >>> PRIV_SHIFT);
  return (one & (attr >>> S2_SHIFT) & WRITE) !== 0;
}

/** A fresh walk of one address, whose result lies in the walker. @returns its outcome */
type Walk = (hi: number, lo: number) => number;

/** Remembers the table of one level that a walk passes, and answers no look-up. */
class TableSeen implements WalkCaches {
  found = false;
  hi = 0;
  lo = 0;
  perms = 0;
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

  fillStage2Table(w: Vmsav8Walker, _hi: number, _lo: number, level: number): void {
    if (this.stage === 2) this.take(w, level);
  }

  fillStage1Table(w: Vmsav8Walker, _hi: number, _lo: number, level: number): void {
    if (this.stage === 1) this.take(w, level);
  }

  private take(w: Vmsav8Walker, level: number): void {
    if (level !== this.level) return;
    this.found = true;
    this.hi = w.tableHi;
    this.lo = w.tableLo;
    // Only walk steps of stage 1 carry restrictions.
    this.perms = this.stage === 1 ? w.perms : 0;
  }
}
