import { describe, expect, it } from 'vitest';
import { parseInline, parseMarkdown } from './markdown.ts';

describe('narration text', () => {
  it('makes paragraphs, lists, bold, code and links', () => {
    expect(parseMarkdown('One **two** `a*b`.\n\nsee [x](https://a.example/b)\n- p\n- q `r`\n1. s')).toEqual([
      {
        kind: 'paragraph',
        inline: [
          { kind: 'text', text: 'One ' },
          { kind: 'bold', inline: [{ kind: 'text', text: 'two' }] },
          { kind: 'text', text: ' ' },
          { kind: 'code', text: 'a*b' },
          { kind: 'text', text: '.' },
        ],
      },
      {
        kind: 'paragraph',
        inline: [
          { kind: 'text', text: 'see ' },
          { kind: 'link', href: 'https://a.example/b', inline: [{ kind: 'text', text: 'x' }] },
        ],
      },
      {
        kind: 'list',
        ordered: false,
        items: [
          [{ kind: 'text', text: 'p' }],
          [
            { kind: 'text', text: 'q ' },
            { kind: 'code', text: 'r' },
          ],
        ],
      },
      { kind: 'list', ordered: true, items: [[{ kind: 'text', text: 's' }]] },
    ]);
  });

  it('keeps everything else as text: HTML, other schemes, unfinished marks', () => {
    const kinds = (s: string) => parseInline(s).map((n) => n.kind);
    for (const s of ['<img src=x onerror=alert(1)>', '[x](javascript:alert(1))', '[x](data:text/html,a)', '**a', '`b'])
      expect(kinds(s)).toEqual(['text']);
    expect(parseInline('<b>')).toEqual([{ kind: 'text', text: '<b>' }]);
  });

  it('joins the lines of a paragraph and survives long nonsense quickly', () => {
    expect(parseMarkdown('a\nb')).toEqual([{ kind: 'paragraph', inline: [{ kind: 'text', text: 'a b' }] }]);
    expect(parseMarkdown('[*`'.repeat(20_000)).length).toBe(1);
    expect(parseMarkdown('**['.repeat(20_000)).length).toBe(1);
  });
});
