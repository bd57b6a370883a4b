/** Messages that a mail program or a terminal wrapped over several lines. */

import type { Lines } from './lines.ts';

/** What a parser finds in a text. */
export interface Parsed {
  /** Nothing of the message is missing. */
  readonly complete: boolean;
  /** How many parts were found; more is better. */
  readonly score: number;
}

export interface Joined<T> {
  /** The pieces, with a newline between them. */
  readonly text: string;
  /** How many lines after the first belong to it. */
  readonly taken: number;
  readonly parsed: T | null;
}

const bigintText = (_: string, v: unknown): unknown => (typeof v === 'bigint' ? v.toString() : v);

/** Most lines that one wrapped message may take after its first. */
const MOST_JOINED = 5;

/**
 * Parses a body, alone and joined with the lines behind it, until nothing is missing. Only bare lines are joined: one with a
 * time stamp begins a message of its own.
 * @param ahead where the next line is, seen from the current one; -1: no lookahead
 * @param stops whether a line (its body) begins something else, seen the text so far
 */
export function joinLines<T extends Parsed>(
  lines: Lines,
  body: string,
  ahead: number,
  parse: (text: string) => T | null,
  stops: (next: string, text: string) => boolean,
): Joined<T> {
  let best: Joined<T> = { text: body, taken: 0, parsed: parse(body) };
  if (ahead < 0) return best;
  if (best.parsed?.complete) return numberRest(lines, best, ahead, parse);
  let text = body;
  for (let k = 0; k < MOST_JOINED; k++) {
    const next = lines.peek(ahead + k);
    if (!next || next.headed || next.body === '' || stops(next.body, text)) break;
    text = text === '' ? next.body : `${text}\n${next.body}`;
    const parsed = parse(text);
    if (parsed && (parsed.complete || parsed.score > (best.parsed?.score ?? 0))) best = { text, taken: k + 1, parsed };
    if (parsed?.complete) return numberRest(lines, best, ahead + k + 1, parse);
  }
  return best;
}

/** A message that ends in a number is complete even if the line break cut the number: the rest is a line of digits. */
function numberRest<T extends Parsed>(
  lines: Lines,
  best: Joined<T>,
  ahead: number,
  parse: (text: string) => T | null,
): Joined<T> {
  const next = lines.peek(ahead);
  if (!next || next.headed || !/^[0-9a-f]{1,15}$/.test(next.body) || !/0x[0-9a-f]{0,15}$/.test(best.text)) return best;
  const text = `${best.text}\n${next.body}`;
  const parsed = parse(text);
  if (!parsed?.complete || JSON.stringify(parsed, bigintText) === JSON.stringify(best.parsed, bigintText)) return best;
  return { text, taken: best.taken + 1, parsed };
}
