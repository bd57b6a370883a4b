import { explain, hex, hexBits, type Layout } from '../bits/index.ts';

/**
 * Tables in memory as every vendor's are: entries of some words, found by an index, that say nothing, lead to another table,
 * or map a page. What a view shows of them is read from the bytes each time; a reference only says where and in what format.
 */

/** A place in memory. `guest` names whose memory it is; with space `host` whose addresses the entries hold, if not physical ones. */
export interface MemoryPlace {
  readonly space: 'guest' | 'host';
  readonly guest?: string;
  readonly address: number;
}

/** What chooses an entry: the address that is translated, the device, the process's number, or a place in a ring. */
export type TableInput = 'address' | 'device' | 'PASID' | 'slot';

/** One table: plain data, from which the platform reads any of its entries. */
export interface TableRef extends MemoryPlace {
  /** The vendor's name of the format, with what else must be known to read an entry (a level, a granule). */
  readonly format: string;
  readonly args: readonly number[];
  /** `L2 table`, `CD table`, `Page directory`. */
  readonly title: string;
  readonly entries: number;
  /** Bytes of an entry, a multiple of 8. */
  readonly bytes: number;
  readonly input: TableInput;
  /** Standard term of the input: `VA`, `IPA`, `StreamID`, `SSID`. */
  readonly inputName: string;
  /** Input of the first entry, and how many an entry covers. */
  readonly base: bigint;
  readonly span: bigint;
  /** Bits of the input, where those above repeat its top bit (canonical addresses): the upper half of the entries is at the top. */
  readonly signed?: number;
  /** No entry leads to another table. */
  readonly last?: true;
  /** The stage that a page table belongs to, or that the tables belong to which it leads to. */
  readonly stage?: 1 | 2;
  /** Table of PASIDs: what a request without one gets, the entry of this PASID, no first stage, or a fault. Absent: entry 0. */
  readonly without?: bigint | 'bypass' | 'fault';
  /** The second stage that the addresses in the entries go through. */
  readonly through?: TableRef;
}

/** A table that nothing above it need be opened for. */
export interface TableRoot {
  /** `S1 tables dma0` */
  readonly title: string;
  /** `guest memory 0x4010_0000, ASID 1` */
  readonly about: string;
  /** Scene object that it belongs to; '' without one. */
  readonly object: string;
  readonly ref: TableRef;
  /** The devices whose requests begin here, with the input that finds their entry. */
  readonly devices?: readonly { readonly name: string; readonly id: bigint }[];
}

export interface TableEntry {
  readonly index: number;
  readonly address: number;
  readonly words: readonly bigint[];
  readonly layout: Layout;
  /**
   * `empty`: all words are zero. `invalid`: hardware ignores it, but there is something. `table`: leads on. `page`: maps what
   * it covers. `record`: neither, such as a queue's entry.
   */
  readonly kind: 'empty' | 'invalid' | 'table' | 'page' | 'record';
  /** One line: `0x4020_0000 read and write`, `table 0x4010_2000`, `S1 translate`. */
  readonly text: string;
  /** Output address of a page. */
  readonly output?: bigint;
  /** All that isn't the output: pages with the same of it, whose outputs follow one another, make a run. */
  readonly attributes: string;
  /** What it lets pass untranslated comes out as it went in. */
  readonly bypass?: true;
  readonly children: readonly TableRef[];
}

/** The tables of one moment of a machine. Nothing of it is copied: each call reads what it needs. */
export interface TableMemory {
  roots(): readonly TableRoot[];
  /** Entries `from` to `from + count - 1`, as far as the table has them. */
  entries(ref: TableRef, from: number, count: number): readonly TableEntry[];
  /** The same as they were before the step. */
  before(ref: TableRef, from: number, count: number): readonly TableEntry[];
  /** Nothing was ever written there: all zero, without reading it. */
  blank(place: MemoryPlace, bytes: number): boolean;
  /** Words of it differ from before the step. */
  changed(place: MemoryPlace, bytes: number): boolean;
  /** Words of memory that differ from before the step, by host physical address, ascending. */
  changes(): readonly number[];
  /** Words at an address; null where that is no memory. */
  read(place: MemoryPlace, words: number): readonly bigint[] | null;
}

/** Inputs of a walk. Without a PASID a request has none. */
export type TableGoal = Partial<Readonly<Record<TableInput, bigint>>>;

export interface PathStep {
  readonly ref: TableRef;
  readonly entry: TableEntry;
}

/** The way that a walk takes. */
export interface TablePath {
  readonly steps: readonly PathStep[];
  /** What comes out of this stage; null: it ends before. */
  readonly output: bigint | null;
  /** The second stage of that output. */
  readonly second?: TablePath;
}

const valueFor = (ref: TableRef, goal: TableGoal): bigint | 'bypass' | null => {
  const v = goal[ref.input];
  if (v !== undefined) return v;
  if (ref.input !== 'PASID') return null;
  return ref.without === 'fault' ? null : (ref.without ?? 0n);
};

/** What of an input counts from the table's first entry on; -1 where it is none of the table's. */
function offsetOf(ref: TableRef, v: bigint): bigint {
  const { base, span, entries, signed } = ref;
  if (signed !== undefined && canonical(v, signed) !== v) return -1n;
  const at = (signed === undefined ? v : BigInt.asUintN(signed, v)) - base;
  return at >= 0n && at < span * BigInt(entries) ? at : -1n;
}

/** The 64-bit address whose bits above repeat the top one. */
const canonical = (v: bigint, bits: number): bigint => BigInt.asUintN(64, BigInt.asIntN(bits, v));

const covers = (ref: TableRef, goal: TableGoal): boolean => {
  const v = valueFor(ref, goal);
  return v === 'bypass' || (v !== null && offsetOf(ref, v) >= 0n);
};

/** Index of the entry for an input, -1 where the table has none. */
export const indexFor = (ref: TableRef, goal: TableGoal): number => {
  const v = valueFor(ref, goal);
  if (typeof v !== 'bigint') return -1;
  const at = offsetOf(ref, v);
  return at < 0n ? -1 : Number(at / ref.span);
};

/** Input that entries cover, from its first to its last value. */
export const inputRange = (ref: TableRef, index: number, count = 1): { readonly from: bigint; readonly to: bigint } => {
  const from = ref.base + ref.span * BigInt(index);
  const to = from + ref.span * BigInt(count) - 1n;
  const { signed } = ref;
  return signed === undefined ? { from, to } : { from: canonical(from, signed), to: canonical(to, signed) };
};

/** More levels than any format has: a table that leads to itself ends here. */
const DEEPEST = 24;

/** The entries that a walk with these inputs goes through, from a table on. Reads one entry a level. */
export function findPath(
  entryAt: (ref: TableRef, index: number) => TableEntry | undefined,
  root: TableRef,
  goal: TableGoal,
): TablePath {
  const steps: PathStep[] = [];
  let second: TableRef | undefined;
  const out = (output: bigint | null): TablePath =>
    output === null || !second
      ? { steps, output }
      : { steps, output, second: findPath(entryAt, second, { address: output }) };
  let ref = root;
  while (steps.length < DEEPEST) {
    const index = indexFor(ref, goal);
    const entry = index < 0 ? undefined : entryAt(ref, index);
    if (!entry) return out(null);
    steps.push({ ref, entry });
    if (entry.bypass) return out(goal.address ?? null);
    if (entry.kind === 'page') {
      const from = inputRange(ref, index).from;
      return out(entry.output === undefined ? null : entry.output + ((goal[ref.input] ?? from) - from));
    }
    const next = entry.children.find((c) => covers(c, goal));
    if (!next) return out(null);
    const other = entry.children.find((c) => c.stage === 2);
    if (other && next !== other) second = other;
    if (valueFor(next, goal) === 'bypass') return out(goal.address ?? null);
    ref = next;
  }
  return out(null);
}

/**
 * Fields that are set, as one line: names of flags and of values, other numbers behind their names.
 * @param skip fields that are said otherwise
 */
export const fieldsLine = (layout: Layout, words: readonly bigint[], skip: readonly string[] = []): string =>
  explain(layout, words)
    .filter((f) => f.applies && f.value !== 0n && !skip.includes(f.field.name) && !/^Ignored/.test(f.field.name))
    .map((f) => {
      if (f.field.format === 'flag') return f.field.name;
      return f.valueName === '' || f.valueName === f.text ? `${f.field.name} ${f.text}` : f.valueName;
    })
    .join(' · ');

/** Bytes as a size: `4 KiB`, `2 MiB`. */
export function sizeOf(bytes: bigint): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
  let n = bytes;
  let i = 0;
  while (n >= 1024n && n % 1024n === 0n && i < units.length - 1) {
    n /= 1024n;
    i++;
  }
  return `${n} ${units[i]}`;
}

/** Whatever lies at an address, word by word, for a place whose format nobody knows. */
export const rawLayout = (words: number): Layout => ({
  id: `raw.${words}`,
  name: 'raw',
  title: `${words * 8} bytes as they lie in memory`,
  words,
  source: 'Little-endian words of 64 bits, the lowest address first.',
  fields: Array.from({ length: words }, (_, i) =>
    hexBits(`+${hex(i * 8, 2)}`, i, 63, 0, `The 64-bit word at offset ${hex(i * 8, 2)}.`),
  ),
});
