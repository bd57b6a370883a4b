import { type AppStore, newLocalId, type State } from '../../store/index.ts';
import { stepTitle } from '../describe.ts';
import { act } from './act.ts';
import { notesOf, slideCount, slideNumber } from './slides.ts';
import { channelName, notesHash, readFromSpeaker, type Slide, type SlideText, type ToSpeaker } from './talk.ts';

const textOf = (s: State, step: number): SlideText | null => {
  const record = s.records[step];
  return record && step > 0 ? { title: stepTitle(record.step), say: record.step?.say ?? '' } : null;
};

/** What the speaker's window shows of a state; null while nobody presents. */
export function slideOf(s: State, theme: string): Slide | null {
  const p = s.presenting;
  if (!p || !s.document) return null;
  const cover = p.cover || s.place.step === 0;
  const step = cover ? 0 : s.place.step;
  const record = cover ? undefined : s.records[step];
  const own = textOf(s, step) ?? { title: s.document.title, say: s.document.about ?? '' };
  return {
    ...own,
    document: s.document.title,
    number: slideNumber(cover, s.place),
    count: slideCount(s.lengths),
    event: cover ? 0 : s.place.event,
    events: cover ? 0 : (s.lengths[step] ?? 0),
    result: record?.result.text ?? '',
    hazards: record?.hazards.length ?? 0,
    notes: notesOf(record?.step),
    next: textOf(s, step + 1),
    blank: p.blank,
    by: s.settings.presentBy,
    since: p.since,
    theme,
  };
}

/** One name a page: several presentations in one browser do not hear each other. */
let id: string | null = null;
let channel: BroadcastChannel | null = null;

/** Tells the speaker's window, if there is one, and does what it asks for. */
export function talkToSpeaker(app: AppStore): void {
  if (channel) return;
  id = newLocalId();
  channel = new BroadcastChannel(channelName(id));
  let said = '';
  const send = (again = false): void => {
    const slide = slideOf(app.store.getState(), document.documentElement.dataset.theme ?? 'light');
    const message: ToSpeaker = slide ? { kind: 'slide', slide } : { kind: 'over' };
    const text = JSON.stringify(message);
    if (text === said && !again) return;
    said = text;
    channel?.postMessage(message);
  };
  channel.onmessage = (e) => {
    const m = readFromSpeaker(e.data);
    if (m?.kind === 'hello') send(true);
    else if (m?.kind === 'act' && app.store.getState().presenting) act(app, m.action);
  };
  app.store.subscribe(() => send());
  window.addEventListener('pagehide', () => channel?.postMessage({ kind: 'over' } satisfies ToSpeaker));
}

/** When the speaker's window was opened last: the browser ends full screen then, which does not end the presentation. */
let opened = Number.NEGATIVE_INFINITY;
export const justOpened = (): boolean => performance.now() - opened < 3000;

export function openSpeakerWindow(app: AppStore): void {
  talkToSpeaker(app);
  opened = performance.now();
  const address = new URL(location.href);
  address.hash = notesHash(id!);
  const w = window.open(address.href, `iommuscope-notes-${id}`, 'popup,width=760,height=680');
  if (!w)
    app.notify('error', 'The speaker’s window could not be opened', [
      'The browser holds back new windows of this page. Allow them beside the address, then press N again.',
    ]);
}
