import type { TermGroup } from '../glossary/index.ts';

/** The groups with only those terms that have all words of a query; groups without any are left out. */
export function findTerms(groups: readonly TermGroup[], query: string): readonly TermGroup[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return groups;
  return groups.flatMap((g) => {
    const terms = g.terms.filter((t) => {
      const text = `${t.term} ${t.text} ${t.source}`.toLowerCase();
      return words.every((w) => text.includes(w));
    });
    // The term itself comes before those that only speak of it.
    const first = (t: { readonly term: string }): number =>
      t.term.toLowerCase() === words.join(' ') ? 0 : t.term.toLowerCase().startsWith(words[0]!) ? 1 : 2;
    return terms.length === 0 ? [] : [{ ...g, terms: [...terms].sort((a, b) => first(a) - first(b)) }];
  });
}
