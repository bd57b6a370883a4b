import { bits, flag, num } from '../../properties/words.ts';
import {
  cdMaxOf,
  illegalEats,
  illegalStage1Ste,
  type PlainCd,
  type PlainFeatures,
  plainCd,
  plainFeatures,
  plainStage2,
  streamWorld,
} from './plain-config.ts';
import {
  CLASS_CD,
  CLASS_IN,
  CLASS_TT,
  F_ADDR_SIZE,
  F_PERMISSION,
  F_TRANSLATION,
  F_WALK_EABT,
  type PlainAccess,
  PlainFault,
  type PlainMemory,
  type PlainStage2,
  stage1,
  stage2,
} from './plain-stage.ts';

/**
 * The whole way of an untranslated transaction through an SMMUv3 with nothing cached, read straight from Arm IHI 0070
 * (3.3, 3.4, chapters 5 and 7): stream table, STE, context descriptor, both stages, the event record. Slow and plain.
 */

export interface PlainRegisters {
  readonly CR0: bigint;
  readonly CR2: bigint;
  readonly GBPA: bigint;
  readonly STRTAB_BASE: bigint;
  readonly STRTAB_BASE_CFG: bigint;
  /** IDR0 to IDR5. */
  readonly idr: readonly number[];
}

export interface PlainRequest extends PlainAccess {
  readonly sid: number;
  /** -1: none. */
  readonly ssid: number;
  readonly address: bigint;
}

/** `record` is the event's four words; null: nothing is recorded. A stall's STAG is 0 here. */
export type PlainAnswer =
  | { readonly kind: 'reaches'; readonly pa: bigint }
  | { readonly kind: 'abort' | 'raz' | 'stall'; readonly record: readonly bigint[] | null };

const C_BAD_STREAMID = 0x02;
const F_STE_FETCH = 0x03;
const C_BAD_STE = 0x04;
const F_STREAM_DISABLED = 0x06;
const C_BAD_SUBSTREAMID = 0x08;
const F_CD_FETCH = 0x09;
const C_BAD_CD = 0x0a;

/** A configuration that ends the transaction: thrown. */
class Ended {
  readonly record: readonly bigint[] | null;

  constructor(record: readonly bigint[] | null) {
    this.record = record;
  }
}

const word0 = (id: number, q: PlainRequest, ssid: boolean): bigint => {
  const w = BigInt(id) | (BigInt(q.sid) << 32n);
  return ssid && q.ssid >= 0 ? w | (1n << 11n) | (BigInt(q.ssid) << 12n) : w;
};

const configEvent = (id: number, q: PlainRequest, fetch = 0n): Ended =>
  new Ended([word0(id, q, true), 0n, 0n, bits(fetch, 51, 3) << 3n]);

const badSubstream = (q: PlainRequest): Ended =>
  new Ended([BigInt(C_BAD_SUBSTREAMID) | (BigInt(q.sid) << 32n) | (BigInt(Math.max(q.ssid, 0)) << 12n), 0n, 0n, 0n]);

/** The record of a fault in a walk (IHI 0070, 7.3.12 to 7.3.16). */
function faultRecord(f: PlainFault, q: PlainRequest, stall: boolean): bigint[] {
  let w1 = BigInt(f.klass) << 40n;
  if (stall) w1 |= 1n << 31n;
  if (q.priv) w1 |= 1n << 33n;
  if (q.exec && !q.write) w1 |= 1n << 34n;
  if (!q.write) w1 |= 1n << 35n;
  if (f.stage === 2) w1 |= 1n << 39n;
  if (f.id === F_PERMISSION && f.klass === CLASS_TT && f.ttRead) w1 |= 1n << 44n;
  const w3 = f.id === F_WALK_EABT ? bits(f.fetch, 51, 3) << 3n : bits(f.ipa, 51, 12) << 12n;
  return [word0(f.id, q, true), w1, q.address, w3];
}

/** 64 bytes; null: external abort. */
function record64(m: PlainMemory, at: bigint): bigint[] | null {
  const words: bigint[] = [];
  for (let i = 0n; i < 8n; i++) {
    const w = m.read(at + 8n * i);
    if (w === null) return null;
    words.push(w);
  }
  return words;
}

function findSte(m: PlainMemory, r: PlainRegisters, f: PlainFeatures, q: PlainRequest): bigint[] {
  const bad = (): Ended => (flag(r.CR2, 1) ? configEvent(C_BAD_STREAMID, q) : new Ended(null));
  const sid = BigInt(q.sid);
  const cfg = r.STRTAB_BASE_CFG;
  const log2 = Math.min(num(cfg, 5, 0), f.sidBits);
  if (sid >> BigInt(log2) !== 0n) throw bad();
  const two = f.stLevel > 0 && num(cfg, 17, 16) === 1;
  let at: bigint;
  if (two) {
    const split = [6, 8, 10].includes(num(cfg, 10, 6)) ? num(cfg, 10, 6) : 6;
    const entries = Math.max(log2 - split, 0);
    const size = 8n << BigInt(entries);
    const base = (bits(r.STRTAB_BASE, 51, 6) << 6n) & ~((size > 64n ? size : 64n) - 1n);
    const l1 = base + 8n * (sid >> BigInt(split));
    const d = m.read(l1);
    if (d === null) throw configEvent(F_STE_FETCH, q, l1);
    const span = num(d, 4, 0);
    if (span === 0 || span > 11 || span > split + 1) throw bad();
    const index = bits(sid, split - 1, 0);
    if (index >> BigInt(span - 1) !== 0n) throw bad();
    const bytes = 64n << BigInt(span - 1);
    at = ((bits(d, 51, 6) << 6n) & ~(bytes - 1n)) + 64n * index;
  } else {
    const size = 64n << BigInt(log2);
    at = ((bits(r.STRTAB_BASE, 51, 6) << 6n) & ~(size - 1n)) + 64n * sid;
  }
  const ste = record64(m, at);
  if (!ste) throw configEvent(F_STE_FETCH, q, at);
  return ste;
}

/** The context descriptor of the transaction: its words. `toPhysical` is stage 2 when there is one. */
function findCd(
  m: PlainMemory,
  f: PlainFeatures,
  ste: readonly bigint[],
  q: PlainRequest,
  toPhysical: (address: bigint) => bigint,
): bigint[] {
  const ssid = BigInt(Math.max(q.ssid, 0));
  const pointer = bits(ste[0]!, 51, 6) << 6n;
  const cdMax = cdMaxOf(f, ste);
  const fmt = cdMax === 0 ? 0 : num(ste[0]!, 5, 4);
  if (ssid >> BigInt(cdMax) !== 0n) throw badSubstream(q);
  let at: bigint;
  if (fmt === 1 || fmt === 2) {
    const split = fmt === 1 ? 6 : 10;
    const size = 8n << BigInt(Math.max(cdMax - split, 0));
    const base = pointer & ~((size > 64n ? size : 64n) - 1n);
    const l1 = toPhysical(base + 8n * (ssid >> BigInt(split)));
    const d = m.read(l1);
    if (d === null) throw configEvent(F_CD_FETCH, q, l1);
    const table = bits(d, 51, 12) << 12n;
    // 3.4.3: a physical pointer beyond the output size makes the descriptor an invalid one; an intermediate one faults.
    if (!flag(d, 0) || (num(ste[0]!, 3, 1) === 5 && table >> BigInt(f.oas) !== 0n)) throw badSubstream(q);
    at = toPhysical((fmt === 2 ? table & ~0xffffn : table) + 64n * bits(ssid, split - 1, 0));
  } else at = toPhysical((pointer & ~((64n << BigInt(cdMax)) - 1n)) + 64n * ssid);
  const cd = record64(m, at);
  if (!cd) throw configEvent(F_CD_FETCH, q, at);
  return cd;
}

/** Stage 1: the half that the address belongs to, then the walk. */
function throughStage1(
  m: PlainMemory,
  cd: PlainCd,
  single: boolean,
  q: PlainRequest,
  toPhysical: (address: bigint, write: boolean) => bigint,
): bigint {
  const none = new PlainFault(F_TRANSLATION, 1, CLASS_IN, 0n, 0n, true);
  const upper = !single && flag(q.address, 55);
  const t = upper ? cd.high : cd.low;
  if (!t) throw none;
  const top = (upper ? cd.tbi1 : cd.tbi0) ? 55 : 63;
  const above = bits(q.address, top, t.inputBits);
  if (above !== (upper ? (1n << BigInt(top - t.inputBits + 1)) - 1n : 0n)) throw none;
  return stage1(m, t, q.address, q, toPhysical);
}

export function plainTranslate(m: PlainMemory, r: PlainRegisters, q: PlainRequest): PlainAnswer {
  const f = plainFeatures(r.idr);
  if (!flag(r.CR0, 0)) {
    if (flag(r.GBPA, 20) || q.address >> BigInt(f.oas) !== 0n) return { kind: 'abort', record: null };
    return { kind: 'reaches', pa: q.address };
  }
  let ste: bigint[] | null = null;
  let cd: PlainCd | null = null;
  try {
    ste = findSte(m, r, f, q);
    if (!flag(ste[0]!, 0)) throw configEvent(C_BAD_STE, q);
    const config = num(ste[0]!, 3, 1);
    if (config < 4) throw new Ended(null);
    const first = config === 5 || config === 7;
    let second: PlainStage2 | null = null;
    if (config >= 6) {
      second = f.s2p ? plainStage2(f, ste) : null;
      if (!second) throw configEvent(C_BAD_STE, q);
    }
    if (first && illegalStage1Ste(f, ste)) throw configEvent(C_BAD_STE, q);
    if (config > 4 && illegalEats(f, ste)) throw configEvent(C_BAD_STE, q);
    const table = second;
    const toPa = (klass: number) => (address: bigint, write: boolean) =>
      table ? stage2(m, table, address, { write, exec: false, priv: true }, klass) : address;

    let bypass1 = !first;
    if (first) {
      const cdMax = cdMaxOf(f, ste);
      const dss = num(ste[1]!, 1, 0);
      if (q.ssid >= 0) {
        if (cdMax === 0) throw badSubstream(q);
        if (dss === 2 && q.ssid === 0)
          throw new Ended([BigInt(F_STREAM_DISABLED) | (BigInt(q.sid) << 32n), 0n, 0n, 0n]);
      } else if (cdMax > 0) {
        if (dss === 0 || dss === 3) throw new Ended([BigInt(F_STREAM_DISABLED) | (BigInt(q.sid) << 32n), 0n, 0n, 0n]);
        bypass1 = dss === 1;
      }
    } else if (q.ssid >= 0) throw badSubstream(q);

    let ipa = q.address;
    if (bypass1) {
      if (ipa >> BigInt(f.oas) !== 0n) throw new PlainFault(F_ADDR_SIZE, 1, CLASS_IN, 0n, 0n, true);
    } else {
      const regime = streamWorld(f, ste) !== 2 ? 'EL1' : flag(r.CR2, 0) ? 'EL2-E2H' : 'EL2';
      const words = findCd(m, f, ste, q, (a) => toPa(CLASS_CD)(a, false));
      cd = plainCd(f, words, regime, flag(ste[1]!, 27));
      if (!cd) throw configEvent(C_BAD_CD, q);
      ipa = throughStage1(m, cd, regime === 'EL2', q, toPa(CLASS_TT));
    }
    return { kind: 'reaches', pa: table ? stage2(m, table, ipa, q, CLASS_IN) : ipa };
  } catch (e) {
    if (e instanceof Ended) return { kind: 'abort', record: e.record };
    if (!(e instanceof PlainFault)) throw e;
    if (e.id === F_WALK_EABT) return { kind: 'abort', record: faultRecord(e, q, false) };
    // Without a context descriptor nothing switches recording off.
    if (e.stage === 1 && !cd) return { kind: 'abort', record: faultRecord(e, q, false) };
    const stall = e.stage === 1 ? cd!.s : flag(ste![2]!, 57);
    if (stall) return { kind: 'stall', record: faultRecord(e, q, true) };
    const recorded = e.stage === 1 ? cd!.r : flag(ste![2]!, 58);
    const raz = e.stage === 1 && !cd!.a;
    return { kind: raz ? 'raz' : 'abort', record: recorded ? faultRecord(e, q, false) : null };
  }
}
