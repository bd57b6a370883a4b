import { pngWithDocument, svgWithDocument } from '../../export/picture.ts';
import type { AppStore } from '../../store/index.ts';
import { fileName, saveFile } from '../files.ts';
import { withWhole } from '../whole-picture.ts';
import { paint } from './paint.ts';
import { standalone } from './standalone.ts';

/** Pixels for each unit of a drawing: sharp on a projector and in print. */
const scale = 2;
/** Browsers refuse canvases far above this, without a word. */
const mostPixels = 100_000_000;

export interface Picture {
  readonly title: string;
  readonly element: SVGSVGElement;
}

const isShown = (svg: SVGSVGElement): boolean => {
  const box = svg.getBoundingClientRect();
  return box.width > 0 && box.height > 0;
};

/** The drawings that are on the page now; a view says with `data-export` that its own can be saved, and what it is called. */
export function pictures(): readonly Picture[] {
  return [...document.querySelectorAll<SVGSVGElement>('svg[data-export]')].filter(isShown).map((element) => ({
    title: element.dataset.export || element.getAttribute('aria-label') || 'View',
    element,
  }));
}

/** Saves the only drawing of the page, or asks which. */
export async function askOrSave(app: AppStore, format: 'svg' | 'png'): Promise<void> {
  const all = pictures();
  if (all.length === 1) await savePicture(app, all[0]!, format);
  else app.showDialog({ kind: 'picture', format });
}

/** Saves a drawing as it looks now, with the document and the place in it. */
export async function savePicture(app: AppStore, picture: Picture, format: 'svg' | 'png'): Promise<void> {
  const { document: doc, place } = app.store.getState();
  if (!doc) return;
  const carried = { text: app.engine().serialize(doc), place };
  const name = `${fileName(doc.title)}-${fileName(picture.title)}-step-${place.step}.${format}`;
  const { element, width, height } = withWhole(picture.element, standalone);
  if (format === 'svg') {
    const text = new XMLSerializer().serializeToString(element);
    const whole = `<?xml version="1.0" encoding="UTF-8"?>\n${svgWithDocument(text, carried)}\n`;
    saveFile(name, new Blob([whole], { type: 'image/svg+xml' }));
    return;
  }
  await document.fonts.ready;
  const fitting = Math.min(scale, Math.sqrt(mostPixels / (width * height)));
  const canvas = paint(element, width, height, fitting);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (!blob) throw new Error('The browser could not make a PNG of this size.');
  const png = pngWithDocument(new Uint8Array(await blob.arrayBuffer()), carried);
  saveFile(name, new Blob([png as Uint8Array<ArrayBuffer>], { type: 'image/png' }));
}
