/** What a term on screen means, in one sentence, and where that is defined. */
export interface GlossaryEntry {
  readonly text: string;
  readonly source: string;
}

/** Keys are the terms as they stand on screen. */
export type Glossary = Readonly<Record<string, GlossaryEntry>>;
