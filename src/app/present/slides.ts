import type { Lengths, Place, Presenting, Step, View } from '../../store/index.ts';

/** Where the next key of the speaker leads; `play`: the step is played from there. Null: there is no further. */
export type Move =
  | { readonly kind: 'cover' }
  | { readonly kind: 'place'; readonly place: Place; readonly play: boolean; readonly animate: boolean }
  | null;

type By = 'step' | 'event';

const to = (step: number, event: number, how: { play?: boolean; animate?: boolean } = {}): Move => ({
  kind: 'place',
  place: { step, event },
  play: how.play ?? false,
  animate: how.animate ?? false,
});

/**
 * One slide on, or one event. By steps a slide is played when it is reached, and a key while it plays brings its end. The
 * cover stands for the setup, so step 1 comes after it.
 */
export function forward(cover: boolean, place: Place, lengths: Lengths, by: By, playing: boolean): Move {
  const last = lengths.length - 1;
  const n = lengths[place.step] ?? 0;
  if (last < 1) return cover || place.event >= n ? null : to(0, n);
  if (cover || place.step === 0) return by === 'step' ? to(1, 0, { play: true }) : to(1, 0);
  if (place.event < n) {
    if (by === 'event') return to(place.step, place.event + 1, { animate: true });
    return playing || place.event > 0 ? to(place.step, n) : to(place.step, 0, { play: true });
  }
  if (place.step >= last) return null;
  return by === 'step' ? to(place.step + 1, 0, { play: true }) : to(place.step + 1, 0);
}

/** One slide back to its end, or one event; before step 1 stands the cover. */
export function back(cover: boolean, place: Place, lengths: Lengths, by: By): Move {
  if (cover) return null;
  if (by === 'event' && place.step > 0 && place.event > 0) return to(place.step, place.event - 1);
  if (place.step <= 1) return { kind: 'cover' };
  return to(place.step - 1, lengths[place.step - 1] ?? 0);
}

/** The number of a slide: the cover is 1, step n is n + 1. */
export const slideNumber = (cover: boolean, place: Place): number => (cover ? 1 : Math.max(2, place.step + 1));
export const slideCount = (lengths: Lengths): number => Math.max(1, lengths.length);

type Hint = { readonly view?: string; readonly highlight?: readonly string[] };
const hintOf = (step: Step | null | undefined): Hint =>
  (step as { readonly show?: Hint } | null | undefined)?.show ?? {};

const views: readonly ('topology' | View)[] = ['topology', 'ladder', 'walk', 'tables', 'caches', 'trace'];

/** The view of a slide: what its step hints at, unless the speaker has chosen another one for it. */
export function viewOf(p: Presenting, at: number, step: Step | null | undefined): 'topology' | View {
  if (p.viewAt === at) return p.view;
  const hinted = hintOf(step).view as View | undefined;
  return hinted !== undefined && views.includes(hinted) ? hinted : p.view;
}

/** Objects that a step wants to be looked at. */
export const highlightOf = (step: Step | null | undefined): readonly string[] => hintOf(step).highlight ?? [];

export const viewAfter = (view: 'topology' | View): 'topology' | View =>
  views[(views.indexOf(view) + 1) % views.length]!;

/** What is written down for a step besides what is said: its notes. */
export function notesOf(step: Step | null | undefined): readonly string[] {
  const notes = (step as { readonly notes?: unknown } | null | undefined)?.notes;
  if (!Array.isArray(notes)) return [];
  return notes.flatMap((n: unknown) => {
    const text = (n as { readonly text?: unknown } | null)?.text;
    return typeof text === 'string' ? [text] : [];
  });
}

/** Size of the narration in rem: a long one is set smaller, so that the picture keeps its room. */
export const narrationSize = (text: string): number => (text.length <= 170 ? 1.3 : text.length <= 300 ? 1.15 : 1);

/** `04:09`, `1:04:09` */
export function elapsedText(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number): string => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  return `${h > 0 ? `${h}:` : ''}${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}
