import type { AppStore, Presenting } from '../../store/index.ts';
import { prefersStill } from '../motion.ts';
import { back, forward, type Move, viewAfter, viewOf } from './slides.ts';
import type { SpeakerAction } from './talk.ts';

function go(app: AppStore, p: Presenting, move: Move): void {
  if (!move) return;
  if (move.kind === 'cover') {
    app.moveTo({ step: Math.min(1, app.store.getState().lengths.length - 1), event: 0 });
    app.present({ ...p, cover: true });
    return;
  }
  app.present({ ...p, cover: false });
  if (move.animate && !prefersStill()) app.stepEvent(1, true);
  else app.moveTo(move.place);
  if (move.play) app.replayStep();
}

/** What the speaker asks for, in either window. A black screen comes back with the next key and stays where it was. */
export function act(app: AppStore, action: SpeakerAction): void {
  const s = app.store.getState();
  const p = s.presenting;
  if (!p) return;
  const { place, lengths, playing } = s;
  if (p.blank) {
    app.present({ ...p, blank: false });
    return;
  }
  const by = s.settings.presentBy;
  switch (action) {
    case 'next':
      go(app, p, forward(p.cover, place, lengths, by, playing));
      break;
    case 'previous':
      go(app, p, back(p.cover, place, lengths, by));
      break;
    case 'first':
      go(app, p, { kind: 'cover' });
      break;
    case 'last':
      app.present({ ...p, cover: false });
      app.toEnd();
      break;
    case 'blank':
      if (playing) app.pause();
      app.present({ ...p, blank: true });
      break;
    case 'view': {
      const now = viewOf(p, place.step, s.records[place.step]?.step);
      app.present({ ...p, view: viewAfter(now), viewAt: place.step });
      break;
    }
    case 'by':
      app.setSettings({ presentBy: by === 'step' ? 'event' : 'step' });
  }
}

/** Full screen where the browser allows it; without it the slides fill the window. */
export function fullScreen(on: boolean): void {
  const done = on
    ? document.documentElement.requestFullscreen?.()
    : document.fullscreenElement && document.exitFullscreen();
  Promise.resolve(done).catch(() => {});
}
