import { type AppStore, type State, samePlace, startPlace } from '../../store/index.ts';
import type { Command } from '../commands/registry.ts';
import { act, fullScreen } from './act.ts';
import type { SpeakerAction } from './talk.ts';

const presenting = (s: State): boolean => s.presenting !== null;

const speaker = (id: string, title: string, keys: readonly string[], action: SpeakerAction): Command => ({
  id: `present.${id}`,
  title,
  words: 'presentation slide speaker',
  keys,
  mode: 'presenting',
  when: presenting,
  run: (app) => act(app, action),
});

function start(app: AppStore): void {
  const { place, lengths, selection } = app.store.getState();
  app.pause();
  if (selection) app.select(null);
  app.present({
    cover: place.step === 0 || samePlace(place, startPlace(lengths)),
    view: 'topology',
    viewAt: null,
    blank: false,
    side: null,
    since: Date.now(),
  });
  fullScreen(true);
}

function stop(app: AppStore): void {
  app.pause();
  app.present(null);
  fullScreen(false);
}

/** Escape closes what stands beside the slide first. */
function leave(app: AppStore): void {
  const { presenting: p, selection } = app.store.getState();
  if (p?.blank) app.present({ ...p, blank: false });
  else if (p?.side) {
    app.present({ ...p, side: null });
    if (selection) app.select(null);
  } else if (selection) app.select(null);
  else stop(app);
}

const side = (id: 'inspector' | 'machine', title: string, key: string): Command => ({
  id: `present.${id}`,
  title,
  words: 'presentation what if',
  keys: [key],
  mode: 'presenting',
  when: presenting,
  run: (app) => {
    const p = app.store.getState().presenting;
    if (!p) return;
    if (id === 'machine' && p.side !== id) app.setSettings({ panel: 'machine' });
    app.present({ ...p, cover: false, side: p.side === id ? null : id });
  },
});

export const presentCommands: readonly Command[] = [
  {
    id: 'present.start',
    title: 'Present: the steps as slides',
    words: 'presentation full screen projector slides talk',
    keys: ['p'],
    when: (s) => s.document !== null && s.presenting === null,
    run: start,
  },
  speaker('next', 'Next slide, or next event', ['Space', 'ArrowRight', 'PageDown'], 'next'),
  speaker('previous', 'Back', ['ArrowLeft', 'PageUp'], 'previous'),
  speaker('first', 'First slide', ['Home'], 'first'),
  speaker('last', 'Last slide', ['End'], 'last'),
  speaker('by', 'Forward by step or by event', ['s'], 'by'),
  speaker('view', 'Another view', ['v'], 'view'),
  speaker('blank', 'Black screen, and back', ['b', '.'], 'blank'),
  {
    id: 'present.notes',
    title: 'Open the speaker’s window: notes, next step, time',
    words: 'presentation second window',
    keys: ['n'],
    mode: 'presenting',
    when: presenting,
    run: (app) => void import('./speaker.ts').then((m) => m.openSpeakerWindow(app)),
  },
  side('machine', 'What if: rules, alternatives and features beside the slide', 'o'),
  side('inspector', 'The inspector beside the slide', 'i'),
  {
    id: 'present.fullScreen',
    title: 'Full screen on or off',
    words: 'presentation',
    keys: ['f'],
    mode: 'presenting',
    when: presenting,
    run: () => fullScreen(document.fullscreenElement === null),
  },
  {
    id: 'present.leave',
    title: 'Leave the presentation; the position stays',
    words: 'presentation end stop',
    keys: ['Escape'],
    mode: 'presenting',
    when: presenting,
    run: leave,
  },
];
