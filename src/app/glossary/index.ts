import { commonTerms } from './common.ts';
import type { Glossary, GlossaryEntry } from './entry.ts';
import { smmuv3Terms } from './smmuv3.ts';
import { vtdTerms } from './vtd.ts';

export type { GlossaryEntry } from './entry.ts';

const byVendor: Readonly<Record<string, Glossary>> = { smmuv3: smmuv3Terms, vtd: vtdTerms };

/**
 * The entry of a term as it stands on screen, or of its singular; undefined for words that need none. What a vendor says
 * comes before what all have in common.
 */
export function explainTerm(term: string, vendor: string): GlossaryEntry | undefined {
  const own = byVendor[vendor] ?? {};
  const singular = term.replace(/s$/, '');
  return own[term] ?? commonTerms[term] ?? own[singular] ?? commonTerms[singular];
}
