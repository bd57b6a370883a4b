import { exportDocument } from '../files.ts';
import type { Command } from './registry.ts';

/** The document: its edits, where it comes from and goes to. */
export const documentCommands: readonly Command[] = [
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
    id: 'document.export',
    title: 'Export the document as JSON',
    words: 'save file download',
    when: (s) => s.document !== null,
    run: (app) => exportDocument(app),
  },
  {
    id: 'log.paste',
    title: 'Paste a log…',
    words: 'decode kernel dmesg event fault qemu',
    run: (app) => app.showDialog({ kind: 'log' }),
  },
];
