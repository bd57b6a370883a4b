/** The document's notations of numbers, byte strings, names of values and requester ids. */

const units: Readonly<Record<string, bigint>> = { KiB: 1n << 10n, MiB: 1n << 20n, GiB: 1n << 30n, TiB: 1n << 40n };

/** A number as text: `0x1f`, `0x4010_0000`, `4096`, `4KiB`, `-1`. For JSON Schema and for reading. */
export const numberPattern = /^-?(?:0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|[0-9]+(?:[KMGT]iB)?)$/;
/** `$name`, `$name+0x1000`, `$name-1`. */
export const referencePattern = /^\$([A-Za-z_][A-Za-z0-9_]*)(?:([+-])(0[xX][0-9a-fA-F]+|[0-9]+(?:[KMGT]iB)?))?$/;
/** What a name that `as` binds looks like. */
export const namePattern = /^(?!__)[A-Za-z_][A-Za-z0-9_]*$/;
/** Bytes in memory order, two digits each. */
export const hexPattern = /^(?:[0-9a-fA-F]{2})*$/;
/** `0000:01:00.0` or `01:00.0`: segment, bus, device, function. */
export const ridPattern = /^(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([01]?[0-9a-fA-F])\.([0-7])$/;

/** Longer texts are no number of 64 bits in any notation; refusing them keeps BigInt quick. */
const longest = 80;

/** @returns the number that the text stands for, undefined when it is none. No range is checked. */
export function readNumber(text: string): bigint | undefined {
  if (text.length > longest || !numberPattern.test(text)) return undefined;
  const negative = text.startsWith('-');
  const body = (negative ? text.slice(1) : text).replaceAll('_', '');
  const unit = /[KMGT]iB$/.exec(body)?.[0];
  const v = unit ? BigInt(body.slice(0, -3)) * units[unit]! : BigInt(body);
  return negative ? -v : v;
}

/** A JSON number or a text as a whole number; undefined for anything else, fractions and doubles above 2^53 included. */
export function toBigint(v: unknown): bigint | undefined {
  if (typeof v === 'bigint') return v;
  if (typeof v === 'number') return Number.isSafeInteger(v) ? BigInt(v) : undefined;
  return typeof v === 'string' ? readNumber(v) : undefined;
}

/** A `$name` with the constant that is added to it. */
export interface Reference {
  readonly name: string;
  readonly add: bigint;
}

/** @returns undefined when the value is no text that starts with `$`, null when it starts so but is malformed */
export function readReference(v: unknown): Reference | null | undefined {
  if (typeof v !== 'string' || !v.startsWith('$')) return undefined;
  const m = v.length <= longest * 2 ? referencePattern.exec(v) : null;
  if (!m) return null;
  const add = m[3] ? readNumber(m[3])! : 0n;
  return { name: m[1]!, add: m[2] === '-' ? -add : add };
}

/**
 * A requester id: `0000:01:00.0`, or a number.
 * @returns segment << 16 | bus << 8 | device << 3 | function, undefined when it is none
 */
export function readRid(v: unknown): number | undefined {
  const m = typeof v === 'string' ? ridPattern.exec(v) : null;
  if (m) {
    const [segment, bus, device, fn] = m.slice(1).map((x) => Number.parseInt(x ?? '0', 16)) as number[];
    return segment! * 65536 + bus! * 256 + device! * 8 + fn!;
  }
  const n = toBigint(v);
  return n !== undefined && n >= 0n && n <= 0xffffffffn ? Number(n) : undefined;
}

/** `0000:01:00.0` */
export function ridText(rid: number): string {
  const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');
  return `${hex(Math.floor(rid / 65536), 4)}:${hex((rid >>> 8) & 0xff, 2)}:${hex((rid >>> 3) & 0x1f, 2)}.${rid & 7}`;
}

/** @returns the bytes of a hex string in memory order; the text must match `hexPattern` */
export function hexBytes(text: string): Uint8Array {
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(i * 2, i * 2 + 2), 16);
  return out;
}

export const bytesHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

/** Little-endian bytes of equally wide numbers. */
export function packBytes(values: readonly bigint[], width: number): Uint8Array {
  const out = new Uint8Array(values.length * width);
  values.forEach((v, i) => {
    for (let b = 0; b < width; b++) out[i * width + b] = Number((v >> BigInt(b * 8)) & 0xffn);
  });
  return out;
}

/** Little-endian numbers of equal width; a rest shorter than one number is left out. */
export function unpackBytes(bytes: Uint8Array, width: number): bigint[] {
  const out: bigint[] = [];
  for (let i = 0; i + width <= bytes.length; i += width) {
    let v = 0n;
    for (let b = width - 1; b >= 0; b--) v = (v << 8n) | BigInt(bytes[i + b]!);
    out.push(v);
  }
  return out;
}

/** How a range reads in a message: small numbers decimal, others hexadecimal. */
export const rangeText = (min: bigint, max: bigint): string => `${plain(min)} to ${plain(max)}`;
const plain = (v: bigint): string =>
  v < 1024n && v > -1024n ? `${v}` : v < 0n ? `-0x${(-v).toString(16)}` : `0x${v.toString(16)}`;

/** Names of fields whose texts are bytes in memory order, never numbers. */
export const byteFields: ReadonlySet<string> = new Set(['hex', 'data', 'bitmap', 'tail', 'bytes', 'entries']);
