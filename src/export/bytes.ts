/** Bytes as text and back, and their checksum. The same in a page and on the command line. */

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const digits = new Map([...alphabet].map((c, i) => [c, i]));

/** Base64 with the letters that an address may hold, without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const v = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const letters = Math.min(4, bytes.length - i + 1);
    for (let k = 0; k < letters; k++) out += alphabet[(v >> (18 - 6 * k)) & 63];
  }
  return out;
}

/** @returns null for a text that `toBase64Url` never writes */
export function fromBase64Url(text: string): Uint8Array | null {
  const rest = text.length % 4;
  if (rest === 1) return null;
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let v = 0;
  let bits = 0;
  let n = 0;
  for (const c of text) {
    const d = digits.get(c);
    if (d === undefined) return null;
    v = ((v << 6) | d) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out[n++] = (v >> bits) & 255;
  }
  return (v & ((1 << bits) - 1)) === 0 ? out : null;
}

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** CRC-32 as PNG and zip have it (ISO 3309). */
export function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const b of bytes) c = crcTable[(c ^ b) & 255]! ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/** Seven bits a byte, the lowest first; the top bit says that more follow. */
export function writeVarint(out: number[], value: number): void {
  let v = value;
  for (; v > 127; v = Math.floor(v / 128)) out.push((v % 128) | 128);
  out.push(v);
}

/** @returns the value and where the next byte stands; null when it does not end in time or passes 2^35 */
export function readVarint(bytes: Uint8Array, at: number): { readonly value: number; readonly next: number } | null {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const b = bytes[at + i];
    if (b === undefined) return null;
    value += (b & 127) * 128 ** i;
    if (b < 128) return { value, next: at + i + 1 };
  }
  return null;
}
