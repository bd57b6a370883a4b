import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import type { Bus } from '../../memory/index.ts';
import { commandLayout, commandText, eventLayout, eventText, priLayout, registers } from '../layout/index.ts';
import { entryWords, pageRequestText, type RingKind, readWords } from './scene-queue.ts';

export type Part = { row?: number; index?: number } | undefined;
export type Fact = Inspection['facts'][number];
export type Base = { title: string; subtitle: string; records: InspectedRecord[]; facts: Fact[] };

export const fact = (name: string, value: string, note?: string): Fact =>
  note === undefined ? { name, value } : { name, value, note };

export const registerRecord = (name: string, value: bigint): InspectedRecord => ({
  title: name,
  layout: registers.find((r) => r.name === name)!.layout,
  words: [value],
});

const what: Readonly<Record<RingKind, string>> = { cmdq: 'Command', evtq: 'Event', priq: 'Request' };

function described(kind: RingKind, words: bigint[]) {
  switch (kind) {
    case 'cmdq':
      return { layout: commandLayout(words), text: commandText(words).text };
    case 'evtq':
      return { layout: eventLayout(words), text: eventText(words) };
    case 'priq':
      return { layout: priLayout, text: pageRequestText(words) };
  }
}

/** One entry of a queue, with the queue's registers behind it unless it was asked for by itself. */
export function queueEntry(
  bus: Bus,
  space: 'guest' | 'host',
  base: Base,
  kind: RingKind,
  q: { readonly base: number; readonly index: number; readonly named: boolean },
  regs: InspectedRecord[],
): Inspection {
  const address = q.base + q.index * entryWords[kind] * 8;
  const words = readWords(bus, address, entryWords[kind]);
  if (words.every((w) => w === 0n)) return { ...base, records: regs };
  const { layout, text } = described(kind, words);
  const title = `${what[kind]} ${q.index}: ${layout.name}`;
  const entry: InspectedRecord = { title, layout, words, address, space };
  return q.named
    ? { ...base, title: `${base.title}, entry ${q.index}`, subtitle: text, records: [entry] }
    : { ...base, records: [entry, ...regs] };
}
