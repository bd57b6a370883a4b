import { bits, flag, num } from '../../properties/words.ts';
import type { PlainFeatures } from './plain-features.ts';
import { first, type PlainAccess, PlainFault, type PlainMemory, type PlainSecond, second } from './plain-stages.ts';

/**
 * A whole request as the VT-d specification has it (3.4, 3.14, 7.1, 9.1 to 9.6), with bigints and without caches. Where the
 * specification leaves something open, it is the reading that docs/limits.md names.
 */

export interface PlainRequest {
  readonly rid: number;
  /** -1: none. */
  readonly pasid: number;
  readonly address: bigint;
  readonly write: boolean;
  /** Of requests with PASID only, as PCI Express has it. */
  readonly exec: boolean;
  readonly priv: boolean;
  readonly type: 'untranslated' | 'request' | 'translated';
}

export interface PlainRegisters {
  /** RTADDR_REG as SRTP has latched it. */
  readonly root: bigint;
  /** GSTS_REG.TES */
  readonly enabled: boolean;
  /** Accesses to tables snoop whatever PWSNP says: somebody else decides. */
  readonly snoops?: boolean;
}

export type PlainAnswer =
  /** Where it arrives; of a translation request the page, its size and its rights. */
  | {
      readonly kind: 'reaches';
      readonly pa: bigint;
      readonly size: number;
      readonly read: boolean;
      readonly write: boolean;
    }
  /** A fault record of two words, or none. */
  | { readonly kind: 'refused'; readonly record: readonly [bigint, bigint] | null }
  /** A completion of a translation request without any right. */
  | { readonly kind: 'nothing' };

const toInterrupts = (a: bigint): boolean => a >> 20n === 0xfeen;
const refused = { kind: 'refused', record: null } as const;
const nothing = { kind: 'nothing' } as const;

/** Reasons for which a translation request gets a completion without rights: a page, a PASID or a right is not there. */
const missing = [
  [0x04, 0x05, 0x06],
  [0x51, 0x59, 0x5c, 0x5d],
  [0x70, 0x71, 0x72, 0x73, 0x90],
  [0x74, 0x75, 0x76, 0x77],
  [0x79, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86],
].flat();

/** Source: VT-d specification, 11.4.14. */
function recordOf(q: PlainRequest, reason: number): [bigint, bigint] {
  const type = { untranslated: 0n, request: 1n, translated: 2n }[q.type];
  let w = BigInt(q.rid) | (BigInt(reason) << 32n) | (type << 60n) | (1n << 63n);
  if (!q.write) w |= 1n << 62n;
  if (q.pasid >= 0) w |= (1n << 31n) | (BigInt(q.pasid) << 40n);
  if (q.pasid >= 0 && q.priv) w |= 1n << 29n;
  if (q.pasid >= 0 && q.exec && !q.write) w |= 1n << 30n;
  return [(q.address >> 12n) << 12n, w];
}

export function plainTranslate(m: PlainMemory, r: PlainRegisters, f: PlainFeatures, q: PlainRequest): PlainAnswer {
  try {
    return new Walk(m, r, f, q).run();
  } catch (e) {
    if (!(e instanceof PlainFault)) throw e;
    if (q.type === 'request' && missing.includes(e.reason)) return { kind: 'nothing' };
    return { kind: 'refused', record: e.silent ? null : recordOf(q, e.reason) };
  }
}

class Walk {
  private readonly m: PlainMemory;
  private readonly r: PlainRegisters;
  private readonly f: PlainFeatures;
  private readonly q: PlainRequest;
  /** FPD so far. */
  private fpd = false;

  constructor(m: PlainMemory, r: PlainRegisters, f: PlainFeatures, q: PlainRequest) {
    this.m = m;
    this.r = r;
    this.f = f;
    this.q = q;
  }

  /** A qualified fault, which FPD silences. */
  private fault(reason: number): PlainFault {
    return new PlainFault(reason, this.fpd);
  }

  private words(at: bigint, n: number, reason: number): bigint[] {
    return Array.from({ length: n }, (_, i) => {
      const w = this.m.read(at + 8n * BigInt(i));
      if (w === null) throw new PlainFault(reason, false);
      return w;
    });
  }

  /** Address bits that no host address has. */
  private tooHigh(w: bigint): boolean {
    return w >> BigInt(this.f.haw) !== 0n;
  }

  private passes(): PlainAnswer {
    const { address } = this.q;
    if (this.tooHigh(address)) return refused;
    return { kind: 'reaches', pa: address, size: 12, read: true, write: true };
  }

  run(): PlainAnswer {
    const { q, r, f } = this;
    if (q.type === 'untranslated' && q.write && q.pasid < 0 && toInterrupts(q.address)) return this.passes();
    if (!r.enabled) return q.type === 'untranslated' ? this.passes() : refused;
    const mode = num(r.root, 11, 10);
    if (mode === 0) {
      if (this.tooHigh(r.root)) throw new PlainFault(0x08, false);
      if (q.pasid >= 0) throw new PlainFault(0x31, false);
      return this.legacy();
    }
    if (mode === 2 || this.tooHigh(r.root) || (mode === 1 && !f.smts) || (mode === 3 && !f.adms))
      throw new PlainFault(0x30, false);
    if (mode === 3) throw new PlainFault(0x33, false);
    return this.scalable();
  }

  private legacy(): PlainAnswer {
    const { q, r, f } = this;
    const root = this.words((r.root & ~0xfffn) + 16n * bits(BigInt(q.rid), 15, 8), 2, 0x08);
    if (!flag(root[0]!, 0)) throw new PlainFault(0x01, false);
    if (bits(root[0]!, 11, 1) !== 0n || this.tooHigh(root[0]!) || root[1] !== 0n) throw new PlainFault(0x0a, false);
    const c = this.words((root[0]! & ~0xfffn) + 16n * bits(BigInt(q.rid), 7, 0), 2, 0x09);
    const [w0, w1] = c as [bigint, bigint];
    this.fpd = flag(w0, 1);
    if (!flag(w0, 0)) throw this.fault(0x02);
    const tt = num(w0, 3, 2);
    const did = num(w1, 23, 8);
    if (bits(w0, 11, 4) !== 0n || (tt !== 2 && this.tooHigh(w0))) throw this.fault(0x0b);
    if (flag(w1, 7) || bits(w1, 63, 24) !== 0n || did >> f.didBits !== 0) throw this.fault(0x0b);
    const aw = num(w1, 2, 0);
    if (![1, 2, 3].includes(aw) || !flag(BigInt(f.sagaw), aw)) throw this.fault(0x03);
    if (tt === 3 || (tt === 1 && !f.dt) || (tt === 2 && !f.pt)) throw this.fault(0x03);
    if (q.type !== 'untranslated' && tt !== 1) throw this.fault(0x0d);
    if (toInterrupts(q.address)) {
      if (q.type === 'request') return nothing;
      throw this.fault(0x0e);
    }
    if (q.type === 'translated') {
      if (this.tooHigh(q.address)) throw this.fault(0x04);
      return this.passes();
    }
    if (tt === 2) {
      if (this.tooHigh(q.address)) throw this.fault(0x04);
      return this.passes();
    }
    const s = { root: w0 & ~0xfffn, levels: aw + 2, execute: false, ad: false, snooped: false };
    return this.translated(null, s, 0x0e);
  }

  private scalable(): PlainAnswer {
    const { q, r, f } = this;
    const root = this.words((r.root & ~0xfffn) + 16n * bits(BigInt(q.rid), 15, 8), 2, 0x38);
    const half = root[num(BigInt(q.rid), 7, 7)]!;
    if (!flag(half, 0)) throw new PlainFault(0x39, false);
    if (bits(half, 11, 1) !== 0n || this.tooHigh(half)) throw new PlainFault(0x3a, false);
    const c = this.words((half & ~0xfffn) + 32n * bits(BigInt(q.rid), 6, 0), 4, 0x40);
    const [w0, w1] = c as [bigint, bigint];
    this.fpd = flag(w0, 1);
    if (!flag(w0, 0)) throw this.fault(0x41);
    const [dte, paside, pre] = [flag(w0, 2), flag(w0, 3), flag(w0, 4)];
    const ridPriv = flag(w1, 20);
    if (bits(w0, 8, 5) !== 0n || this.tooHigh(w0)) throw this.fault(0x42);
    if (bits(w1, 63, 21) !== 0n || c[2] !== 0n || c[3] !== 0n) throw this.fault(0x42);
    if ((dte && !f.dt) || (paside && !f.pasid) || (pre && !f.prs) || (ridPriv && !f.rprivs)) throw this.fault(0x42);
    const ridPasid = num(w1, 19, 0);
    if (ridPasid !== 0 && !f.rps) throw this.fault(0x42);
    const limit = 2 ** (num(w0, 11, 9) + 13);
    if ((pre && !dte) || ridPasid >= limit) throw this.fault(0x43);
    if (q.type !== 'untranslated' && !dte) throw this.fault(0x44);
    if (q.type === 'translated') {
      if (toInterrupts(q.address)) throw this.fault(0x87);
      if (this.tooHigh(q.address)) throw this.fault(0x83);
      return this.passes();
    }
    if (q.pasid >= 0 && !paside) throw this.fault(0x45);
    if (q.pasid >= limit) throw this.fault(0x46);
    if (q.pasid === ridPasid) throw this.fault(0x48);
    if (q.pasid >= 2 ** f.pasidBits) throw this.fault(0x89);
    return this.pasid(w0 & ~0xfffn, q.pasid >= 0 ? q.pasid : ridPasid, q.pasid >= 0 ? q.priv : ridPriv);
  }

  private pasid(directory: bigint, pasid: number, priv: boolean): PlainAnswer {
    const { q, f } = this;
    const [d] = this.words(directory + 8n * BigInt(pasid >> 6), 1, 0x50) as [bigint];
    this.fpd ||= flag(d, 1);
    if (!flag(d, 0)) throw this.fault(0x51);
    if (bits(d, 11, 2) !== 0n || this.tooHigh(d)) throw this.fault(0x52);
    const e = this.words((d & ~0xfffn) + 64n * BigInt(pasid & 63), 8, 0x58);
    const [w0, w1, w2] = e as [bigint, bigint, bigint];
    this.fpd ||= flag(w0, 1);
    if (!flag(w0, 0)) throw this.fault(0x59);
    const type = num(w0, 8, 6);
    const hasFirst = type === 1 || type === 3;
    const hasSecond = type === 2 || type === 3;
    if (bits(w0, 11, 10) !== 0n || bits(w1, 22, 16) !== 0n || bits(w2, 11, 8) !== 0n) throw this.fault(0x5a);
    if (bits(w1, 31, 27) !== 0n || this.tooHigh(w0) || this.tooHigh(w2)) throw this.fault(0x5a);
    if (!f.ssts && (num(w0, 4, 2) !== 0 || bits(w0, 63, 12) !== 0n)) throw this.fault(0x5a);
    if (!f.fsts && (num(w2, 4, 2) !== 0 || bits(w2, 63, 12) !== 0n)) throw this.fault(0x5a);
    if (e.slice(3).some((w) => w !== 0n)) throw this.fault(0x5a);
    if (num(w1, 15, 0) >> f.didBits !== 0) throw this.fault(0x5a);
    const missing =
      (flag(w0, 9) && !f.ssads) ||
      (flag(w1, 23) && !f.smpwcs) ||
      (flag(w1, 24) && !f.sc) ||
      (flag(w2, 0) && !f.srs) ||
      ((flag(w2, 1) || flag(w0, 5)) && !f.ers) ||
      (flag(w2, 7) && !f.eafs);
    if (missing) throw this.fault(0x5a);
    if (![f.fsts, f.ssts, f.nest, f.pt][type - 1]) throw this.fault(0x5b);
    const aw = num(w0, 4, 2);
    if (hasSecond && (![1, 2, 3].includes(aw) || !flag(BigInt(f.sagaw), aw))) throw this.fault(0x5b);
    const fspm = num(w2, 3, 2);
    if (hasFirst && (fspm > 1 || (fspm === 1 && !f.fs5lp))) throw this.fault(0x5b);
    if (type === 3 && (w2 & ~0xfffn) >> BigInt(Math.min(f.mgaw, 12 + 9 * (aw + 2))) !== 0n) throw this.fault(0x5b);
    if (q.type === 'untranslated' && q.exec && !q.write && q.pasid >= 0 && !flag(w2, 1)) throw this.fault(0x5c);
    if (priv && !flag(w2, 0)) throw this.fault(0x5d);
    // Without PASID nothing is translated there; with one it is an address like any other.
    if (toInterrupts(q.address) && (q.pasid < 0 || type === 4)) {
      if (q.type === 'request' && q.pasid < 0) return nothing;
      throw this.fault(0x87);
    }
    if (type === 4) {
      if (this.tooHigh(q.address)) throw this.fault(0x83);
      return this.passes();
    }
    const snooped = flag(w1, 23) || this.r.snoops === true;
    const s: PlainSecond | null = hasSecond
      ? { root: w0 & ~0xfffn, levels: aw + 2, execute: flag(w0, 5), ad: flag(w0, 9), snooped }
      : null;
    const t = hasFirst
      ? {
          root: w2 & ~0xfffn,
          levels: 4 + fspm,
          wpe: flag(w2, 4),
          nxe: flag(w2, 5),
          smep: flag(w2, 6),
          eafe: flag(w2, 7),
          snooped,
        }
      : null;
    return this.translated(t, s, 0x87, priv);
  }

  /** @param interrupt the reason where the output lies among the interrupt addresses */
  private translated(
    t: Parameters<typeof first>[2] | null,
    s: PlainSecond | null,
    interrupt: number,
    priv = false,
  ): PlainAnswer {
    const { m, f, q } = this;
    const ats = q.type === 'request';
    const exec = q.exec && !q.write && q.pasid >= 0 && !ats;
    const a: PlainAccess = { read: !q.write && !ats, write: q.write && !ats, exec, ats, priv };
    let end: { address: bigint; size: number; read: boolean; write: boolean };
    try {
      end = t ? first(m, f, t, s, q.address, a) : second(m, f, s!, q.address, a);
    } catch (reason) {
      if (typeof reason !== 'number') throw reason;
      throw this.fault(interrupt === 0x0e ? this.legacyReason(reason) : reason);
    }
    // No part of a page that a device may keep leads to interrupts.
    const page = ats && end.size > 20 ? end.size : 20;
    if (end.address >> BigInt(page) === 0xfee0_0000n >> BigInt(page)) throw this.fault(interrupt);
    if (ats && !end.read && !end.write) return { kind: 'nothing' };
    return { kind: 'reaches', pa: end.address, size: end.size, read: end.read, write: end.write };
  }

  private legacyReason(reason: number): number {
    if (reason === 0x79) return this.q.write && this.q.type === 'untranslated' ? 0x05 : 0x06;
    return { 132: 0x04, 133: 0x05, 134: 0x06, 123: 0x03, 120: 0x07, 122: 0x0c }[reason]!;
  }
}
