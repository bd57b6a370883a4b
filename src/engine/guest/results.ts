import type { Op, OpResult } from '../machine/index.ts';

/** What an operation of a guest answers. */

export const refused = (text: string, errno?: string): OpResult => ({
  ok: false,
  text,
  ...(errno ? { errno } : {}),
});

/** It has done what it was asked, unless the driver had errors meanwhile. */
export const outcome = (errors: readonly string[], text: string): OpResult =>
  errors.length ? { ok: false, text: `${text}; ${errors.join('; ')}` } : { ok: true, text };

/** The page allocator's complaint. */
export const isOutOfPages = (e: unknown): e is RangeError =>
  e instanceof RangeError && e.message.startsWith('no free pages');

/** A guest without free pages fails with ENOMEM, as its kernel would. */
export function* withMemory(op: Op<OpResult>): Op<OpResult> {
  try {
    return yield* op;
  } catch (e) {
    if (isOutOfPages(e)) return refused(`the guest has ${e.message}`, 'ENOMEM');
    throw e;
  }
}
