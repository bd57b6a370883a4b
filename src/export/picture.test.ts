import fc from 'fast-check';
import { deflateSync, zlibSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { crc32 } from './bytes.ts';
import { pngWithDocument, readPicture, svgWithDocument } from './picture.ts';

const utf8 = new TextEncoder();
const text = '{"title": "<script>alert(1)</script> & ]]> \\"quoted\\"", "about": "é \u{1f600}"}\n';
const carried = { text, place: { step: 3, event: 5 } };

function chunk(type: string, data: Uint8Array, crc?: number): Uint8Array {
  const body = Buffer.concat([utf8.encode(type), data]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(data.length);
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc ?? crc32(body));
  return Buffer.concat([head, body, tail]);
}
const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const header = chunk('IHDR', Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0));
const pixels = chunk('IDAT', zlibSync(Uint8Array.of(0, 0)));
const end = chunk('IEND', new Uint8Array());
const png = Uint8Array.from(Buffer.concat([signature, header, pixels, end]));
const file = (...chunks: Uint8Array[]): Uint8Array =>
  Uint8Array.from(Buffer.concat([signature, header, ...chunks, pixels, end]));
const itxt = (packed: Uint8Array, crc?: number): Uint8Array =>
  chunk('iTXt', Buffer.concat([utf8.encode('iommuscope document'), Uint8Array.of(0, 1, 0, 0, 0), packed]), crc);
const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10" aria-label="a > b"><text>x</text></svg>';

describe('a PNG', () => {
  it('carries its document, and stays the picture that it was', () => {
    const whole = pngWithDocument(png, carried);
    expect(readPicture(whole)).toEqual({ ok: true, carried });
    expect(Buffer.from(whole).includes(Buffer.from(pixels))).toBe(true);
    expect(Buffer.from(whole.subarray(0, 33)).equals(Buffer.from(png.subarray(0, 33)))).toBe(true);
  });

  it('that is cut behind the document still opens; one that is cut before says so', () => {
    const whole = pngWithDocument(png, carried);
    expect(readPicture(whole.subarray(0, whole.length - 20))).toMatchObject({ ok: true });
    for (let n = 8; n < 60; n++) expect(readPicture(whole.subarray(0, n))).toMatchObject({ ok: false });
  });

  it('with a wrong checksum, a huge length or broken data is refused; a sound chunk after a broken one counts', () => {
    const good = zlibSync(utf8.encode(text));
    expect(readPicture(file(itxt(good, 1)))).toMatchObject({ ok: false, problem: expect.stringContaining('damaged') });
    expect(readPicture(file(itxt(deflateSync(utf8.encode(text)))))).toMatchObject({ ok: false });
    expect(readPicture(file(itxt(good, 1), itxt(good)))).toMatchObject({ ok: true });
    expect(readPicture(file(itxt(good), itxt(zlibSync(utf8.encode('other')))))).toMatchObject({
      ok: true,
      carried: { text },
    });
    const huge = Buffer.from(file(itxt(good)));
    huge.writeUInt32BE(0xffffffff, 33);
    expect(readPicture(huge)).toMatchObject({ ok: false, problem: expect.stringContaining('cut off') });
  });

  it('that unpacks to more than a document may have is refused without being unpacked whole', () => {
    const bomb = zlibSync(new Uint8Array(64 * 1024 * 1024), { level: 9 });
    const before = process.memoryUsage().arrayBuffers;
    expect(readPicture(file(itxt(bomb)))).toMatchObject({ ok: false });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024);
  });

  it('without a document says so', () => {
    expect(readPicture(png)).toMatchObject({ ok: false, problem: expect.stringContaining('no document') });
  });

  it('of any bytes never throws', () => {
    const whole = pngWithDocument(png, carried);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, b) => {
        const bad = Uint8Array.from(whole);
        bad[at] = b;
        const r = readPicture(bad);
        if (r?.ok) expect(r.carried.text).toBe(text);
      }),
      { numRuns: 300 },
    );
  });
});

describe('an SVG', () => {
  it('carries its document as text that nothing runs', () => {
    const whole = svgWithDocument(svg, carried);
    expect(whole).not.toContain('<script');
    expect(readPicture(utf8.encode(whole))).toEqual({ ok: true, carried });
    expect(readPicture(utf8.encode(`\ufeff<?xml version="1.0"?>\n${whole}`))).toEqual({ ok: true, carried });
  });

  it('opens after another program has written it anew', () => {
    const whole = svgWithDocument(svg, carried);
    const moved = whole
      .replace(' xmlns:io="urn:iommuscope:document"', '')
      .replace('<svg ', '<svg xmlns:io="urn:iommuscope:document" ');
    expect(readPicture(utf8.encode(moved))).toEqual({ ok: true, carried });
    const inner = /<io:document[^>]*>(.*)<\/io:document>/s.exec(whole)![1]!;
    const cdata = whole.replace(inner, () => '<![CDATA[{"a": "<b>"}]]>');
    expect(readPicture(utf8.encode(cdata))).toMatchObject({ ok: true, carried: { text: '{"a": "<b>"}' } });
  });

  it('without a document, or with half of one, is refused', () => {
    expect(readPicture(utf8.encode(svg))).toMatchObject({ ok: false });
    const whole = svgWithDocument(svg, carried);
    expect(readPicture(utf8.encode(whole.slice(0, 160)))).toMatchObject({ ok: false });
  });

  it('full of openings costs no more than its length', () => {
    const t = performance.now();
    readPicture(utf8.encode(`<svg xmlns:io="urn:iommuscope:document">${'<io:document "'.repeat(400_000)}`));
    expect(performance.now() - t).toBeLessThan(2000);
  });
});

it('what is no picture is left to others', () => {
  expect(readPicture(utf8.encode('{"format": "iommuscope/1"}'))).toBeNull();
  expect(readPicture(utf8.encode('arm-smmu-v3: event 0x10'))).toBeNull();
  expect(readPicture(new Uint8Array())).toBeNull();
});
