import type { Command } from '../commands/registry.ts';
import { startTour } from './tour-state.ts';

export const helpCommands: readonly Command[] = [
  {
    id: 'help.tour',
    title: 'Take the tour: five minutes',
    words: 'help introduction first steps tutorial',
    when: (s) => s.presenting === null,
    run: () => startTour(),
  },
  {
    id: 'help.glossary',
    title: 'Glossary: every term with its source',
    words: 'help words terms explain',
    run: (app) => app.showDialog({ kind: 'glossary' }),
  },
];
