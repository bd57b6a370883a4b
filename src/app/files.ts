import type { AppStore } from '../store/index.ts';

/** Log text and documents are told apart by what they are, not by their names. */
export const looksLikeDocument = (text: string): boolean =>
  /^\s*\{/.test(text) && /"format"\s*:/.test(text.slice(0, 4000));

/** More than any document or log that a person would drop here. */
const mostBytes = 32 * 1024 * 1024;

/** Opens what was dropped, pasted or picked: a document, or log text for the reader. */
export function takeText(app: AppStore, text: string, name: string): void {
  const isDocument = looksLikeDocument(text);
  if (!isDocument && !(/^\s*[{[]/.test(text) && name.endsWith('.json'))) {
    app.showDialog({ kind: 'log', text });
    return;
  }
  const open = (): void => {
    if (app.open(text, name) && isDocument) app.setSettings({ panel: 'steps' });
  };
  app.withChecks(`Opening ${name}`, open, text);
}

export async function takeFile(app: AppStore, file: File): Promise<void> {
  if (file.size > mostBytes) {
    const size = Math.round(file.size / 1024 / 1024);
    app.notify('error', `${file.name} was not opened`, [`It has ${size} MiB; at most 32 MiB can be read.`]);
    return;
  }
  takeText(app, await file.text(), file.name);
}

export function pickFile(app: AppStore): void {
  const input = document.createElement('input');
  input.type = 'file';
  input.accept = '.json,.txt,.log,application/json,text/plain';
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    if (file) void takeFile(app, file);
  });
  input.click();
}

const fileName = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 60) || 'scenario';

/** Saves the document to a file on the person's machine. */
export function exportDocument(app: AppStore): void {
  const { document: doc } = app.store.getState();
  if (!doc) return;
  const url = URL.createObjectURL(new Blob([app.engine().serialize(doc)], { type: 'application/json' }));
  const a = document.createElement('a');
  a.href = url;
  a.download = `${fileName(doc.title)}.json`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
