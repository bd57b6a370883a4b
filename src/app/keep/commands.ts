import type { AppStore, State } from '../../store/index.ts';
import type { Command } from '../commands/registry.ts';
import { exportDocument, pickFile } from '../files.ts';
import { busy } from '../idle.ts';
import { newDocument } from './new-document.ts';

const hasDocument = (s: State): boolean => s.document !== null;

const failed = (app: AppStore, what: string) => (e: unknown) =>
  app.notify('error', what, [e instanceof Error ? e.message : String(e)]);

const savePicture =
  (format: 'svg' | 'png') =>
  (app: AppStore): void =>
    void busy(import('./save-picture.ts').then((m) => m.askOrSave(app, format))).catch(
      failed(app, 'The picture was not saved'),
    );

/** Documents of this browser, files, links and pictures. */
export const keepCommands: readonly Command[] = [
  {
    id: 'share.copyLink',
    title: 'Copy a link to this position',
    words: 'share url address send whole document',
    keys: ['c'],
    when: hasDocument,
    run: (app) =>
      void busy(import('./copy-link.ts').then((m) => m.copyLink(app))).catch(failed(app, 'The link was not copied')),
  },
  {
    id: 'document.new',
    title: 'New document',
    words: 'empty create begin',
    run: (app) => newDocument(app),
  },
  {
    id: 'document.list',
    title: 'Documents…',
    words: 'local open recent rename duplicate delete my own',
    keys: ['Ctrl+Shift+o'],
    run: (app) => app.showDialog({ kind: 'documents' }),
  },
  {
    id: 'document.open',
    title: 'Open a file…',
    words: 'document json svg png picture load import',
    keys: ['Ctrl+o'],
    run: (app) => pickFile(app),
  },
  {
    id: 'document.save',
    title: 'Save as a file',
    words: 'json document download export',
    keys: ['Ctrl+s'],
    when: hasDocument,
    run: (app) => exportDocument(app),
  },
  {
    id: 'picture.svg',
    title: 'Save a picture as SVG…',
    words: 'image view export vector',
    when: hasDocument,
    run: savePicture('svg'),
  },
  {
    id: 'picture.png',
    title: 'Save a picture as PNG…',
    words: 'image view export bitmap screenshot',
    when: hasDocument,
    run: savePicture('png'),
  },
];
