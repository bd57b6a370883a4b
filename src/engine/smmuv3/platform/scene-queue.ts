import type { SceneQueue } from '../../machine/index.ts';
import type { Bus } from '../../memory/index.ts';
import { commandText, decodePageRequest, eventName } from '../layout/index.ts';

/** Entries of a ring that a picture shows. */
const SHOWN = 8;

export const readWords = (bus: Bus, at: number, n: number): bigint[] =>
  Array.from({ length: n }, (_, i) => bus.readWord(at + 8 * i));

/** Where a ring lies and between which positions its entries wait; positions carry the wrap bit. */
export interface RingAt {
  readonly base: number;
  /** Entries. */
  readonly size: number;
  readonly prod: number;
  readonly cons: number;
}

export type RingKind = 'cmdq' | 'evtq' | 'priq';

/** 64-bit words of an entry. */
export const entryWords: Readonly<Record<RingKind, number>> = { cmdq: 2, evtq: 4, priq: 2 };

const texts: Readonly<Record<RingKind, (w: readonly bigint[]) => string>> = {
  cmdq: (w) => commandText(w).text,
  evtq: (w) => eventName(Number(w[0]! & 0xffn)),
  priq: (w) => pageRequestText(w),
};

/** `page 0x10000 PASID 1 rw group 3 last` */
export function pageRequestText(words: readonly bigint[]): string {
  const f = decodePageRequest(words);
  const is = (name: string): boolean => f[name] === 1n;
  const access = `${is('PermRead') ? 'r' : ''}${is('PermWrite') ? 'w' : ''}${is('PermExec') ? 'x' : ''}`;
  const pasid = is('SSV') ? ` PASID ${f['SSID']}` : '';
  return `page 0x${f['Address']!.toString(16)}${pasid} ${access || 'no access'} group ${f['PRGIndex']}${is('Last') ? ' last' : ''}`;
}

/** The ring between CONS and PROD, and a few entries before. `error`: the queue stands at the oldest of them. */
export function queueView(bus: Bus, kind: RingKind, r: RingAt, error = false): SceneQueue {
  const { size, prod, cons } = r;
  const words = entryWords[kind];
  const mask = 2 * size - 1;
  const pending = (prod - cons) & mask;
  // Positions count on over the ring; what was overwritten is not shown.
  const from = Math.max(prod - SHOWN, prod >= size ? prod - size : 0);
  const slots = [];
  for (let at = from; at < prod; at++) {
    const index = at & (size - 1);
    const entry = readWords(bus, r.base + index * words * 8, words);
    const ahead = (prod - at) & mask;
    const state =
      ahead > pending ? ('done' as const) : error && ahead === pending ? ('error' as const) : ('pending' as const);
    slots.push({ index, text: texts[kind](entry), state });
  }
  return { size, prod: prod & (size - 1), cons: cons & (size - 1), slots };
}
