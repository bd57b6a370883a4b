/** What a fresh walk says about a cached entry. */
export interface Verdict {
  /** `same`, `differs`, or `unreachable`: nothing has this tag now, so nothing can hit the entry. */
  readonly state: 'same' | 'differs' | 'unreachable';
  /** What a fresh walk gives: an address, or why it gives none. */
  readonly now: string;
  /** Physical addresses of the words that decide it. */
  readonly depends: readonly number[];
  /** The guest's own tables still say the same: the second stage is what changed. */
  readonly stage2?: boolean;
}

export const SAME: Verdict = { state: 'same', now: '', depends: [] };
