import * as z from 'zod/mini';
import { notes } from './field.ts';
import { documentSchema } from './schema.ts';

/** The published JSON Schema of the format, draft 2020-12, from the definition that documents are checked with. */
export function documentJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(documentSchema, { metadata: notes, io: 'input', reused: 'inline' }) as Record<string, unknown>;
}
