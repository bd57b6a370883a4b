import { isAtEnd, type Speed, type State, samePlace, startPlace } from '../../store/index.ts';
import { prefersStill } from '../motion.ts';
import type { Command } from './registry.ts';

const hasDocument = (s: State): boolean => s.document !== null;
const beforeEnd = (s: State): boolean => hasDocument(s) && !isAtEnd(s.place, s.lengths);
const afterStart = (s: State): boolean => hasDocument(s) && (s.place.step > 0 || s.place.event > 0);

const speed = (value: Speed): Command => ({
  id: `player.speed.${value}`,
  title: `Speed ${value}×`,
  words: 'play slower faster',
  run: (app) => app.setSettings({ speed: value }),
});

/** Moving the playing head. */
export const playerCommands: readonly Command[] = [
  {
    id: 'player.toggle',
    title: 'Play or pause',
    keys: ['Space'],
    when: hasDocument,
    run: (app) => app.togglePlay(),
  },
  {
    id: 'player.nextEvent',
    title: 'One event forward',
    keys: ['ArrowRight'],
    when: beforeEnd,
    run: (app) => app.stepEvent(1, !prefersStill()),
  },
  {
    id: 'player.previousEvent',
    title: 'One event back',
    keys: ['ArrowLeft'],
    when: afterStart,
    run: (app) => app.stepEvent(-1, false),
  },
  {
    id: 'player.nextStep',
    title: 'One step forward',
    keys: ['Shift+ArrowRight', 'PageDown'],
    when: beforeEnd,
    run: (app) => app.nextStep(),
  },
  {
    id: 'player.previousStep',
    title: 'One step back',
    keys: ['Shift+ArrowLeft', 'PageUp'],
    when: afterStart,
    run: (app) => app.previousStep(),
  },
  {
    id: 'player.replayStep',
    title: 'Play this step again',
    keys: ['r'],
    when: hasDocument,
    run: (app) => app.replayStep(),
  },
  {
    id: 'player.start',
    title: 'To the start',
    words: 'home begin',
    keys: ['Home'],
    when: afterStart,
    run: (app) => {
      // The first press goes to where the scenario starts, the second one to before the setup.
      const { place, lengths } = app.store.getState();
      const start = startPlace(lengths);
      app.moveTo(place.step === 0 || samePlace(place, start) ? { step: 0, event: 0 } : start);
    },
  },
  { id: 'player.end', title: 'To the end', keys: ['End'], when: beforeEnd, run: (app) => app.toEnd() },
  {
    id: 'player.loop',
    title: 'Loop on or off',
    words: 'repeat',
    keys: ['l'],
    run: (app) => app.setSettings({ loop: !app.store.getState().settings.loop }),
  },
  speed(0.5),
  speed(1),
  speed(2),
  speed(4),
];
