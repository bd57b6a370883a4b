/**
 * A hardware record described once: encode, decode, explain and the bit ruler all come from the description.
 * Words are 64 bits, little-endian in memory, word 0 first; a value is a bigint at this edge.
 */

/** How a field's number is shown. `flag` is one bit, `enum` has names, `addr` is an address in place (its low bits are zero). */
export type FieldFormat = 'hex' | 'dec' | 'flag' | 'enum' | 'addr';

export interface Field {
  /** The specification's own name: `S2VMID`, `S1ContextPtr`. */
  readonly name: string;
  /** Index of the 64-bit word. */
  readonly word: number;
  readonly hi: number;
  readonly lo: number;
  readonly format: FieldFormat;
  /** One sentence for a reader. */
  readonly meaning: string;
  /** Names of values, for `enum` and `flag`. */
  readonly values?: Readonly<Record<number, string>>;
  /** Only meaningful when this holds; the ruler greys it out otherwise. */
  readonly when?: (get: (name: string) => bigint) => boolean;
}

export interface Layout {
  /** Stable id: `smmuv3.ste`. */
  readonly id: string;
  /** Standard term: `STE`. */
  readonly name: string;
  /** Longer title: `Stream table entry`. */
  readonly title: string;
  /** Number of 64-bit words. */
  readonly words: number;
  readonly fields: readonly Field[];
  /** Where the layout is defined. */
  readonly source: string;
}

/** A field's value in place in its record, for the inspector. */
export interface Explained {
  readonly field: Field;
  /** Right-aligned value; for `addr` fields the address (bits below `lo` zero). */
  readonly value: bigint;
  /** Value as text: `0x4010_0000`, `3`, `4 KiB`. */
  readonly text: string;
  /** Name of the value where it has one, else ''. */
  readonly valueName: string;
  /** False when another field makes this one irrelevant. */
  readonly applies: boolean;
}

const maskOf = (f: Field): bigint => (1n << BigInt(f.hi - f.lo + 1)) - 1n;

/** Finds a field by name; throws on an unknown name, since that is a mistake in our own code. */
export function fieldOf(layout: Layout, name: string): Field {
  const f = layout.fields.find((x) => x.name === name);
  if (!f) throw new Error(`${layout.id} has no field ${name}`);
  return f;
}

/** Reads one field. `addr` fields come back in place (shifted), all others right-aligned. */
export function getField(f: Field, words: ArrayLike<bigint>): bigint {
  const raw = ((words[f.word] ?? 0n) >> BigInt(f.lo)) & maskOf(f);
  return f.format === 'addr' ? raw << BigInt(f.lo) : raw;
}

/** Reads fields of a record by name; one that the layout has not reads as zero. */
export const fieldsOf =
  (layout: Layout, words: ArrayLike<bigint>) =>
  (name: string): bigint => {
    const field = layout.fields.find((f) => f.name === name);
    return field ? getField(field, words) : 0n;
  };

/**
 * Writes one field into `words` in place.
 * @throws RangeError when the value does not fit, or an address has bits below or above the field
 */
export function setField(f: Field, words: bigint[], value: bigint): void {
  const raw = f.format === 'addr' ? value >> BigInt(f.lo) : value;
  if (raw < 0n || raw > maskOf(f) || (f.format === 'addr' && raw << BigInt(f.lo) !== value))
    throw new RangeError(`${f.name} [${f.hi}:${f.lo}] cannot hold 0x${value.toString(16)}`);
  words[f.word] = ((words[f.word] ?? 0n) & ~(maskOf(f) << BigInt(f.lo))) | (raw << BigInt(f.lo));
}

/** Builds the record's words from named fields; fields left out are zero. */
export function encode(layout: Layout, values: Readonly<Record<string, number | bigint | boolean>>): bigint[] {
  const words = new Array<bigint>(layout.words).fill(0n);
  for (const [name, v] of Object.entries(values)) setField(fieldOf(layout, name), words, BigInt(v));
  return words;
}

/** All fields by name, as bigints. Bits that no field describes are not lost from the words, only not listed. */
export function decode(layout: Layout, words: ArrayLike<bigint>): Record<string, bigint> {
  const out: Record<string, bigint> = {};
  for (const f of layout.fields) out[f.name] = getField(f, words);
  return out;
}

/** Bits of each word that no field describes (reserved). */
export function reservedBits(layout: Layout, words: ArrayLike<bigint>): bigint[] {
  const out: bigint[] = [];
  for (let w = 0; w < layout.words; w++) {
    let rest = words[w] ?? 0n;
    for (const f of layout.fields) if (f.word === w) rest &= ~(maskOf(f) << BigInt(f.lo));
    out.push(rest);
  }
  return out;
}

/** Every field with its value, text and whether it applies, in word and bit order (low first). */
export function explain(layout: Layout, words: ArrayLike<bigint>): Explained[] {
  const get = (name: string): bigint => getField(fieldOf(layout, name), words);
  return [...layout.fields]
    .sort((a, b) => a.word - b.word || a.lo - b.lo)
    .map((field) => {
      const value = getField(field, words);
      const valueName = field.values?.[Number(value)] ?? '';
      return { field, value, text: fieldText(field, value), valueName, applies: field.when ? field.when(get) : true };
    });
}

function fieldText(f: Field, value: bigint): string {
  if (f.format === 'dec' || f.format === 'flag' || f.format === 'enum') return value.toString();
  return hex(value);
}

/** Hex as the project shows it: `0x4010_0000`, digits in groups of four after the prefix. */
export function hex(value: bigint | number, minDigits = 1): string {
  const s = value.toString(16).padStart(minDigits, '0');
  return `0x${s.replace(/\B(?=(?:[0-9a-f]{4})+$)/g, '_')}`;
}

/** Hex for machines and for output files: `0x40100000`. */
export const hexPlain = (value: bigint | number): string => `0x${value.toString(16)}`;

/** Words to bytes in memory order. */
export function wordsToBytes(words: ArrayLike<bigint>): Uint8Array {
  const out = new Uint8Array(words.length * 8);
  const view = new DataView(out.buffer);
  for (let i = 0; i < words.length; i++) view.setBigUint64(i * 8, BigInt.asUintN(64, words[i] as bigint), true);
  return out;
}

/** Bytes in memory order to words; a short tail is padded with zeros. */
export function bytesToWords(bytes: Uint8Array): bigint[] {
  const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
  padded.set(bytes);
  const view = new DataView(padded.buffer);
  return Array.from({ length: padded.length / 8 }, (_, i) => view.getBigUint64(i * 8, true));
}

/**
 * A field compiled to a reader over little-endian 32-bit halves, for hardware paths that must not allocate.
 * @returns (halves, base) => value; the field must be at most 32 bits wide. `base` is the index of the record's first half.
 */
export function halfReader(layout: Layout, name: string): (halves: ArrayLike<number>, base: number) => number {
  const f = fieldOf(layout, name);
  const width = f.hi - f.lo + 1;
  if (width > 32) throw new Error(`${layout.id}.${name} is wider than 32 bits`);
  const mask = width === 32 ? 0xffffffff : 2 ** width - 1;
  const i = f.word * 2;
  if (f.hi < 32) return (h, b) => (((h[b + i] as number) >>> f.lo) & mask) >>> 0;
  if (f.lo >= 32) return (h, b) => (((h[b + i + 1] as number) >>> (f.lo - 32)) & mask) >>> 0;
  return (h, b) => ((((h[b + i] as number) >>> f.lo) | ((h[b + i + 1] as number) << (32 - f.lo))) & mask) >>> 0;
}
