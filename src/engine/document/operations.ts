import type * as z from 'zod/mini';
import { deviceOperations } from './device-operations.ts';
import type { Expect } from './expect-schema.ts';
import type { Field, FieldForm } from './field.ts';
import { guestOperations } from './guest-operations.ts';
import { kernelOperations } from './kernel-operations.ts';
import { machineOperations } from './machine-operations.ts';
import type { Fields, OperationActor, OperationDefinition } from './operation.ts';
import { vmmOperations } from './vmm-operations.ts';

/** Every operation of the format, in the order in which people meet them. */
export const operations = [
  ...guestOperations,
  ...deviceOperations,
  ...vmmOperations,
  ...kernelOperations,
  ...machineOperations,
] as const;

type Definition = (typeof operations)[number];
export type OperationName = Definition['name'];

type OutOf<F> = F extends Field<z.ZodMiniType, infer O> ? O : never;
type Extra<N> = N extends 'memory.write'
  ? { readonly bytes: Uint8Array }
  : N extends 'memory.read'
    ? { readonly length: number }
    : unknown;
type ParsedOf<D> =
  D extends OperationDefinition<infer N, infer F>
    ? { readonly do: N } & { readonly [K in keyof F]: OutOf<F[K]> } & Extra<N>
    : never;

/**
 * An operation as a platform gets it: defaults filled in, names resolved, numbers as numbers or, where 64 bits are
 * possible, bigints, byte strings as Uint8Array. `memory.write` carries its `bytes`, whichever field gave them.
 */
export type ParsedOperation = ParsedOf<Definition>;
export type Parsed<N extends OperationName> = Extract<ParsedOperation, { readonly do: N }>;

/** The same without leave to change anything. */
export type Deep<T> = T extends (infer E)[]
  ? readonly Deep<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Deep<T[K]> }
    : T;

type StepOf<D> = D extends OperationDefinition<infer N, infer F> ? { do: N } & Inputs<F> & Common : never;
type Inputs<F extends Fields> = z.output<z.ZodMiniObject<{ -readonly [K in keyof F]: F[K]['schema'] }, z.core.$strict>>;

/** What every step may say beside its operation. */
export interface Common {
  as?: string | Record<string, string>;
  say?: string;
  show?: { view?: 'topology' | 'ladder' | 'walk' | 'tables' | 'caches' | 'trace'; highlight?: string[] };
  expect?: Expect;
}

/** A step as it stands in a document: the author's notation is kept. */
export type Step = Deep<StepOf<Definition>>;
export type StepNamed<N extends OperationName> = Extract<Step, { do: N }>;

const byName = new Map<string, OperationDefinition>(operations.map((d: OperationDefinition) => [d.name, d]));

/** @returns undefined for a name that is no operation */
export const operationOf = (name: string): OperationDefinition | undefined => byName.get(name);
export const operationNames: readonly string[] = [...byName.keys()];

/** An operation for a palette or a menu. */
export interface OperationForm {
  readonly name: string;
  readonly actor: OperationActor;
  readonly title: string;
  readonly about: string;
  readonly fields: readonly ({ readonly name: string } & FieldForm)[];
}

/** Every operation with its fields as a form draws them. */
export const operationForms: readonly OperationForm[] = operations.map((d: OperationDefinition) => ({
  name: d.name,
  actor: d.actor,
  title: d.title,
  about: d.about,
  fields: Object.entries(d.fields).map(([name, f]) => ({ name, ...f.form })),
}));
