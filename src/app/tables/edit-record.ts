import { type Explained, explain, type Field, hex, type Layout, setField } from '../../engine/bits/index.ts';
import type { InspectedRecord } from '../../engine/machine/index.ts';
import type { Step } from '../../store/index.ts';

/** A record that is being edited: the words as they would be, and what was typed that is no value yet. */
export interface Draft {
  readonly layout: Layout;
  /** As memory has them. */
  readonly from: readonly bigint[];
  readonly words: readonly bigint[];
  /** What stands in an input, by its key, where it isn't simply the value. */
  readonly typed: Readonly<Record<string, string>>;
  /** What is wrong with it. */
  readonly errors: Readonly<Record<string, string>>;
}

export const draftOf = (layout: Layout, words: readonly bigint[]): Draft => ({
  layout,
  from: words,
  words,
  typed: {},
  errors: {},
});

export const fieldKey = (f: Field): string => `field ${f.word} ${f.lo} ${f.name}`;
export const wordKey = (word: number): string => `word ${word}`;

/** A number as people write it: `0x4020_0000`, `12`. Null: it is none. */
export function readNumber(text: string): bigint | null {
  const plain = text.trim().replaceAll('_', '');
  return /^(?:0x[0-9a-f]+|[0-9]+)$/i.test(plain) ? BigInt(plain) : null;
}

const widthOf = (f: Field): number => f.hi - f.lo + 1;

/** @returns what is wrong with a field's new value, '' when nothing */
export function fieldProblem(f: Field, text: string): string {
  const value = readNumber(text);
  if (value === null) return 'Not a number: write 0x10 or 16.';
  if (f.format === 'addr') {
    const unit = 1n << BigInt(f.lo);
    if (value % unit !== 0n) return `Not a multiple of ${hex(unit)}.`;
    if (value >> BigInt(f.hi + 1)) return `More than ${f.hi + 1} bits.`;
    return '';
  }
  const most = (1n << BigInt(widthOf(f))) - 1n;
  return value > most ? `At most ${f.format === 'hex' ? hex(most) : most} in ${widthOf(f)} bits.` : '';
}

/** Leaves the keys out that `of` names. */
const without = (o: Readonly<Record<string, string>>, of: (key: string) => boolean): Record<string, string> =>
  Object.fromEntries(Object.entries(o).filter(([k]) => !of(k)));

/** What other inputs show follows the words again, where they show the same word. */
function settled(d: Draft, word: number, key: string): Pick<Draft, 'typed' | 'errors'> {
  const same = (k: string): boolean => k !== key && (k === wordKey(word) || k.startsWith(`field ${word} `));
  return { typed: without(d.typed, same), errors: without(d.errors, same) };
}

/** A field gets what was typed; the word follows once it is a value that fits. */
export function typeField(d: Draft, f: Field, text: string): Draft {
  const key = fieldKey(f);
  const problem = fieldProblem(f, text);
  if (problem !== '') return { ...d, typed: { ...d.typed, [key]: text }, errors: { ...d.errors, [key]: problem } };
  const words = [...d.words];
  setField(f, words, readNumber(text)!);
  const rest = settled(d, f.word, key);
  return { ...d, words, typed: { ...rest.typed, [key]: text }, errors: without(rest.errors, (k) => k === key) };
}

/** A whole word gets what was typed. */
export function typeWord(d: Draft, word: number, text: string): Draft {
  const key = wordKey(word);
  const plain = text.trim();
  // A word is always hexadecimal, with or without the prefix.
  const value = readNumber(/^0x/i.test(plain) ? plain : `0x${plain}`);
  const problem = value === null ? 'Not a hexadecimal number.' : value >> 64n ? 'More than 64 bits.' : '';
  if (problem !== '') return { ...d, typed: { ...d.typed, [key]: text }, errors: { ...d.errors, [key]: problem } };
  const words = d.words.map((w, i) => (i === word ? value! : w));
  const rest = settled(d, word, key);
  return { ...d, words, typed: { ...rest.typed, [key]: text }, errors: without(rest.errors, (k) => k === key) };
}

export const isChanged = (d: Draft): boolean => d.words.some((w, i) => w !== d.from[i]);
export const isSound = (d: Draft): boolean => Object.keys(d.errors).length === 0;

export interface FieldChange {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

const valueText = (f: Explained): string => (f.valueName === '' ? f.text : `${f.text} (${f.valueName})`);

/** Fields whose value would be another. Where the layout itself follows from the bits it may be another one afterwards. */
export function fieldChanges(d: Draft): FieldChange[] {
  const before = explain(d.layout, d.from);
  return explain(d.layout, d.words).flatMap((f, i) => {
    const b = before[i]!;
    return b.value === f.value ? [] : [{ name: f.field.name, from: valueText(b), to: valueText(f) }];
  });
}

/** The words that differ, with where they lie in the record. */
export const wordChanges = (d: Draft): { readonly word: number; readonly from: bigint; readonly to: bigint }[] =>
  d.words.flatMap((to, word) => (to === d.from[word] ? [] : [{ word, from: d.from[word]!, to }]));

/**
 * The step that writes the draft: one stretch, from the first word that differs to the last, so that nothing beside it is
 * touched. @param several there is more than one guest, so the step must say whose memory it is
 */
export function stepOf(d: Draft, record: Pick<InspectedRecord, 'address' | 'space' | 'guest'>, several: boolean): Step {
  const changes = wordChanges(d);
  const first = changes[0]!.word;
  const last = changes.at(-1)!.word;
  return {
    do: 'memory.write',
    ...(several && record.space === 'guest' && record.guest !== undefined ? { guest: record.guest } : {}),
    space: record.space,
    at: `0x${(record.address! + 8 * first).toString(16)}`,
    u64: d.words.slice(first, last + 1).map((w) => `0x${w.toString(16)}`),
  } as unknown as Step;
}
