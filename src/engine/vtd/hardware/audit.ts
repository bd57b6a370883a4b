import {
  A,
  ATTR,
  addressOf,
  B,
  CacheAudit,
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
  sameWords,
  type TranslationCache,
  type Verdict,
  wordAddresses,
} from '../../cache/index.ts';
import type { Memory } from '../../memory/index.ts';
import {
  ACC_EXEC,
  ANY_DATA,
  EXEC,
  FS_CLEAN,
  OK,
  type PagingCaches,
  PRIV_SHIFT,
  SNOOP,
  SS_CLEAN,
  SS_SHIFT,
  WRITE,
  type X86Walker,
} from '../../pagetable/x86-64.ts';
import { NO_PASID, type PciDevice } from '../../pci/index.ts';
import { faultReason } from '../layout/index.ts';
import type { ConfigCacheName } from './cache-text.ts';
import type { VtdCaches } from './caches.ts';
import type { ContextEntry, PasidEntry } from './config.ts';
import type { RemappingState } from './config-reader.ts';
import type { VtdFeatures } from './features.ts';
import { FreshConfig } from './fresh-config.ts';
import { ABSENT } from './iotlb-tags.ts';
import { ATS_REQUEST, DONE, Translator } from './translator.ts';

const UNREACHABLE: Verdict = { state: 'unreachable', now: 'no request has this tag', depends: [] };

const forms = new WeakMap<object, string>();

function formOf(e: ContextEntry | PasidEntry): string {
  let form = forms.get(e);
  if (form === undefined) forms.set(e, (form = `${'pgtt' in e ? 'PASID' : 'context'} ${e.words.join()}`));
  return form;
}

/**
 * Compares cached entries with what memory says now, through a second translator that caches nothing and that nobody
 * listens to. An entry that grants less than memory does counts as the same: an access that it refuses is walked for again.
 */
export class Audit extends CacheAudit<Translator, PciDevice, ConfigCacheName, ContextEntry | PasidEntry> {
  private readonly now: FreshConfig;
  private readonly devices: readonly PciDevice[];
  private readonly caches: VtdCaches;
  /** Contents of the entries that were walked by for the entry at hand. Many requesters share theirs. */
  private readonly walked = new Set<string>();

  constructor(
    memory: Memory,
    state: RemappingState,
    features: VtdFeatures,
    devices: readonly PciDevice[],
    caches: VtdCaches,
  ) {
    super(new Translator(memory, state, features, null, null));
    this.now = new FreshConfig(memory, state, this.fresh);
    this.devices = devices;
    this.caches = caches;
  }

  protected override begin(): Translator {
    this.now.begin();
    return super.begin();
  }

  /** Verdict on an entry of the IOTLB or of a paging-structure cache. */
  verdict(c: TranslationCache, i: number): Verdict {
    let verdict: Verdict = UNREACHABLE;
    this.walked.clear();
    // The requester that filled it first, then every other: the tag has no RID, so any of them could hit the entry.
    for (const rid of new Set([c.e[i + SID]!, ...this.devices.map((d) => d.rid & 0xffff)])) {
      this.begin();
      const e = this.entry(rid, c.e[i + A]!, c.e[i + B]!);
      if (e === null) continue;
      // Entries of equal content translate alike: as long as nothing differs, walking again gives the same.
      const form = formOf(e);
      if (this.walked.has(form)) continue;
      this.walked.add(form);
      const v = this.by(e, c, i);
      if (v.state === 'differs') return v;
      if (v.state === 'same') verdict = v;
    }
    this.fresh.walker.visitor = null;
    return verdict;
  }

  /** What requests of a RID that carry, or get, this PASID are translated by, if it has this domain id. */
  private entry(rid: number, did: number, pasid: number): ContextEntry | PasidEntry | null {
    const c = this.now.context(rid);
    if (c === null) return null;
    if (!c.scalable) return pasid === 0 && c.did === did ? c : null;
    if (!c.paside && c.ridPasid !== pasid) return null;
    const e = this.now.pasid(c, pasid);
    return e?.did === did ? e : null;
  }

  private by(e: ContextEntry | PasidEntry, c: TranslationCache, i: number): Verdict {
    this.depends = wordAddresses(e.address, 'pgtt' in e ? 3 : 2);
    if (c === this.caches.iotlb) return this.leaf(e, c, i);
    const stage = c === this.caches.fswalk ? 1 : 2;
    const translates = stage === 1 ? 'fs' in e && e.fs !== null : e.ss !== null;
    return translates ? this.table(e, c, i, stage) : UNREACHABLE;
  }

  /** A cached walk step: does a fresh walk pass the same table, with the same restrictions on what lies below? */
  private table(e: ContextEntry | PasidEntry, c: TranslationCache, i: number, stage: 1 | 2): Verdict {
    const seen = new TableSeen(c.e[i + LEVEL]!, stage);
    const w = this.fresh.walker;
    w.caches = seen;
    if (stage === 1) this.fresh.walkFor(e, c.e[i + IN_HI]!, c.e[i + IN_LO]!);
    else w.second(e.ss!, c.e[i + IN_HI]!, c.e[i + IN_LO]!, 0, 0, -1);
    w.caches = null;
    if (!seen.found) return { state: 'differs', now: 'no table', depends: this.depends };
    const place = seen.hi === c.e[i + OUT_HI] && seen.lo === c.e[i + OUT_LO];
    // Leave to execute counts only for requests that ask for it.
    const mask = stage === 2 || ('ere' in e && e.ere) ? -1 : ~ACC_EXEC;
    const rights = ((seen.perms ^ c.e[i + ATTR]!) & mask) === 0;
    if (place && rights) return SAME;
    const now = `table 0x${addressOf(seen.hi, seen.lo).toString(16)}${place ? ' with other permissions' : ''}`;
    const own = seen.gpaHi === c.e[i + IPA_HI] && seen.gpaLo === c.e[i + IPA_LO];
    const stage2 = stage === 1 && !place && rights && own && e.ss !== null;
    return { state: 'differs', now, depends: this.depends, stage2 };
  }

  /** A cached translation, leaf by leaf of a fresh walk, whose leaves may be smaller. */
  private leaf(e: ContextEntry | PasidEntry, c: TranslationCache, i: number): Verdict {
    const w = this.fresh.walker;
    const attr = c.e[i + ATTR]!;
    const size = 2 ** c.e[i + SHIFT]!;
    const known = this.depends.length;
    const forced = 'pgsnp' in e && e.pgsnp ? SNOOP : 0;
    const own = usable(attr, e);
    if ((attr & ABSENT) !== 0) return this.absent(e, c.e[i + IN_HI]!, c.e[i + IN_LO]!);
    // No request that gets this far has a right by it: each is walked for.
    if (own === 0) return SAME;
    for (let done = 0; done < size; done += 2 ** w.leafShift) {
      this.depends.length = known;
      const hi = Math.floor(done / 4294967296);
      const lo = done | 0;
      const r = this.fresh.walkFor(e, c.e[i + IN_HI]! | hi, c.e[i + IN_LO]! | lo);
      const { depends } = this;
      if (r !== OK) return { state: 'differs', now: faultText(r), depends, stage2: w.faultStage === 2 };
      const place = w.outHi === (c.e[i + OUT_HI]! | hi) && w.outLo === (c.e[i + OUT_LO]! | lo);
      const allowed = (own & ~usable(w.perms, e)) === 0;
      const snoop = ((w.perms | forced) & SNOOP) === (attr & SNOOP);
      // Made clean again: writes through the entry would go unmarked.
      const clean = writes(own) ? w.perms & ~attr & (FS_CLEAN | SS_CLEAN) : 0;
      if (place && allowed && snoop && clean === 0) continue;
      const gpa = w.gpaHi === (c.e[i + IPA_HI]! | hi) && w.gpaLo === (c.e[i + IPA_LO]! | lo);
      const what = !place || !allowed ? `${allowed ? '' : ' with other permissions'}` : ' with other snooping';
      const now = clean !== 0 && place ? 'a clean page' : `PA 0x${addressOf(w.outHi, w.outLo).toString(16)}${what}`;
      return { state: 'differs', now, depends, stage2: clean !== 0 ? clean === SS_CLEAN : allowed && gpa };
    }
    return SAME;
  }

  /** An entry that says that nothing is mapped. */
  private absent(e: ContextEntry | PasidEntry, hi: number, lo: number): Verdict {
    const w = this.fresh.walker;
    if (this.fresh.walkFor(e, hi, lo) !== OK) return SAME;
    return { state: 'differs', now: `PA 0x${addressOf(w.outHi, w.outLo).toString(16)}`, depends: this.depends };
  }

  /** Verdict on a translation that a device holds. A device whose ATS is off cannot use it. */
  atc(d: PciDevice, i: number): Verdict {
    if (!d.atsEnabled) return UNREACHABLE;
    const t = this.begin();
    const c = d.atc;
    const pasid = c.e[i + B] === NO_PASID ? -1 : c.e[i + B]!;
    const attr = c.e[i + ATTR]!;
    const size = 2 ** c.e[i + SHIFT]!;
    t.observer = this.note;
    let verdict: Verdict = SAME;
    for (let done = 0; done < size && verdict === SAME; done += 2 ** t.leafShift) {
      this.depends = [];
      const hi = Math.floor(done / 4294967296);
      const lo = done | 0;
      const status = t.translate(
        d.rid & 0xffff,
        pasid,
        c.e[i + IN_HI]! | hi,
        c.e[i + IN_LO]! | lo,
        ANY_DATA,
        false,
        ATS_REQUEST,
      );
      const granted = status === DONE ? t.granted : 0;
      const place = t.outHi === (c.e[i + OUT_HI]! | hi) && t.outLo === (c.e[i + OUT_LO]! | lo);
      const clean = (attr & WRITE) !== 0 && t.clean !== 0;
      if (granted !== 0 && (attr & ~granted) === 0 && place && !clean) continue;
      const to = clean && place ? 'a clean page' : `PA 0x${addressOf(t.outHi, t.outLo).toString(16)}`;
      const config = this.now.way(d.rid & 0xffff, pasid < 0 ? (t.context?.ridPasid ?? 0) : pasid);
      const now = granted === 0 ? 'no translation' : to;
      verdict = { state: 'differs', now, depends: [...config, ...this.depends] };
    }
    t.observer = null;
    return verdict;
  }

  /** Verdict on an entry of the context or PASID cache: are its words still those in memory? */
  config(name: ConfigCacheName, e: ContextEntry | PasidEntry): Verdict {
    this.begin();
    const c = this.now.context(e.rid);
    if (name === 'Context') {
      const depends = wordAddresses(e.address, e.words.length / 2);
      if (c === null) return e.fault !== 0 ? SAME : { state: 'differs', now: 'no context entry', depends };
      return sameWords(c.words, e.words) ? SAME : { state: 'differs', now: 'another context entry', depends };
    }
    const p = e as PasidEntry;
    const now = c?.scalable ? this.now.pasid(c, p.pasid) : null;
    const depends = [
      ...(c ? wordAddresses(c.address, 4) : []),
      p.directoryAddress,
      ...wordAddresses((now ?? p).address, 8),
    ];
    if (now === null) return p.fault !== 0 ? SAME : { state: 'differs', now: 'no PASID entry', depends };
    return sameWords(now.words, p.words) && now.fpd === p.fpd
      ? SAME
      : { state: 'differs', now: 'another PASID entry', depends };
  }
}

/** Rights of a translation that a request can use: user [2:0] and, where there can be such requests, supervisor [5:3]. */
function usable(perms: number, e: ContextEntry | PasidEntry): number {
  const ss = (perms >>> SS_SHIFT) & 7;
  const first = 'fs' in e && e.fs !== null;
  const exec = first && !e.ere ? ~EXEC : -1;
  const user = perms & ss & exec & 7;
  return 'sre' in e && !e.sre ? user : user | (((perms >>> PRIV_SHIFT) & ss & exec & 7) << PRIV_SHIFT);
}

const writes = (rights: number): boolean => (rights & (WRITE | (WRITE << PRIV_SHIFT))) !== 0;

const faultText = (reason: number): string => {
  const f = faultReason(reason);
  return f ? `${f.mnemonic}: ${f.text}` : `fault ${reason}`;
};

/** Remembers the table of one level that a walk passes, and answers no look-up. */
class TableSeen implements PagingCaches {
  found = false;
  hi = 0;
  lo = 0;
  gpaHi = 0;
  gpaLo = 0;
  perms = 0;
  private readonly level: number;
  private readonly stage: 1 | 2;

  constructor(level: number, stage: 1 | 2) {
    this.level = level;
    this.stage = stage;
  }

  secondTable(): number {
    return -1;
  }

  firstTable(): number {
    return -1;
  }

  fillSecondTable(w: X86Walker, _hi: number, _lo: number, level: number): void {
    if (this.stage === 2) this.take(w, level);
  }

  fillFirstTable(w: X86Walker, _hi: number, _lo: number, level: number): void {
    if (this.stage === 1) this.take(w, level);
  }

  private take(w: X86Walker, level: number): void {
    if (level !== this.level) return;
    this.found = true;
    this.hi = w.tableHi;
    this.lo = w.tableLo;
    this.gpaHi = w.tableGpaHi;
    this.gpaLo = w.tableGpaLo;
    this.perms = w.perms;
  }
}
