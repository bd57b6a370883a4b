import * as z from 'zod/mini';
import { expectSchema } from './expect-schema.ts';
import { boundName, exact, notes } from './field.ts';
import type { OperationDefinition } from './operation.ts';
import { operations } from './operations.ts';

const as = z.union([boundName(), z.record(z.string(), boundName(), { error: () => 'names by output' })] as const, {
  error: () => 'a name, or an object that binds outputs to names',
});
notes.add(as, {
  id: 'As',
  description: 'Binds the main result to a name, or outputs to names; "$name" in a later value stands for it.',
});

const views = ['topology', 'ladder', 'walk', 'tables', 'caches', 'trace'] as const;
const show = exact('a view hint', {
  view: z.optional(z.enum(views, { error: () => `one of ${views.join(', ')}` })),
  highlight: z.optional(
    z.array(z.string({ error: () => 'the id of an object' }), { error: () => 'an array of object ids' }),
  ),
});
notes.add(show, { id: 'Show', description: 'View hint: which view, and scene objects to highlight.' });

const say = z.string({ error: () => 'a text' });
notes.add(say, { description: 'Narration, Markdown.' });

/** What every step may say beside its operation: see `Common`. */
const common = {
  as: z.optional(as),
  say: z.optional(say),
  show: z.optional(show),
  expect: z.optional(expectSchema),
};

function stepSchema(d: OperationDefinition): z.ZodMiniObject {
  const shape: Record<string, z.ZodMiniType> = { do: z.literal(d.name) };
  for (const [name, f] of Object.entries(d.fields)) shape[name] = f.schema;
  const schema = exact(`a step ${d.name}`, { ...shape, ...common }) as z.ZodMiniObject;
  notes.add(schema, { title: d.title, description: d.about });
  return schema;
}

export const stepUnion = z.discriminatedUnion(
  'do',
  operations.map((d) => stepSchema(d as unknown as OperationDefinition)) as unknown as [
    z.ZodMiniObject<{ do: z.ZodMiniLiteral<string> }>,
  ],
  { error: (issue) => (issue.code === 'invalid_union' ? 'the name of an operation' : 'a step: an object with "do"') },
);
notes.add(stepUnion, {
  id: 'Step',
  title: 'Step',
  description: 'One operation, with what is said and expected about it.',
});
