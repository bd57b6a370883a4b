/** What the page and the speaker's window say to each other. */

/** Keys of the speaker as actions: the same in both windows. */
export const speakerActions = ['next', 'previous', 'first', 'last', 'blank', 'view', 'by'] as const;
export type SpeakerAction = (typeof speakerActions)[number];

export interface SlideText {
  readonly title: string;
  readonly say: string;
}

/** All that the speaker's window shows; it holds no document of its own. */
export interface Slide extends SlideText {
  readonly document: string;
  readonly number: number;
  readonly count: number;
  readonly event: number;
  readonly events: number;
  readonly result: string;
  readonly hazards: number;
  readonly notes: readonly string[];
  readonly next: SlideText | null;
  readonly blank: boolean;
  readonly by: 'step' | 'event';
  readonly since: number;
  readonly theme: string;
}

export type ToSpeaker = { readonly kind: 'slide'; readonly slide: Slide } | { readonly kind: 'over' };
export type FromSpeaker = { readonly kind: 'hello' } | { readonly kind: 'act'; readonly action: SpeakerAction };

const prefix = '#notes=';

export const channelName = (id: string): string => `iommuscope notes ${id}`;
export const notesHash = (id: string): string => prefix + id;
/** The id in a speaker's window's address, or null in any other. */
export const notesIn = (hash: string): string | null => /^#notes=([0-9a-z]{12})$/.exec(hash)?.[1] ?? null;

/** What a key does in either window. */
export function actionOfKey(key: string): SpeakerAction | null {
  switch (key) {
    case 'Space':
    case 'ArrowRight':
    case 'ArrowDown':
    case 'PageDown':
      return 'next';
    case 'ArrowLeft':
    case 'ArrowUp':
    case 'PageUp':
      return 'previous';
    case 'Home':
      return 'first';
    case 'End':
      return 'last';
    case 'b':
    case '.':
      return 'blank';
    case 'v':
      return 'view';
    case 's':
      return 'by';
    default:
      return null;
  }
}

/** A message of the other window, or null when it is something else. */
export function readFromSpeaker(data: unknown): FromSpeaker | null {
  const m = data as Partial<{ kind: unknown; action: unknown }> | null;
  if (m?.kind === 'hello') return { kind: 'hello' };
  const action = speakerActions.find((a) => a === m?.action);
  return m?.kind === 'act' && action ? { kind: 'act', action } : null;
}
