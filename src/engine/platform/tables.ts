import {
  findPath,
  type MemoryPlace,
  rawLayout,
  type TableEntry,
  type TableInput,
  type TableMemory,
  type TableRef,
  type TableRoot,
} from '../machine/index.ts';
import { type MemorySnapshot, PAGE_SIZE } from '../memory/index.ts';
import { guestNamed, type Machine } from './machine.ts';
import type { RingAt, RingKind } from './scene-queue.ts';

/** Where a table lies that an entry of another leads to. */
export type Locate = (from: TableRef, address: number, bytes: number) => MemoryPlace | null;

/** What an entry says, without its place. */
export type Said = Omit<TableEntry, 'index' | 'address' | 'words'>;

/** A vendor's formats. */
export interface TableFormats<P extends Machine> {
  /** Every table that can be found without opening another; those that lie at one address are listed once. */
  readonly roots: (p: P, entryAt: (ref: TableRef, index: number) => TableEntry | undefined) => readonly TableRoot[];
  /** @param index of the entry in its table */
  readonly entry: (p: P, ref: TableRef, index: number, words: readonly bigint[], locate: Locate) => Said;
}

type Read = (address: number) => bigint;

/** The tables of a machine as it stands, and as it stood at a snapshot of its memory. */
export class MachineTables<P extends Machine> implements TableMemory {
  private readonly p: P;
  private readonly formats: TableFormats<P>;
  private readonly earlier: MemorySnapshot | null;
  private words: readonly number[] | null = null;
  private readonly pages = new Map<number, Set<number>>();

  constructor(p: P, formats: TableFormats<P>, earlier: MemorySnapshot | null) {
    this.p = p;
    this.formats = formats;
    this.earlier = earlier;
  }

  roots(): readonly TableRoot[] {
    const seen = new Set<string>();
    return this.formats.roots(this.p, this.entryAt).filter(({ ref }) => {
      const place = `${ref.space} ${ref.guest ?? ''} ${ref.address} ${ref.bytes}`;
      if (seen.has(place)) return false;
      seen.add(place);
      return true;
    });
  }

  /** Host physical address, -1 where there is none. */
  private host(place: MemoryPlace, address: number): number {
    return place.space === 'host' ? address : guestNamed(this.p, place.guest).memory.resolve(address);
  }

  private reader(place: MemoryPlace, then: MemorySnapshot | null): Read {
    const { memory } = this.p;
    const word: Read = then ? (pa) => memory.readWordOf(then, pa) : (pa) => memory.readWord(pa);
    if (place.space === 'host') return word;
    const guest = guestNamed(this.p, place.guest).memory;
    return (gpa) => {
      const pa = guest.resolve(gpa);
      return pa < 0 ? 0n : word(pa);
    };
  }

  private list(ref: TableRef, from: number, count: number, then: MemorySnapshot | null): TableEntry[] {
    const read = this.reader(ref, then);
    const out: TableEntry[] = [];
    const end = Math.min(ref.entries, from + count);
    for (let index = Math.max(0, from); index < end; index++) {
      const address = ref.address + index * ref.bytes;
      const words = Array.from({ length: ref.bytes / 8 }, (_, i) => read(address + 8 * i));
      out.push({ index, address, words, ...this.formats.entry(this.p, ref, index, words, this.locate) });
    }
    return out;
  }

  private readonly entryAt = (ref: TableRef, index: number): TableEntry | undefined => this.entries(ref, index, 1)[0];

  /** The guest's memory as its CPUs see it; where that has nothing, through the second stage's own tables. */
  private readonly locate: Locate = (from, address, bytes) => {
    const { through } = from;
    if (!through) return { space: from.space, ...(from.guest ? { guest: from.guest } : {}), address };
    const guest = from.guest ? { guest: from.guest } : {};
    if (from.guest && guestNamed(this.p, from.guest).memory.contains(address, bytes))
      return { space: 'guest', ...guest, address };
    const { output } = findPath(this.entryAt, through, { address: BigInt(address) });
    return output === null ? null : { space: 'host', ...guest, address: Number(output) };
  };

  entries(ref: TableRef, from: number, count: number): TableEntry[] {
    return this.list(ref, from, count, null);
  }

  before(ref: TableRef, from: number, count: number): TableEntry[] {
    return this.list(ref, from, count, this.earlier);
  }

  blank(place: MemoryPlace, bytes: number): boolean {
    for (let at = place.address; at < place.address + bytes; at += PAGE_SIZE - (at % PAGE_SIZE)) {
      const pa = this.host(place, at);
      if (pa >= 0 && !this.p.memory.isBlank(pa)) return false;
    }
    return true;
  }

  changes(): readonly number[] {
    if (this.words) return this.words;
    this.words = this.earlier ? this.p.memory.changedSince(this.earlier) : [];
    for (const w of this.words) {
      const page = w - (w % PAGE_SIZE);
      const words = this.pages.get(page) ?? new Set<number>();
      this.pages.set(page, words.add(w));
    }
    return this.words;
  }

  changed(place: MemoryPlace, bytes: number): boolean {
    if (this.changes().length === 0) return false;
    const end = place.address + bytes;
    for (let at = place.address; at < end; ) {
      const next = Math.min(end, at + PAGE_SIZE - (at % PAGE_SIZE));
      const pa = this.host(place, at);
      const words = pa < 0 ? undefined : this.pages.get(pa - (pa % PAGE_SIZE));
      if (words) {
        if (next - at === PAGE_SIZE) return true;
        for (let w = pa - (pa % 8); w < pa + next - at; w += 8) if (words.has(w)) return true;
      }
      at = next;
    }
    return false;
  }

  read(place: MemoryPlace, words: number): bigint[] | null {
    const { memory } = place.space === 'host' ? this.p : guestNamed(this.p, place.guest);
    if (!memory.contains(place.address, words * 8)) return null;
    const read = this.reader(place, null);
    return Array.from({ length: words }, (_, i) => read(place.address + 8 * i));
  }
}

/** An entry that nothing was written to. */
export const isZero = (words: readonly bigint[]): boolean => words.every((w) => w === 0n);

/** Address with its guest, of a table that a driver or a register names. */
export const placeIn = (guest: string | null, address: number): MemoryPlace =>
  guest === null ? { space: 'host', address } : { space: 'guest', guest, address };

/** A ring of commands or records. */
export const ringRef = (place: MemoryPlace, format: string, title: string, kind: RingKind, size: number): TableRef => ({
  ...place,
  format,
  args: [],
  title,
  entries: size,
  bytes: kind.words * 8,
  input: 'slot',
  inputName: 'slot',
  base: 0n,
  span: 1n,
  last: true,
});

/** Where a ring stands, for its line. */
export const ringAbout = (r: Pick<RingAt, 'size' | 'prod' | 'cons'>): string =>
  `${r.size} entries, producer at ${r.prod & (r.size - 1)}, consumer at ${r.cons & (r.size - 1)}`;

/** What an entry of a ring says. */
export const ringEntry = (kind: RingKind, words: readonly bigint[]): Said =>
  isZero(words)
    ? { layout: rawLayout(words.length), kind: 'empty', text: 'never written', attributes: '', children: [] }
    : { layout: kind.layout(words), kind: 'record', text: kind.text(words), attributes: '', children: [] };

export interface Shape {
  readonly title: string;
  readonly entries: number;
  readonly bytes: number;
  readonly input: TableInput;
  readonly inputName: string;
  readonly base?: bigint;
  readonly span?: bigint;
}

/** A table by its shape. */
export const tableRef = (
  place: MemoryPlace,
  format: string,
  args: readonly number[],
  s: Shape,
  more: Partial<Pick<TableRef, 'last' | 'stage' | 'without' | 'through' | 'signed'>> = {},
): TableRef => ({ base: 0n, span: 1n, ...s, ...place, format, args, ...more });
