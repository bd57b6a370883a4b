import type { Layout } from '../bits/index.ts';
import type { InspectedRecord, Inspection, SceneQueue } from '../machine/index.ts';
import type { Bus } from '../memory/index.ts';

/** Entries of a ring that a picture shows. */
const SHOWN = 8;

export const readWords = (bus: Bus, at: number, n: number): bigint[] =>
  Array.from({ length: n }, (_, i) => bus.readWord(at + 8 * i));

/** Where a ring lies and between which positions its entries wait. */
export interface RingAt {
  readonly base: number;
  /** Entries. */
  readonly size: number;
  /** Positions, which count on over the ring when `wraps`. */
  readonly prod: number;
  readonly cons: number;
  /** The positions carry a wrap bit. Without it a ring whose positions are equal is empty. */
  readonly wraps: boolean;
}

/** What lies in a ring. */
export interface RingKind {
  /** 64-bit words of an entry. */
  readonly words: number;
  /** What an entry is called: `Command`. */
  readonly entry: string;
  readonly text: (words: readonly bigint[]) => string;
  /** One line about the entry for the inspector. */
  readonly about: (words: readonly bigint[]) => string;
  readonly layout: (words: readonly bigint[]) => Layout;
}

/** The ring between CONS and PROD, and a few entries before. `error`: the queue stands at the oldest of them. */
export function queueView(bus: Bus, kind: RingKind, r: RingAt, error = false): SceneQueue {
  const { size, prod, cons } = r;
  const mask = (r.wraps ? 2 : 1) * size - 1;
  const pending = (prod - cons) & mask;
  // What was overwritten is not shown.
  const from = Math.max(prod - SHOWN, prod >= size ? prod - size : 0);
  const slots = [];
  for (let at = from; at < prod; at++) {
    const index = at & (size - 1);
    const entry = readWords(bus, r.base + index * kind.words * 8, kind.words);
    const ahead = (prod - at) & mask;
    const state =
      ahead > pending ? ('done' as const) : error && ahead === pending ? ('error' as const) : ('pending' as const);
    slots.push({ index, text: kind.text(entry), state });
  }
  return { size, prod: prod & (size - 1), cons: cons & (size - 1), slots };
}

export type Part = { row?: number; index?: number } | undefined;
export type Fact = Inspection['facts'][number];
export type Base = { title: string; subtitle: string; records: InspectedRecord[]; facts: Fact[] };

export const fact = (name: string, value: string, note?: string): Fact =>
  note === undefined ? { name, value } : { name, value, note };

/** A register as a record, by its layout in a list of registers. */
export const registerRecordOf =
  (registers: readonly { readonly name: string; readonly layout: Layout }[]) =>
  (name: string, value: bigint): InspectedRecord => ({
    title: name,
    layout: registers.find((r) => r.name === name)!.layout,
    words: [value],
  });

/** One entry of a queue, with the queue's registers behind it unless it was asked for by itself. */
export function queueEntry(
  bus: Bus,
  space: 'guest' | 'host',
  base: Base,
  kind: RingKind,
  q: { readonly base: number; readonly index: number; readonly named: boolean },
  regs: InspectedRecord[],
): Inspection {
  const address = q.base + q.index * kind.words * 8;
  const words = readWords(bus, address, kind.words);
  if (words.every((w) => w === 0n)) return { ...base, records: regs };
  const layout = kind.layout(words);
  const title = `${kind.entry} ${q.index}: ${layout.name}`;
  const entry: InspectedRecord = { title, layout, words, address, space };
  return q.named
    ? { ...base, title: `${base.title}, entry ${q.index}`, subtitle: kind.about(words), records: [entry] }
    : { ...base, records: [entry, ...regs] };
}
