import { Unzlib, zlibSync } from 'fflate';
import { crc32 } from './bytes.ts';

/** Text chunks of a PNG file (PNG specification, third edition, 11.3.3), written and read without looking at the picture. */

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const utf8 = new TextEncoder();

export const isPng = (bytes: Uint8Array): boolean => signature.every((b, i) => bytes[i] === b);

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const latin1 = (bytes: Uint8Array): string => Array.from(bytes, (b) => String.fromCharCode(b)).join('');

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 12);
  view(out).setUint32(0, data.length);
  out.set(utf8.encode(type), 4);
  out.set(data, 8);
  view(out).setUint32(data.length + 8, crc32(out.subarray(4, data.length + 8)));
  return out;
}

/** An iTXt chunk: UTF-8, compressed, without a language. */
function textChunk(keyword: string, text: string): Uint8Array {
  return chunk('iTXt', concat([utf8.encode(keyword), Uint8Array.of(0, 1, 0, 0, 0), zlibSync(utf8.encode(text))]));
}

/** The same picture with texts right behind its header, where they outlive a file that is cut. */
export function addPngTexts(png: Uint8Array, texts: readonly (readonly [keyword: string, text: string])[]): Uint8Array {
  const header = 8 + 25;
  const added = texts.map(([keyword, text]) => textChunk(keyword, text));
  return concat([png.subarray(0, header), ...added, png.subarray(header)]);
}

/** At most `most` bytes of what was compressed; null when there is more or the data is broken. */
function inflate(data: Uint8Array, most: number): Uint8Array | null {
  const parts: Uint8Array[] = [];
  let size = 0;
  let done = false;
  try {
    const stream = new Unzlib((part, final) => {
      size += part.length;
      if (size > most) throw new Error('too much');
      parts.push(part.slice());
      done = final;
    });
    // In small pieces: a piece can grow a thousandfold, and only between two of them is there a look at the size.
    for (let at = 0; at < data.length; at += 1024) stream.push(data.subarray(at, at + 1024), at + 1024 >= data.length);
  } catch {
    return null;
  }
  return done ? concat(parts) : null;
}

/** Keyword and text of a tEXt, zTXt or iTXt chunk; null when it is broken or its text has more than `most` bytes. */
function readText(type: string, data: Uint8Array, most: number): readonly [string, string] | null {
  const end = data.subarray(0, 80).indexOf(0);
  if (end < 1) return null;
  const keyword = latin1(data.subarray(0, end));
  if (type === 'tEXt') {
    const rest = data.subarray(end + 1);
    return rest.length > most ? null : [keyword, latin1(rest)];
  }
  if (type === 'zTXt') {
    const raw = data[end + 1] === 0 ? inflate(data.subarray(end + 2), most) : null;
    return raw && [keyword, latin1(raw)];
  }
  const language = data.indexOf(0, end + 3);
  const translated = language < 0 ? -1 : data.indexOf(0, language + 1);
  if (translated < 0) return null;
  const rest = data.subarray(translated + 1);
  const compressed = data[end + 1] === 1;
  if (compressed && data[end + 2] !== 0) return null;
  const raw = compressed ? inflate(rest, most) : rest.length > most ? null : rest;
  if (!raw) return null;
  try {
    return [keyword, new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw)];
  } catch {
    return null;
  }
}

export interface PngTexts {
  /** The first sound text of each keyword. */
  readonly texts: ReadonlyMap<string, string>;
  /** Keywords of chunks that were there but could not be read. */
  readonly broken: ReadonlySet<string>;
  /** True when the file ends inside a chunk. */
  readonly cut: boolean;
}

/**
 * The texts of a PNG file with these keywords. Never throws and never makes more than `most` bytes of one text, whatever
 * the lengths in the file claim.
 */
export function readPngTexts(bytes: Uint8Array, keywords: readonly string[], most: number): PngTexts {
  const texts = new Map<string, string>();
  const broken = new Set<string>();
  const v = view(bytes);
  let at = signature.length;
  while (at + 12 <= bytes.length) {
    const length = v.getUint32(at);
    const type = latin1(bytes.subarray(at + 4, at + 8));
    const end = at + 12 + length;
    if (end > bytes.length || type === 'IEND') return { texts, broken, cut: end > bytes.length };
    if (type === 'tEXt' || type === 'zTXt' || type === 'iTXt') {
      const data = bytes.subarray(at + 8, end - 4);
      const keyword = keywords.find((k) => latin1(data.subarray(0, k.length + 1)) === `${k}\0`);
      if (keyword !== undefined && !texts.has(keyword)) {
        const sound = v.getUint32(end - 4) === crc32(bytes.subarray(at + 4, end - 4));
        const read = sound ? readText(type, data, most) : null;
        if (read) texts.set(keyword, read[1]);
        else broken.add(keyword);
      }
    }
    at = end;
  }
  return { texts, broken, cut: true };
}
