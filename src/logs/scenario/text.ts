/** What a document made from a dump says about itself. */

import { hexPlain } from '../../engine/bits/index.ts';
import type { Missing } from './plan.ts';

/** Text of the step with the access. @param why why this address */
export function accessText(why: string, missing: readonly Missing[]): string {
  const first = missing[0];
  return `The device sends ${why}.${first ? ` The text does not hold ${first.what}: ${first.bytes} bytes at ${hexPlain(first.at)} would be read there, and are zero here.` : ''}`;
}

/** The document's description. @param who names the device, where the text does */
export function aboutText(who: string, why: string, notes: readonly string[], missing: readonly Missing[]): string {
  const lines = [
    'Made from a pasted dump: its bytes lie at their addresses, and the hardware model reads nothing else.',
    `${who} sends ${why}.`,
    ...notes,
  ];
  if (missing.length > 0)
    lines.push(
      `Not in the text: ${missing.map((m) => `${m.what} (${m.bytes} bytes at ${hexPlain(m.at)})`).join('; ')}. Paste these bytes as well to walk on.`,
    );
  return lines.join('\n\n');
}

const GiB = 2 ** 30;
const MOST_MEMORY = 2 ** 48;

/** Why a document cannot hold a dump, or null. @param top the first address above everything in it */
export const tooHigh = (top: number): string | null =>
  top > MOST_MEMORY
    ? `An address of the text (${hexPlain(top)}) lies above 2^48, the most memory that a document has.`
    : null;

/** Memory of a document that ends above an address, in whole GiB. */
export const memoryUpTo = (top: number): string => hexPlain(Math.max(GiB, Math.ceil(top / GiB) * GiB));
