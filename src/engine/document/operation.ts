import type { Field } from './field.ts';

/** Who does it. `any` needs no actor of its own: a person acts on files, memory, registers or the path. */
export type OperationActor = 'any' | 'vmm' | 'guest' | 'device';

export type Fields = Readonly<Record<string, Field>>;

/** An operation's name, form and fields: schema, types, forms and the platform's view all come from it. */
export interface OperationDefinition<N extends string = string, F extends Fields = Fields> {
  readonly name: N;
  readonly actor: OperationActor;
  readonly title: string;
  readonly about: string;
  readonly fields: F;
  /** What no single field can say. @returns the field at fault and what was expected */
  readonly rule?: (step: Readonly<Record<string, unknown>>) => Mismatch | undefined;
}

export interface Mismatch {
  readonly field?: string;
  readonly expected: string;
}

export function operation<const N extends string, F extends Fields>(
  name: N,
  actor: OperationActor,
  title: string,
  about: string,
  fields: F,
  rule?: (step: Readonly<Record<string, unknown>>) => Mismatch | undefined,
): OperationDefinition<N, F> {
  return { name, actor, title, about, fields, rule };
}

/** A rule: exactly one of some fields. */
export const exactlyOne =
  (...names: readonly string[]) =>
  (step: Readonly<Record<string, unknown>>): Mismatch | undefined => {
    const given = names.filter((n) => step[n] !== undefined);
    if (given.length === 1) return undefined;
    return given.length === 0
      ? { expected: `one of the fields ${names.join(', ')}` }
      : { field: given[1], expected: `only one of the fields ${names.join(', ')}` };
  };
