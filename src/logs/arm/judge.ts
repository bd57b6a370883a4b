/**
 * What bytes without a name can be: a command, an event record, an STE, a CD, or a table of descriptors, judged by what is
 * legal in each.
 */

import { fieldOf, getField, type Layout, reservedBits } from '../../engine/bits/index.ts';
import {
  cdLayout,
  commandLayout,
  eventIds,
  eventLayout,
  steLayout,
  unknownCommandLayout,
} from '../../engine/smmuv3/layout/index.ts';
import { type Hint, isVtdHint } from '../hex-line.ts';
import { cdBreaches, getter, illegalAnyway, steBreaches } from './legality.ts';

export type Kind = 'event' | 'command' | 'page request' | 'ste' | 'cd' | 'descriptors' | 'l1std' | 'l1cd';

/** `legal`: every entry can be used as it is. `shaped`: no reserved bit is set, but something in it is illegal. */
export type Fit = 'legal' | 'shaped' | 'no';

export interface Candidate {
  readonly kind: Kind;
  readonly fit: Fit;
  /** Fields that the others make meaningless are zero, as software leaves them. */
  readonly natural: boolean;
  /** Why it fits or not. */
  readonly reason: string;
  /** How many STEs or CDs it would be. */
  readonly entries?: number;
}

const zero = (words: readonly bigint[]): boolean => words.every((w) => w === 0n);
const groups = (words: readonly bigint[], n: number): bigint[][] =>
  Array.from({ length: Math.floor(words.length / n) }, (_, i) => words.slice(i * n, i * n + n));

/** Whether the words can be an event record: a known id, no reserved bit in the first word, and a class that the stage allows. */
export function plausibleEvent(words: readonly bigint[]): boolean {
  const id = Number((words[0] ?? 0n) & 0xffn);
  if (!Object.values(eventIds).includes(id)) return false;
  if (((words[0] ?? 0n) & 0x700n) !== 0n) return false;
  if (id < 0x10 || id > 0x13 || words.length < 2) return true;
  const layout = eventLayout(words);
  const get = (name: string): bigint => getField(fieldOf(layout, name), words);
  return (
    get('CLASS') !== 3n && (get('S2') === 1n || get('CLASS') === 2n) && (((words[1] ?? 0n) >> 16n) & 0x7fffn) === 0n
  );
}

/** Whether the words can be a command: a known opcode and no reserved bit. */
export function plausibleCommand(words: readonly bigint[]): boolean {
  const layout = commandLayout(words);
  return layout !== unknownCommandLayout && reservedBits(layout, words).every((w) => w === 0n);
}

/** Fields that do not apply and the implementation defined ones are zero. */
function natural(layout: Layout, words: readonly bigint[]): boolean {
  const get = getter(layout, words);
  return layout.fields.every(
    (f) =>
      words[f.word] === 0n ||
      getField(f, words) === 0n ||
      (!f.name.startsWith('IMPDEF') && (f.when === undefined || f.when(get))),
  );
}

const masks = new Map<Layout, readonly bigint[]>();

/** First word with a reserved bit set, or -1. */
function reservedWord(layout: Layout, words: readonly bigint[]): number {
  let m = masks.get(layout);
  // What of all ones no field describes.
  if (!m) masks.set(layout, (m = reservedBits(layout, new Array<bigint>(layout.words).fill((1n << 64n) - 1n))));
  return m.findIndex((mask, i) => ((words[i] ?? 0n) & mask) !== 0n);
}

interface Verdict {
  readonly fit: Fit;
  readonly natural: boolean;
  readonly reason: string;
}

/** One STE. */
export function judgeSte(words: readonly bigint[]): Verdict {
  const reserved = reservedWord(steLayout, words);
  if (reserved >= 0) return { fit: 'no', natural: false, reason: `reserved bits are set in DW${reserved}` };
  const bad = illegalAnyway(steBreaches(words));
  const config = Number((words[0]! >> 1n) & 7n);
  const nat = natural(steLayout, words);
  if (bad.length > 0) {
    // Without V there is nothing that tells an STE from anything else, but DW4 to DW7 would be zero.
    const shaped = (words[0]! & 1n) === 1n ? config >= 4 : zero(words.slice(4));
    return { fit: shaped ? 'shaped' : 'no', natural: nat, reason: bad.map((b) => b.text).join('; ') };
  }
  if (config < 4 && words[0]! !== 1n)
    return { fit: nat ? 'legal' : 'shaped', natural: false, reason: `V is 1 and Config ${config} aborts everything` };
  return { fit: 'legal', natural: nat, reason: `V is 1, Config ${config}, nothing in it is illegal` };
}

/** One CD. */
export function judgeCd(words: readonly bigint[]): Verdict {
  const reserved = reservedWord(cdLayout, words);
  if (reserved >= 0) return { fit: 'no', natural: false, reason: `reserved bits are set in DW${reserved}` };
  const all = cdBreaches(words);
  const bad = illegalAnyway(all);
  const nat = natural(cdLayout, words);
  if (bad.length > 0) {
    const shaped = zero(words.slice(5)) && ((words[0]! >> 41n) & 1n) === 1n;
    return { fit: shaped ? 'shaped' : 'no', natural: nat, reason: bad.map((b) => b.text).join('; ') };
  }
  if (((words[0]! >> 41n) & 1n) === 0n)
    return { fit: 'shaped', natural: nat, reason: 'V is 1, but AA64 is 0, which Linux never writes' };
  return { fit: 'legal', natural: nat, reason: 'V and AA64 are 1, nothing in it is illegal' };
}

const low = (w: bigint, n: number): number => Number(w & ((1n << BigInt(n)) - 1n));
const highZero = (w: bigint): boolean => ((w >> 48n) & 0x7n) === 0n;

/** Whether a word is a descriptor as drivers write them, at some level; zero is an invalid one. */
export function plausibleDescriptor(w: bigint): boolean {
  if (w === 0n) return true;
  if ((w & 1n) === 0n || !highZero(w)) return false;
  if ((w & 2n) !== 0n) {
    // A page has its access flag; a table has nothing in the ignored bits.
    return (w & 0x400n) !== 0n || low(w, 12) === 3;
  }
  return (w & 0x400n) !== 0n && ((w >> 12n) & 0x1efn) === 0n;
}

const plausibleL1std = (w: bigint): boolean =>
  w === 0n || (low(w, 5) >= 1 && low(w, 5) <= 11 && (w & 0x20n) === 0n && w >> 52n === 0n && w >> 6n !== 0n);

const plausibleL1cd = (w: bigint): boolean => w === 0n || (low(w, 12) === 1 && w >> 52n === 0n && w >> 12n !== 0n);

function records(kind: 'ste' | 'cd', words: readonly bigint[]): Candidate | null {
  if (words.length % 8 !== 0) return null;
  const judgeOne = kind === 'ste' ? judgeSte : judgeCd;
  let fit: Fit = 'legal';
  let nat = true;
  let reason = '';
  let any = false;
  for (const [i, g] of groups(words, 8).entries()) {
    if (zero(g)) continue;
    any = true;
    const v = judgeOne(g);
    nat &&= v.natural;
    if (v.fit === 'no' || (v.fit === 'shaped' && fit === 'legal') || reason === '') {
      reason = words.length > 8 ? `entry ${i}: ${v.reason}` : v.reason;
      if (v.fit !== 'legal') fit = v.fit;
    }
    if (v.fit === 'no') break;
  }
  const entries = words.length / 8;
  return any
    ? { kind, fit, natural: nat, reason, entries }
    : { kind, fit: 'shaped', natural: true, reason: 'V is 0: not valid', entries };
}

const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function singles(kind: Kind, words: readonly bigint[], ok: (w: bigint) => boolean, what: string): Candidate {
  const bad = words.findIndex((w) => !ok(w));
  const used = words.filter((w) => w !== 0n).length;
  if (bad >= 0)
    return { kind, fit: 'no', natural: false, reason: `word ${bad} (0x${words[bad]!.toString(16)}) is no ${what}` };
  return {
    kind,
    fit: used === 0 ? 'shaped' : 'legal',
    // Linux makes every level-2 stream table of 256 STEs.
    natural: kind !== 'l1std' || words.every((w) => w === 0n || low(w, 5) === 9),
    reason: used === 0 ? `every word is an invalid ${what}` : `${counted(used, what)}, the rest invalid`,
  };
}

function queueEntries(kind: 'event' | 'command', words: readonly bigint[]): Candidate | null {
  const n = kind === 'event' ? 4 : 2;
  if (words.length % n !== 0) return null;
  const ok = kind === 'event' ? plausibleEvent : plausibleCommand;
  const all = groups(words, n);
  const bad = all.findIndex((g) => !ok(g));
  const what = kind === 'event' ? 'event record' : 'command';
  if (bad < 0)
    return {
      kind,
      fit: 'legal',
      natural: true,
      reason: `${counted(all.length, what)} with known numbers and no reserved bit`,
    };
  const first = `0x${(all[bad]![0]! & 0xffn).toString(16)}`;
  return {
    kind,
    fit: 'no',
    natural: false,
    reason: `${kind === 'event' ? 'event number' : 'opcode'} ${first}${all.length > 1 ? ` (entry ${bad})` : ''} is reserved, or reserved bits are set`,
  };
}

/** Everything that words can be by their number, with a verdict for each. */
export function judge(words: readonly bigint[]): Candidate[] {
  return [
    queueEntries('event', words),
    queueEntries('command', words),
    records('ste', words),
    records('cd', words),
    singles('descriptors', words, plausibleDescriptor, 'page-table descriptor'),
    singles('l1std', words, plausibleL1std, 'level-1 stream table descriptor'),
    singles('l1cd', words, plausibleL1cd, 'level-1 context descriptor'),
  ].filter((c) => c !== null);
}

/** The kinds that a label allows. */
export const kindOfHint = (hint: Hint): Kind | null =>
  hint === null || isVtdHint(hint)
    ? null
    : hint === 'table' || hint === 'stage 1 table' || hint === 'stage 2 table'
      ? 'descriptors'
      : hint;

/**
 * Decides. Queue entries come first, as they are what logs hold; otherwise the best fit, and of equal ones the one whose unused
 * fields are zero.
 * @returns the kind, or null: undecided
 */
export function decide(candidates: readonly Candidate[]): Candidate | null {
  const legal = candidates.filter((c) => c.fit === 'legal');
  const queue = legal.find((c) => c.kind === 'event') ?? legal.find((c) => c.kind === 'command');
  if (queue) return queue;
  for (const level of ['legal', 'shaped'] as const) {
    const at = candidates.filter((c) => c.fit === level);
    if (at.length === 1) return at[0]!;
    const nat = at.filter((c) => c.natural);
    if (nat.length === 1) return nat[0]!;
    // Who shows exactly 64 bytes shows an STE or a CD rather than eight descriptors of a table.
    const whole = nat.filter((c) => c.entries === 1 && (c.kind === 'ste' || c.kind === 'cd'));
    if (whole.length === 1 && level === 'legal') return whole[0]!;
    if (at.length > 1) return null;
  }
  return null;
}

export interface RawItem {
  readonly kind: Kind;
  readonly words: readonly bigint[];
  /** Index of its first word in the block. */
  readonly word: number;
}

const sizes: Readonly<Record<Kind, number>> = {
  event: 4,
  command: 2,
  'page request': 2,
  ste: 8,
  cd: 8,
  descriptors: 512,
  l1std: 512,
  l1cd: 512,
};

/** Cuts words into entries of a kind; the last one may be short. */
export function cut(kind: Kind, words: readonly bigint[]): RawItem[] {
  const n = sizes[kind];
  return Array.from({ length: Math.ceil(words.length / n) }, (_, i) => ({
    kind,
    words: words.slice(i * n, i * n + n),
    word: i * n,
  }));
}
