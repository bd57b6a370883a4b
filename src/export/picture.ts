import { addPngTexts, isPng, readPngTexts } from './png.ts';
import { addSvgDocument, readSvgDocument } from './svg.ts';

/** A picture of a view that carries the document that it shows, and the place in it. */

export interface Carried {
  /** The document, serialized; not checked when it was read from a file. */
  readonly text: string;
  readonly place: { readonly step: number; readonly event: number };
}

const documentKey = 'iommuscope document';
const placeKey = 'iommuscope place';

/** Bytes of a document that is read out of a picture; more than any document may have. */
const mostText = 9 * 1024 * 1024;

const placeText = (p: Carried['place']): string => `step=${p.step}&event=${p.event}`;

function readPlace(text: string | undefined): Carried['place'] {
  const m = /^step=(\d{1,9})&event=(\d{1,9})$/.exec(text ?? '');
  return { step: Number(m?.[1] ?? 0), event: Number(m?.[2] ?? 0) };
}

/** @param png  a PNG file */
export const pngWithDocument = (png: Uint8Array, { text, place }: Carried): Uint8Array =>
  addPngTexts(png, [
    [documentKey, text],
    [placeKey, placeText(place)],
  ]);

/** @param svg  an SVG file that stands alone */
export const svgWithDocument = (svg: string, { text, place }: Carried): string =>
  addSvgDocument(svg, { text, place: placeText(place) });

export type CarriedOrNot =
  | { readonly ok: true; readonly carried: Carried }
  | { readonly ok: false; readonly problem: string };

/** What a picture carries, null when the bytes are no picture that could. Never throws. */
export function readPicture(bytes: Uint8Array): CarriedOrNot | null {
  if (isPng(bytes)) {
    const { texts, broken, cut } = readPngTexts(bytes, [documentKey, placeKey], mostText);
    const text = texts.get(documentKey);
    if (text !== undefined) return { ok: true, carried: { text, place: readPlace(texts.get(placeKey)) } };
    if (broken.has(documentKey))
      return { ok: false, problem: 'The document in the picture is damaged or larger than any document may be.' };
    return {
      ok: false,
      problem: cut
        ? 'The picture is cut off, and what is left of it carries no document.'
        : 'The picture carries no document. Chat and mail programs may strip it: send the file as an attachment.',
    };
  }
  const head = new TextDecoder().decode(bytes.subarray(0, 4096));
  if (!/^\ufeff?\s*(?:<\?xml[^>]{0,200}\?>\s*)?(?:<!--|<!DOCTYPE svg|<svg\b)/.test(head)) return null;
  const found = readSvgDocument(new TextDecoder().decode(bytes));
  if (!found) return { ok: false, problem: 'The picture carries no document: it was not saved by iommuscope.' };
  return { ok: true, carried: { text: found.text, place: readPlace(found.place) } };
}
