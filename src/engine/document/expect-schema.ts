import * as z from 'zod/mini';
import { amount, anything, exact, notes, patterned, U64, type ValueSchema } from './field.ts';
import { hexPattern } from './number.ts';

/** `expect` of a step: what must have happened. Each key here has its comparison in `expectations.ts`. */

const described = <S extends z.ZodMiniType>(schema: S, description: string): z.ZodMiniOptional<S> => {
  notes.add(schema, { description });
  return z.optional(schema);
};

const value = (): ValueSchema => amount(0n, U64, true);
const count = (): ValueSchema => amount(0n, 0xffffffffn, true);
const name = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
const anyText = (expected: string): z.ZodMiniString =>
  z.string({ error: () => expected }).check(z.maxLength(1000, { error: () => expected }));

/** A number, a `$name` or a name. */
const loose = (): z.ZodMiniUnion<readonly [ValueSchema, z.ZodMiniString]> =>
  z.union([value(), anyText('a number, a $name or a text')] as const, { error: () => 'a number, a $name or a text' });

const named = (what: string) =>
  z.catchall(
    z.object({ name: patterned(name, `the name of ${what}`) }, { error: () => `${what}: an object` }),
    loose(),
  );

const nameOrFields = (what: string) =>
  z.union([patterned(name, `the name of ${what}`), named(what)] as const, {
    error: () => `the name of ${what}, or an object with "name" and fields`,
  });

const listOf = <S extends z.ZodMiniType>(element: S, what: string): z.ZodMiniArray<S> =>
  z.array(element, { error: () => `an array of ${what}` });

const entry = () =>
  z.catchall(
    z.object(
      { cache: z.optional(patterned(name, 'the name of a cache')) },
      { error: () => 'a cached entry: an object' },
    ),
    loose(),
  );

const hazard = () =>
  exact('a hazard', {
    at: described(anyText('the id of a cache'), 'Scene object of the cache.'),
    cache: described(anyText('the name of a cache'), 'Name of the cache.'),
    text: described(anyText('a text'), 'A part of the sentence that names the hazard.'),
    now: described(anyText('a text'), 'A part of what a fresh walk gives.'),
    missing: described(anyText('a text'), 'A part of the missing command.'),
  });

/** What `where` may ask of one output. */
const constraint = exact('a constraint', {
  multipleOf: described(amount(1n, U64, true), 'The value is a multiple of this.'),
  min: described(value(), 'The value is at least this.'),
  max: described(value(), 'The value is at most this.'),
  outside: described(
    z.tuple([value(), value()], { error: () => 'an array of two numbers' }),
    'The value is not in this range, both ends included.',
  ),
  mask: described(value(), 'With `equals`: only these bits are compared.'),
  equals: described(value(), 'The value, or its bits below `mask`, equals this.'),
});
notes.add(constraint, { id: 'Constraint' });

const bytes = (): z.ZodMiniString => patterned(hexPattern, 'bytes as pairs of hexadecimal digits', 1 << 21);

/** Codes of a page response. */
const responses = ['success', 'invalid', 'failure'] as const;
const responseText = `one of ${responses.join(', ')}`;

export const expectSchema = exact('what a step must give', {
  ok: described(
    z.boolean({ error: () => 'true or false' }),
    'Whether the step succeeds. Without it a step succeeds unless a failing `errno` or a `fault` is expected.',
  ),
  errno: described(
    z.union([z.literal(0), patterned(/^(?:0|E[A-Z0-9]+)$/, 'the name of an errno')] as const, {
      error: () => 'the name of an errno such as "EBUSY", or 0',
    }),
    '`EBUSY`; 0 for success.',
  ),
  out: described(anything('an object of outputs by name'), 'Outputs by name; only those listed are compared.'),
  where: described(
    z.record(z.string(), constraint, { error: () => 'an object of constraints by output' }),
    'Constrains outputs without fixing them.',
  ),
  pa: described(value(), 'Physical address where the access arrives.'),
  fault: described(
    z.union([z.literal(false), nameOrFields('a fault')] as const, {
      error: () => 'the name of a fault, an object with "name" and fields, or false for none',
    }),
    'The fault or event that hardware reports: its name, or an object with `name` and fields. `false`: none.',
  ),
  hit: described(patterned(name, 'the name of a cache, or "none"'), 'Cache that answered: `IOTLB`, `ATC`, or `none`.'),
  reads: described(count(), 'Memory accesses of the walk.'),
  stalled: described(
    z.boolean({ error: () => 'true or false' }),
    'Whether the access still waits, stalled, after this step. With true the step need not succeed.',
  ),
  response: described(
    z.union([z.literal(false), z.enum(responses, { error: () => responseText })] as const, {
      error: () => `${responseText}, or false for none`,
    }),
    'Code of the last page response that a device got in this step; `false`: none.',
  ),
  guest: described(
    anyText('the name of a guest'),
    'Only what happens in this guest and its VMM counts for `exits`, `ioctls` and `events`.',
  ),
  unit: described(
    anyText('the name of a unit'),
    'Only what happens at this unit counts for `commands`, `syncs` (a physical unit), `exits` and `events` (a virtual one).',
  ),
  commands: described(
    listOf(nameOrFields('a command'), 'commands'),
    'All commands that reached the physical queue, in order: names, or objects with `name` and fields.',
  ),
  exits: described(count(), 'VM exits in this step.'),
  ioctls: described(count(), 'ioctls in this step.'),
  syncs: described(count(), 'Completed synchronisation commands in this step.'),
  cached: described(listOf(entry(), 'cached entries'), 'Each of these entries is cached, by `cache` and tag fields.'),
  notCached: described(listOf(entry(), 'cached entries'), 'None of these entries is cached.'),
  stale: described(
    z.union(
      [
        count(),
        listOf(
          z.union([anyText('a part of its text'), hazard()] as const, {
            error: () => 'a part of its text, or an object',
          }),
          'hazards',
        ),
      ] as const,
      {
        error: () => 'the number of hazards, or an array that names each of them',
      },
    ),
    'The hazards that remain: their number, or one element for each. `[]`: none.',
  ),
  events: described(
    listOf(nameOrFields('a record'), 'records'),
    "All records that reached the guest's event queue, in order: names, or objects with `name` and fields.",
  ),
  u8: described(listOf(amount(0n, 0xffn, true), 'numbers'), 'Bytes that a memory read gives.'),
  u32: described(listOf(amount(0n, 0xffffffffn, true), 'numbers'), '32-bit words that a memory read gives.'),
  u64: described(listOf(value(), 'numbers'), '64-bit words that a memory read gives.'),
  hex: described(bytes(), 'Bytes in memory order that a read gives.'),
  mask: described(value(), 'Bits of a register that `value` compares.'),
  value: described(value(), 'What the register holds.'),
});
notes.add(expectSchema, {
  id: 'Expect',
  description: 'What must have happened after this step. Makes the document a test.',
});

export type Expect = z.infer<typeof expectSchema>;
