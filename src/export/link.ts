import { crc32, fromBase64Url, readVarint, toBase64Url, writeVarint } from './bytes.ts';
import { preset1 } from './link-preset.ts';
import { compress, expand } from './text-coder.ts';

/**
 * A link that holds a whole document and a place in it, behind the `#` of an address: browsers send that part nowhere.
 *
 * `d=1` and, in base64url: CRC-32 of what follows (4 bytes, big-endian) · step · event · bytes of the text (each a varint) ·
 * the text in UTF-8, made small by `text-coder.ts` with `link-preset.ts`.
 */

/** Where the document is looked at: the first `event` events of step `step` have happened. */
export interface LinkPlace {
  readonly step: number;
  readonly event: number;
}

/** The key in the fragment. */
const linkKey = 'd';
const version = '1';

/**
 * Characters that a whole address may have. RFC 9110 (4.1) asks everybody on the way to take 8000; chat and mail programs
 * cut longer ones.
 */
export const longestLink = 8000;

/** Bytes that the text of a link may have: a damaged or hostile link costs no more than this, whatever it claims. */
export const longestLinkedText = 512 * 1024;

const preset = new TextEncoder().encode(preset1);

/**
 * @param text  a document, serialized
 * @param most  characters that the fragment may have
 * @returns the fragment without `#`; null when it would be longer
 */
export function encodeLink(text: string, place: LinkPlace, most = longestLink): string | null {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length > longestLinkedText) return null;
  const head: number[] = [];
  writeVarint(head, place.step);
  writeVarint(head, place.event);
  writeVarint(head, bytes.length);
  const room = Math.floor((most - linkKey.length - 2) * 0.75) - 4 - head.length;
  const small = room > 0 ? compress(bytes, preset, room) : null;
  if (!small) return null;
  const body = Uint8Array.from([...head, ...small]);
  const sum = crc32(body);
  const whole = Uint8Array.from([sum >>> 24, (sum >>> 16) & 255, (sum >>> 8) & 255, sum & 255, ...body]);
  const link = `${linkKey}=${version}${toBase64Url(whole)}`;
  return link.length > most ? null : link;
}

export type Linked =
  | { readonly ok: true; readonly text: string; readonly place: LinkPlace }
  /** What is wrong, and what to do about it. */
  | { readonly ok: false; readonly problem: string; readonly remedy: string };

const refused = (problem: string, remedy: string): Linked => ({ ok: false, problem, remedy });
const again = 'Copy the whole link once more, or ask for the document as a file.';

/**
 * Reads what `encodeLink` wrote. The text that comes back is not checked: it may be anything of a bounded size. Never throws.
 * @param data  what stands behind `d=`
 */
export function decodeLink(data: string): Linked {
  const written = data[0] ?? '';
  if (written !== version)
    return /^[2-9]$/.test(written)
      ? refused(
          `The link was made by a newer iommuscope (version ${written}; this one reads version ${version}).`,
          'Open it with the iommuscope that it came from, or ask for the document as a file.',
        )
      : refused('The link is damaged: it does not begin with its version.', again);
  const whole = fromBase64Url(data.slice(1));
  if (!whole) return refused('The link is damaged: it has characters that no link has, or its end is missing.', again);
  const body = whole.subarray(4);
  const sum = ((whole[0]! << 24) | (whole[1]! << 16) | (whole[2]! << 8) | whole[3]!) >>> 0;
  if (whole.length < 7 || sum !== crc32(body))
    return refused('The link is damaged: it was changed or cut on its way.', again);
  let at = 0;
  const numbers: number[] = [];
  for (let i = 0; i < 3; i++) {
    const v = readVarint(body, at);
    if (!v) return refused('The link is damaged: it was changed or cut on its way.', again);
    numbers.push(v.value);
    at = v.next;
  }
  const [step, event, length] = numbers as [number, number, number];
  if (length > longestLinkedText)
    return refused(
      `The link claims to hold ${(length / 1048576).toFixed(1)} MiB; at most ${longestLinkedText / 1024} KiB is read.`,
      'Ask for the document as a file.',
    );
  try {
    const bytes = expand(body.subarray(at), preset, length);
    // A mark at the start is part of the text.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return { ok: true, text, place: { step, event } };
  } catch {
    return refused('The link holds no text.', again);
  }
}
