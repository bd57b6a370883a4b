import * as z from 'zod/mini';
import { PA, type Take, U32, U64 } from './conversions.ts';
import {
  hexPattern,
  namePattern,
  numberPattern,
  rangeText,
  readReference,
  readRid,
  referencePattern,
  ridPattern,
  toBigint,
} from './number.ts';

// The page forbids eval, and the library would try it at its first object.
z.config({ jitless: true });

export { U64 } from './conversions.ts';

/** Titles and descriptions for the published JSON Schema; `id` makes a definition of its own. */
export const notes = z.registry<{
  id?: string;
  title?: string;
  description?: string;
  default?: unknown;
  examples?: readonly unknown[];
}>();

/** What a form draws for a field. */
export type FieldKind = 'number' | 'size' | 'device' | 'guest' | 'unit' | 'enum' | 'text' | 'hex' | 'boolean' | 'json';

export interface FieldForm {
  readonly kind: FieldKind;
  readonly about: string;
  readonly required: boolean;
  /** What holds when the field is left out, in the document's notation. */
  readonly default?: string | number | boolean | readonly string[];
  /** For `enum`: all values. For `text`: suggestions. */
  readonly values?: readonly string[];
  readonly min?: bigint;
  readonly max?: bigint;
  /** Numbers that are read in hexadecimal: addresses, register values. */
  readonly hex?: boolean;
}

/** One field of an operation: its place in the schema, in a form, and in the operation that a platform gets. */
export interface Field<S extends z.ZodMiniType = z.ZodMiniType, Out = unknown> {
  readonly schema: S;
  readonly form: FieldForm;
  readonly take: Take;
  /** Only a type: what the platform gets. */
  readonly out?: Out;
}

type Opt<S extends z.ZodMiniType> = z.ZodMiniOptional<S>;
/** A value of a step: a number in any notation, or `$name`. */
export type ValueSchema = z.ZodMiniType<number | string, number | string>;

const inSafe = (v: bigint): number =>
  Number(
    v > BigInt(Number.MAX_SAFE_INTEGER)
      ? BigInt(Number.MAX_SAFE_INTEGER)
      : v < -BigInt(Number.MAX_SAFE_INTEGER)
        ? -BigInt(Number.MAX_SAFE_INTEGER)
        : v,
  );

/** A number of a range in any notation; `names` also lets `$name` stand for it. */
export function amount(min: bigint, max: bigint, names: boolean): ValueSchema {
  const expected = `a number from ${rangeText(min, max)}${names ? ' or a $name' : ''}`;
  const error = (): string => expected;
  const pattern = names
    ? new RegExp(`${numberPattern.source}|${referencePattern.source}`)
    : new RegExp(numberPattern.source);
  return z
    .union(
      [
        z.int({ error }).check(z.minimum(inSafe(min), { error }), z.maximum(inSafe(max), { error })),
        z.string({ error }).check(z.regex(pattern, { error })),
      ],
      { error },
    )
    .check((payload) => {
      if (typeof payload.value !== 'string') return;
      if (names && readReference(payload.value)) return;
      const v = toBigint(payload.value);
      if (v === undefined || v < min || v > max)
        payload.issues.push({ code: 'custom', message: expected, input: payload.value });
    });
}

/** A requester id, `0000:01:00.0` or a number of 32 bits. */
export function ridAmount(): ValueSchema {
  const expected = 'a requester id such as "0000:01:00.0", or a number from 0 to 0xffffffff';
  const error = (): string => expected;
  const pattern = new RegExp(`${ridPattern.source}|${numberPattern.source}`);
  const either = z.union(
    [
      z.int({ error }).check(z.minimum(0, { error }), z.maximum(0xffffffff, { error })),
      z.string({ error }).check(z.regex(pattern, { error })),
    ],
    { error },
  );
  return either.check((payload) => {
    if (readRid(payload.value) === undefined)
      payload.issues.push({ code: 'custom', message: expected, input: payload.value });
  });
}

/** A text that a pattern describes; `expected` completes "expected ...". */
export function patterned(pattern: RegExp, expected: string, longest = 200): z.ZodMiniString {
  const error = (): string => expected;
  return z.string({ error }).check(z.regex(pattern, { error }), z.maxLength(longest, { error }));
}

export const oneOf = (values: readonly string[]): string => values.map((v) => JSON.stringify(v)).join(', ');

function annotated<S extends z.ZodMiniType, Out>(
  schema: S,
  form: Omit<FieldForm, 'required'>,
  take: Take,
): Field<S, Out> {
  const examples = form.kind === 'text' && form.values ? { examples: form.values } : {};
  notes.add(schema, { description: form.about, ...examples });
  return { schema, form: { ...form, required: true }, take };
}

interface Range {
  readonly min?: bigint;
  readonly max?: bigint;
  readonly hex?: boolean;
}

/** A number that stays below 2^53: an id, a count, a physical address. */
export function number(about: string, { min = 0n, max = U32, hex }: Range = {}): Field<ValueSchema, number> {
  return annotated(amount(min, max, true), { kind: 'number', about, min, max, hex }, 'number');
}

/** A physical or guest physical address. */
export const address = (about: string): Field<ValueSchema, number> => number(about, { max: PA, hex: true });

/** A 64-bit value: an input address, a register. */
export function word(about: string, max = U64): Field<ValueSchema, bigint> {
  return annotated(amount(0n, max, true), { kind: 'number', about, min: 0n, max, hex: true }, 'bigint');
}

export function size(about: string, { min = 1n, max = PA }: Range = {}): Field<ValueSchema, number> {
  return annotated(amount(min, max, true), { kind: 'size', about, min, max }, 'number');
}

export function choice<const V extends string>(about: string, values: readonly V[]): Field<z.ZodMiniType<V, V>, V> {
  const schema = z.enum(values, { error: () => `one of ${oneOf(values)}` }) as unknown as z.ZodMiniType<V, V>;
  return annotated(schema, { kind: 'enum', about, values }, 'same');
}

export function device(about: string): Field<z.ZodMiniString, string> {
  return annotated(patterned(deviceName, 'the name of a device'), { kind: 'device', about }, 'same');
}
export const deviceName = /^[A-Za-z_][A-Za-z0-9_.-]*$/;

/** Names of guests and units become parts of scene ids, so they have no dots and are none of the words that follow there. */
export const partName = /^(?!(?:device|ste|s1|cdtable|obj)$)[A-Za-z_][A-Za-z0-9_-]*$/;
export const partNameText = 'a name of letters, digits, _ and - other than device, ste, s1, cdtable and obj';

export function guest(about: string): Field<Opt<z.ZodMiniString>, string | undefined> {
  return optional(annotated(patterned(partName, 'the name of a guest'), { kind: 'guest', about }, 'same'));
}

export function unit(about: string): Field<Opt<z.ZodMiniString>, string | undefined> {
  return optional(annotated(patterned(partName, 'the name of a unit'), { kind: 'unit', about }, 'same'));
}

export function text(
  about: string,
  pattern: RegExp,
  expected: string,
  values?: readonly string[],
): Field<z.ZodMiniString, string> {
  return annotated(patterned(pattern, expected), { kind: 'text', about, values }, 'same');
}

export function flag(about: string): Field<z.ZodMiniBoolean, boolean> {
  return annotated(z.boolean({ error: () => 'true or false' }), { kind: 'boolean', about }, 'same');
}

/** Bytes in memory order; the platform gets them as a Uint8Array. */
export function hex(about: string, longest = 1 << 21): Field<z.ZodMiniString, Uint8Array> {
  const schema = patterned(hexPattern, 'bytes as pairs of hexadecimal digits', longest);
  return annotated(schema, { kind: 'hex', about, hex: true }, 'bytes');
}

/** The same, handed on as text. */
export function hexText(about: string, longest: number): Field<z.ZodMiniString, string> {
  const schema = patterned(hexPattern, 'bytes as pairs of hexadecimal digits', longest);
  return annotated(schema, { kind: 'hex', about, hex: true }, 'same');
}

const mostWords = 16384;

/** An array of numbers that fit `bits` bits. */
export function words<Out extends number | bigint>(
  about: string,
  bits: number,
): Field<z.ZodMiniArray<ValueSchema>, Out[]> {
  const max = (1n << BigInt(bits)) - 1n;
  const error = (): string => `an array of 1 to ${mostWords} numbers of ${bits} bits`;
  const schema = z
    .array(amount(0n, max, true), { error })
    .check(z.minLength(1, { error }), z.maxLength(mostWords, { error }));
  return annotated(schema, { kind: 'json', about, max }, bits > 32 ? 'bigints' : 'numbers');
}

/** Anything that follows another schema: drawn as JSON in a form. */
export function json<S extends z.ZodMiniType, Out>(about: string, schema: S, take: Take): Field<S, Out> {
  return annotated(schema, { kind: 'json', about }, take);
}

/** The same field, left out at will. */
export function optional<S extends z.ZodMiniType, Out>(f: Field<S, Out>): Field<Opt<S>, Out | undefined> {
  return { schema: z.optional(f.schema), form: { ...f.form, required: false }, take: f.take };
}

/** The same field with what holds when it is left out, in the document's notation. */
export function withDefault<S extends z.ZodMiniType, Out>(
  f: Field<S, Out>,
  value: string | number | boolean | readonly string[],
): Field<Opt<S>, Out> {
  const description = `${f.form.about} Default: ${JSON.stringify(value)}.`;
  notes.add(f.schema, { ...notes.get(f.schema), description, default: value });
  return { schema: z.optional(f.schema), form: { ...f.form, required: false, default: value }, take: f.take };
}

/** A JSON object of any content; what it may hold is checked where it is used. */
export const anything = (expected: string): z.ZodMiniRecord<z.ZodMiniString, z.ZodMiniUnknown> =>
  z.record(z.string(), z.unknown(), { error: () => expected });

/** An object with exactly these keys. */
export function exact<T extends z.core.$ZodLooseShape>(what: string, shape: T): z.ZodMiniObject<T, z.core.$strict> {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? `one of the keys ${Object.keys(shape).join(', ')}` : `${what}, an object`,
  });
}

/** The name that a step binds. */
export const boundName = (): z.ZodMiniString => patterned(namePattern, 'a name of letters, digits and _');
