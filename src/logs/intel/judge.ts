/** What words without a label can be of VT-d: only what has known numbers and no reserved bit. */

import { reservedBits } from '../../engine/bits/index.ts';
import { contextLayout, faultReason, frcdLayout, pasidLayout, prqLayout } from '../../engine/vtd/layout/index.ts';
import type { VtdHint } from '../hex-line.ts';
import { descriptorFaults } from './descriptor.ts';
import { pasidEntryFaults } from './entries.ts';
import { field } from './walk.ts';

const zero = (words: readonly bigint[]): boolean => words.every((w) => w === 0n);
const noReserved = (layout: Parameters<typeof reservedBits>[0], w: readonly bigint[]): boolean =>
  zero(reservedBits(layout, w));

const isDescriptor = (w: readonly bigint[]): boolean =>
  descriptorFaults(w).length === 0 && (w[0] ?? 0n) !== 0n && zero(w.slice(2));

const isPageRequest = (w: readonly bigint[]): boolean =>
  ((w[0] ?? 0n) & 0xffn) === 1n && noReserved(prqLayout, w) && (field(prqLayout, 'PDP', w) === 1n || zero(w.slice(2)));

const isFault = (w: readonly bigint[]): boolean =>
  field(frcdLayout, 'F', w) === 1n &&
  noReserved(frcdLayout, w) &&
  faultReason(Number(field(frcdLayout, 'FR', w))).mnemonic !== '' &&
  field(frcdLayout, 'AT', w) < 3n;

const isPasidEntry = (w: readonly bigint[]): boolean =>
  field(pasidLayout, 'P', w) === 1n &&
  pasidEntryFaults(w).length === 0 &&
  (field(pasidLayout, 'PGTT', w) === 4n ||
    field(pasidLayout, 'SSPTPTR', w) !== 0n ||
    field(pasidLayout, 'FSPTPTR', w) !== 0n);

const isContext = (w: readonly bigint[]): boolean =>
  field(contextLayout, 'P', w) === 1n && noReserved(contextLayout, w) && field(contextLayout, 'PASIDDIRPTR', w) !== 0n;

/** Whether each group of n words passes a test, or is empty. Stops at the first that does not. */
function allAre(words: readonly bigint[], n: number, test: (w: readonly bigint[]) => boolean): boolean {
  if (words.length % n !== 0) return false;
  for (let i = 0; i < words.length; i += n) {
    const group = words.slice(i, i + n);
    if (!zero(group) && !test(group)) return false;
  }
  return true;
}

/** Kind, words of one, test; the first that holds for all of them decides. */
const kinds: readonly (readonly [VtdHint, number, (w: readonly bigint[]) => boolean])[] = [
  ['vtd page request', 4, isPageRequest],
  ['vtd descriptor', 4, isDescriptor],
  ['vtd pasid', 8, isPasidEntry],
  ['vtd context', 4, isContext],
  ['vtd fault', 2, isFault],
  ['vtd descriptor', 2, isDescriptor],
];

export interface Verdict {
  readonly kind: VtdHint;
  /** Words of one entry. */
  readonly size: number;
}

/** What the words are, or null. Empty entries among others count as nothing. */
export function judgeVtd(words: readonly bigint[]): Verdict | null {
  if (zero(words)) return null;
  const found = kinds.find(([, size, test]) => allAre(words, size, test));
  return found ? { kind: found[0], size: found[1] } : null;
}

/** Words of one entry where a label says what they are; 0: a page table. */
export function sizeOf(kind: VtdHint, words: readonly bigint[]): number {
  switch (kind) {
    case 'vtd descriptor':
      return allAre(words, 4, isDescriptor) ? 4 : 2;
    case 'vtd context':
      return allAre(words, 4, isContext) ? 4 : 2;
    case 'vtd page request':
      return 4;
    case 'vtd pasid':
      return 8;
    case 'vtd directory':
      return 1;
    case 'vtd root':
    case 'vtd fault':
    case 'vtd interrupt':
      return 2;
    default:
      return 0;
  }
}
