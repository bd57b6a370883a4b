import { isAtEnd, type Speed, type State, samePlace, startPlace, type Theme } from '../../store/index.ts';
import { exportDocument, pickFile } from '../files.ts';
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

const theme = (value: Theme, title: string): Command => ({
  id: `view.theme.${value}`,
  title,
  words: 'colour dark light mode',
  run: (app) => app.setSettings({ theme: value }),
});

/** Everything that the app itself can do; operations of the machine come beside these. */
export const appCommands: readonly Command[] = [
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
  {
    id: 'edit.undo',
    title: 'Undo',
    keys: ['Ctrl+z'],
    when: (s) => s.history.at > 0,
    run: (app) => app.undo(),
  },
  {
    id: 'edit.redo',
    title: 'Redo',
    keys: ['Ctrl+Shift+z', 'Ctrl+y'],
    when: (s) => s.history.at < s.history.entries.length - 1,
    run: (app) => app.redo(),
  },
  {
    id: 'document.open',
    title: 'Open a document…',
    words: 'file json load import',
    keys: ['Ctrl+o'],
    run: (app) => pickFile(app),
  },
  {
    id: 'document.export',
    title: 'Export the document as JSON',
    words: 'save file download',
    keys: ['Ctrl+s'],
    when: hasDocument,
    run: (app) => exportDocument(app),
  },
  {
    id: 'log.paste',
    title: 'Paste a log…',
    words: 'decode kernel dmesg event fault qemu',
    run: (app) => app.showDialog({ kind: 'log' }),
  },
  {
    id: 'app.palette',
    title: 'Search or run…',
    words: 'commands',
    keys: ['Ctrl+k'],
    always: true,
    run: (app) => app.showDialog({ kind: 'palette' }),
  },
  {
    id: 'app.keys',
    title: 'Show the keys',
    words: 'help shortcuts keyboard',
    keys: ['?'],
    run: (app) => app.showDialog({ kind: 'keys' }),
  },
  theme('light', 'Light colours'),
  theme('dark', 'Dark colours'),
  theme('system', 'Colours as the system has them'),
  {
    id: 'view.scenarios',
    title: 'Show the scenarios',
    words: 'panel library',
    run: (app) => app.setSettings({ panel: 'scenarios' }),
  },
  { id: 'view.steps', title: 'Show the steps', words: 'panel', run: (app) => app.setSettings({ panel: 'steps' }) },
  {
    id: 'view.operations',
    title: 'Add an operation',
    words: 'panel operations step',
    run: (app) => app.setSettings({ panel: 'operations' }),
  },
  {
    id: 'view.machine',
    title: 'Change the machine: break a rule, switch an alternative or a feature',
    words: 'panel deviations policies platform bug',
    run: (app) => app.setSettings({ panel: 'machine' }),
  },
  {
    id: 'view.strip',
    title: 'Show or hide the view below the topology',
    words: 'trace strip collapse expand',
    keys: ['t'],
    run: (app) => app.setSettings({ stripOpen: !app.store.getState().settings.stripOpen }),
  },
  {
    id: 'view.inspector',
    title: 'Show or hide the inspector',
    words: 'panel right',
    keys: ['i'],
    run: (app) => app.setSettings({ inspectorOpen: !app.store.getState().settings.inspectorOpen }),
  },
  {
    id: 'select.none',
    title: 'Select nothing: the inspector follows the playing head',
    keys: ['Escape'],
    when: (s) => s.selection !== null,
    run: (app) => app.select(null),
  },
];

export function appCommand(id: string): Command {
  const c = appCommands.find((x) => x.id === id);
  if (!c) throw new Error(`no command ${id}`);
  return c;
}
