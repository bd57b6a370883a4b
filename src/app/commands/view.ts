import type { Theme, View } from '../../store/index.ts';
import type { Command } from './registry.ts';

const theme = (value: Theme, title: string): Command => ({
  id: `view.theme.${value}`,
  title,
  words: 'colour dark light mode',
  run: (app) => app.setSettings({ theme: value }),
});

/** Shows a view below the topology, or beside nothing when it is large. */
const show = (view: View, title: string, key: string, words: string): Command => ({
  id: `view.${view}`,
  title,
  words: `view ${words}`,
  keys: [key],
  run: (app) => app.setSettings({ view, stripOpen: true }),
});

/** What is shown, and how. */
export const viewCommands: readonly Command[] = [
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
  show('ladder', 'Show the ladder: who said what to whom', '1', 'sequence messages'),
  show('walk', 'Show the walk: the nested walk as a grid', '2', 'translation levels reads'),
  show('tables', 'Show the tables in memory', '3', 'entries bits edit'),
  show('caches', 'Show the caches', '4', 'iotlb atc entries stale'),
  show('trace', 'Show the trace: the events as text', '5', 'events'),
  {
    id: 'view.large',
    title: 'Give the view the whole room, or the topology its room back',
    words: 'maximize enlarge strip',
    keys: ['m'],
    run: (app) => app.setSettings({ large: !app.store.getState().settings.large, stripOpen: true }),
  },
  {
    id: 'view.asText',
    title: 'Views as text, or as pictures',
    words: 'accessibility screen reader table',
    keys: ['x'],
    run: (app) => app.setSettings({ asText: !app.store.getState().settings.asText }),
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
