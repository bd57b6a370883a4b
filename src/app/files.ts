import type { AppStore } from '../store/index.ts';
import { busy } from './idle.ts';

/** Log text and documents are told apart by what they are, not by their names. */
export const looksLikeDocument = (text: string): boolean =>
  /^\s*\{/.test(text) && /"format"\s*:/.test(text.slice(0, 4000));

/** More than any document, log or picture that a person would drop here. */
const mostBytes = 32 * 1024 * 1024;

/** A link of iommuscope in an address, wherever that leads. */
const linkedData = (text: string): string | null =>
  /^\s*(?:https?|file):\/\/[^\s#]{1,2000}#(?:[^\s#]*&)?d=([^\s&#]+)[^\s]*\s*$/.exec(text.slice(0, 100_000))?.[1] ??
  null;

/** Opens what was dropped, pasted or picked: a document, a link to one, or log text for the reader. */
export function takeText(app: AppStore, text: string, name: string, place?: { step: number; event: number }): void {
  const data = linkedData(text);
  if (data !== null) {
    void busy(import('./keep/open-link.ts').then((m) => m.openLink(app, data))).catch(failed(app, name));
    return;
  }
  const isDocument = looksLikeDocument(text);
  if (!isDocument && !(/^\s*[{[]/.test(text) && name.endsWith('.json')) && !place) {
    app.showDialog({ kind: 'log', text });
    return;
  }
  const open = (): void => {
    if (app.open(text, name, null, place) && isDocument) app.setSettings({ panel: 'steps' });
  };
  app.withChecks(`Opening ${name}`, open, text);
}

const failed =
  (app: AppStore, name: string) =>
  (e: unknown): void =>
    app.notify('error', `${name} was not opened`, [e instanceof Error ? e.message : String(e)]);

async function readFile(app: AppStore, file: File): Promise<void> {
  const head = new Uint8Array(await file.slice(0, 1024).arrayBuffer());
  const png = head[0] === 0x89 && head[1] === 0x50;
  if (!png && !/<svg|<\?xml|<!DOCTYPE svg/.test(new TextDecoder().decode(head))) {
    if (head.includes(0) && !(head[0] === 0xff || head[0] === 0xfe)) {
      app.notify('error', `${file.name} was not opened`, [
        'It is neither text nor a picture that iommuscope has saved. Documents are .json files; pictures are .svg or .png.',
      ]);
      return;
    }
    takeText(app, await file.text(), file.name);
    return;
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  const { readPicture } = await import('../export/picture.ts');
  const picture = readPicture(bytes);
  if (!picture) takeText(app, await file.text(), file.name);
  else if (picture.ok) takeText(app, picture.carried.text, file.name, picture.carried.place);
  else app.notify('error', `${file.name} was not opened`, [picture.problem]);
}

export async function takeFile(app: AppStore, file: File): Promise<void> {
  if (file.size > mostBytes) {
    const size = Math.round(file.size / 1024 / 1024);
    app.notify('error', `${file.name} was not opened`, [`It has ${size} MiB; at most 32 MiB can be read.`]);
    return;
  }
  await busy(readFile(app, file)).catch(failed(app, file.name));
}

export function pickFile(app: AppStore): void {
  const input = document.createElement('input');
  input.type = 'file';
  input.accept = '.json,.svg,.png,.txt,.log,application/json,image/svg+xml,image/png,text/plain';
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    if (file) void takeFile(app, file);
  });
  input.click();
}

export const fileName = (title: string): string =>
  title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 60) || 'scenario';

/** Saves a file on the person's machine. */
export function saveFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const a = document.createElement('a');
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Saves the document as a file. */
export function exportDocument(app: AppStore): void {
  const { document: doc } = app.store.getState();
  if (!doc) return;
  saveFile(`${fileName(doc.title)}.json`, new Blob([app.engine().serialize(doc)], { type: 'application/json' }));
}
