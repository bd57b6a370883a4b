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

/** The terms of one vendor, or of all ('' as vendor). */
export interface TermGroup {
  readonly vendor: string;
  readonly terms: readonly ({ readonly term: string } & GlossaryEntry)[];
}

/** Everything that is explained: first the vendor that is looked at, then what all have in common, then the others. */
export function glossaryGroups(vendor: string): readonly TermGroup[] {
  const group = (name: string, g: Glossary): TermGroup => ({
    vendor: name,
    terms: Object.entries(g)
      .map(([term, entry]) => ({ term, ...entry }))
      .sort((a, b) => a.term.localeCompare(b.term, 'en')),
  });
  const names = Object.keys(byVendor);
  return [
    ...names.filter((n) => n === vendor).map((n) => group(n, byVendor[n]!)),
    group('', commonTerms),
    ...names.filter((n) => n !== vendor).map((n) => group(n, byVendor[n]!)),
  ];
}
