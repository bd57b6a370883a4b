/** A document inside an SVG file: in an element of its own name space under <metadata>, which viewers pass over. */

const nameSpace = 'urn:iommuscope:document';

export interface SvgDocument {
  readonly text: string;
  /** What the element says beside: `step=3&event=5`. */
  readonly place: string;
}

const escapeText = (s: string): string => s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const escapeAttribute = (s: string): string => escapeText(s).replace(/"/g, '&quot;');

/** @param svg  a whole SVG document */
export function addSvgDocument(svg: string, { text, place }: SvgDocument): string {
  const root = /<svg\b(?:[^>"']|"[^"]*"|'[^']*')*>/.exec(svg);
  if (!root) throw new Error('no svg element to put the document in');
  // XML has no way to write these two characters; inside a JSON string their escapes mean the same.
  const legal = text.replace(/[\ufffe\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);
  const metadata = `<metadata><io:document xmlns:io="${nameSpace}" place="${escapeAttribute(place)}">${escapeText(legal)}</io:document></metadata>`;
  const at = root.index + root[0].length;
  return svg.slice(0, at) + metadata + svg.slice(at);
}

const named: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

const unescaped = (s: string): string =>
  s.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]{2,4}));/g, (whole, dec, hex, name) => {
    if (name !== undefined) return Object.hasOwn(named, name) ? named[name]! : whole;
    const code = dec === undefined ? Number.parseInt(hex, 16) : Number(dec);
    return code > 0x10ffff ? whole : String.fromCodePoint(code);
  });

/** What opens the first element `document` of our name space, wherever a program that saved the file declared it. */
function opening(svg: string): { readonly tag: string; readonly end: number } | null {
  const declared = svg.indexOf(nameSpace);
  if (declared < 0) return null;
  const prefix = /xmlns:([\w.-]{1,40})\s*=\s*["']$/.exec(svg.slice(Math.max(0, declared - 80), declared))?.[1];
  const name = prefix === undefined ? 'document' : `${prefix}:document`;
  // Declared on the element itself, or above it.
  const from = Math.max(0, svg.lastIndexOf('<', declared));
  for (let at = svg.indexOf(`<${name}`, from); at >= 0; at = svg.indexOf(`<${name}`, at + 1)) {
    if (!/[\s>]/.test(svg[at + name.length + 1] ?? '')) continue;
    const end = svg.indexOf('>', at);
    return end < 0 || end - at > 1000 ? null : { tag: svg.slice(at, end), end: end + 1 };
  }
  return null;
}

/**
 * @param svg  any text
 * @returns null when it carries no document. Nothing of the file is run or drawn, and its entities are not followed.
 */
export function readSvgDocument(svg: string): SvgDocument | null {
  const open = opening(svg);
  if (!open) return null;
  const place = unescaped(/\splace\s*=\s*["']([^"']{0,200})["']/.exec(open.tag)?.[1] ?? '');
  const cdata = '<![CDATA[';
  if (svg.startsWith(cdata, open.end)) {
    const end = svg.indexOf(']]>', open.end);
    return end < 0 ? null : { text: svg.slice(open.end + cdata.length, end), place };
  }
  const end = svg.indexOf('<', open.end);
  return end < 0 ? null : { text: unescaped(svg.slice(open.end, end)), place };
}
