import type { RingKind } from '../../platform/index.ts';
import { descriptorLayout, descriptorText, pageRequestText, prqLayout } from '../layout/index.ts';

const descriptor = (words: 2 | 4): RingKind => ({
  words,
  entry: 'Descriptor',
  text: (w) => descriptorText(w).text,
  about: (w) => descriptorText(w).text,
  layout: descriptorLayout,
});

const wide = descriptor(4);
const narrow = descriptor(2);

/** Descriptors of 32 bytes, or of 16. */
export const invalidationKind = (words: number): RingKind => (words === 4 ? wide : narrow);

/** Page requests: 32 bytes each. */
export const requestRing: RingKind = {
  words: 4,
  entry: 'Request',
  text: pageRequestText,
  about: pageRequestText,
  layout: () => prqLayout,
};

/** A ring as its registers describe it. */
export interface Ring {
  readonly kind: RingKind;
  readonly base: number;
  /** Entries. */
  readonly size: number;
  readonly prod: number;
  readonly cons: number;
  readonly wraps: false;
}

type Read = (register: string) => bigint;

const PAGE = ~0xfffn;

/** The invalidation queue: 16 or 32 bytes an entry by IQA_REG.DW. Source: VT-d specification, 11.4.9.3. */
export function invalidationRing(read: Read): Ring {
  const iqa = read('IQA_REG');
  const isWide = ((iqa >> 11n) & 1n) === 1n;
  const shift = isWide ? 5 : 4;
  const size = 2 ** (Number(iqa & 7n) + (isWide ? 7 : 8));
  const at = (reg: string): number => (Number(read(reg) & 0x7fff0n) >> shift) & (size - 1);
  const kind = isWide ? wide : narrow;
  return { kind, base: Number(iqa & PAGE), size, prod: at('IQT_REG'), cons: at('IQH_REG'), wraps: false };
}

/** The page request queue. Source: VT-d specification, 11.4.11.3. */
export function requestQueue(read: Read): Ring {
  const pqa = read('PQA_REG');
  const size = 2 ** (Number(pqa & 7n) + 7);
  const at = (reg: string): number => (Number(read(reg) & 0x7ffe0n) >> 5) & (size - 1);
  const base = Number(pqa & PAGE);
  return { kind: requestRing, base, size, prod: at('PQT_REG'), cons: at('PQH_REG'), wraps: false };
}

/** `head 3 tail 5`, or the error that the queue stands at: one short line, so that a box keeps its size. */
export function ringText(r: Ring, error = ''): string {
  if (error !== '') return `${error} at ${r.cons}`;
  return r.prod === r.cons ? `empty at ${r.prod}` : `head ${r.cons} tail ${r.prod}`;
}

/** Errors of the invalidation queue by their bits of FSTS_REG. */
const queueErrors = [
  [1n << 4n, 'IQE'],
  [1n << 6n, 'ITE'],
  [1n << 5n, 'ICE'],
] as const;

/** The error that the invalidation queue has, '' without one. */
export const queueError = (read: Read): string =>
  queueErrors.find(([bit]) => (read('FSTS_REG') & bit) !== 0n)?.[1] ?? '';
