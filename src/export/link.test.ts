import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serializeDocument } from '../engine/document/index.ts';
import { scenarios } from '../library/index.ts';
import { crc32, fromBase64Url, toBase64Url, writeVarint } from './bytes.ts';
import { varied } from './fixtures/random-documents.ts';
import { decodeLink, encodeLink, longestLinkedText } from './link.ts';
import { preset1 } from './link-preset.ts';

const data = (fragment: string | null): string => fragment!.slice(2);
const place = { step: 3, event: 5 };

/** A link with a right checksum around anything. */
function forged(length: number, small: Uint8Array): string {
  const head: number[] = [0, 0];
  writeVarint(head, length);
  const body = Uint8Array.from([...head, ...small]);
  const sum = crc32(body);
  return `1${toBase64Url(Uint8Array.from([sum >>> 24, sum >>> 16, sum >>> 8, sum, ...body]))}`;
}

describe('links', () => {
  it('the text that the first version begins with never changes', () => {
    expect(createHash('sha256').update(preset1).digest('hex')).toBe(
      '0c26aa2b8e5e2ecb625eb42cf7376293afc19c6b958bc1f0f5dea8a58766ffe5',
    );
  });

  it('hold every scenario of the library, exactly, at its place', async () => {
    for (const s of scenarios) {
      const text = serializeDocument(await s.load());
      const link = encodeLink(text, place);
      expect(link!.length).toBeLessThan(2000);
      expect(decodeLink(data(link))).toEqual({ ok: true, text, place });
    }
  });

  it('hold 100 varied steps with random 64-bit addresses in 2000 characters', () => {
    fc.assert(
      fc.property(varied(100), (document) => {
        const text = serializeDocument(document);
        const link = encodeLink(text, { step: 100, event: 7 });
        expect(link!.length).toBeLessThan(2000);
        expect(decodeLink(data(link))).toMatchObject({ ok: true, text });
      }),
      { numRuns: 12 },
    );
  });

  it('hold any text: other alphabets, controls, the mark at the start, nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.nat(), fc.nat(), (text, step, event) => {
        const link = encodeLink(text, { step, event });
        expect(decodeLink(data(link))).toEqual({ ok: true, text, place: { step, event } });
      }),
      { numRuns: 30 },
    );
    for (const text of ['\ufeff{}', '\u0000\u007f\uffff']) {
      expect(decodeLink(data(encodeLink(text, place)))).toEqual({ ok: true, text, place });
    }
  });

  it('are refused where they would be too long', () => {
    expect(encodeLink('x'.repeat(longestLinkedText + 1), place)).toBeNull();
    expect(encodeLink('{"title": "some text that needs more"}', place, 20)).toBeNull();
  });
});

describe('a damaged or hostile link', () => {
  const link = data(encodeLink('{"format": "iommuscope/1", "title": "T", "steps": []}', place));

  it('is told from a sound one whichever character is changed, left out or put in', () => {
    const letters = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_%=+ é');
    for (let at = 0; at < link.length; at++)
      fc.assert(
        fc.property(letters, fc.constantFrom(0, 1), fc.constantFrom(0, 1), (c, cut, put) => {
          const bad = link.slice(0, at) + (put ? c : '') + link.slice(at + cut);
          if (bad === link) return;
          const r = decodeLink(bad);
          expect(r.ok).toBe(false);
          expect(!r.ok && r.problem.length > 10 && r.remedy.length > 10).toBe(true);
        }),
        { numRuns: 12 },
      );
    for (let n = 0; n < link.length; n++) expect(decodeLink(link.slice(0, n)).ok).toBe(false);
  });

  it('of any content never throws', () => {
    fc.assert(fc.property(fc.string(), (s) => !decodeLink(s).ok || s.startsWith('1')));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3000 }), fc.uint8Array({ maxLength: 60 }), (n, bytes) => {
        decodeLink(forged(n, bytes));
      }),
      { numRuns: 40 },
    );
  });

  it('of a newer version says so', () => {
    expect(decodeLink(`2${link.slice(1)}`)).toMatchObject({ ok: false, problem: expect.stringContaining('newer') });
  });

  it('that claims more than a link may hold is refused before anything is made of it', () => {
    const before = process.memoryUsage().arrayBuffers;
    for (const claim of [longestLinkedText + 1, 2 ** 31, 2 ** 34]) {
      const t = performance.now();
      expect(decodeLink(forged(claim, new Uint8Array(8)))).toMatchObject({
        ok: false,
        problem: expect.stringContaining('at most 512 KiB'),
      });
      expect(performance.now() - t).toBeLessThan(200);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  });
});

describe('base64url and checksum', () => {
  it('agree with what Node has', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
        const text = toBase64Url(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('base64url'));
        expect(fromBase64Url(text)).toEqual(bytes);
      }),
    );
    // The check value of CRC-32/ISO-HDLC.
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  });
});
