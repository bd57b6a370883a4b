/**
 * The little Markdown of narration: paragraphs, lists, bold, italic, code, links to http(s). The result is data, so
 * nothing that a document says can become markup.
 */
export type Inline =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'code'; readonly text: string }
  | { readonly kind: 'bold'; readonly inline: readonly Inline[] }
  | { readonly kind: 'italic'; readonly inline: readonly Inline[] }
  | { readonly kind: 'link'; readonly href: string; readonly inline: readonly Inline[] };

export type Block =
  | { readonly kind: 'paragraph'; readonly inline: readonly Inline[] }
  | { readonly kind: 'list'; readonly ordered: boolean; readonly items: readonly (readonly Inline[])[] };

const mark =
  /`([^`\n]{1,300})`|\*\*([^*\n]{1,300})\*\*|\*([^*\s][^*\n]{0,300})\*|\[([^[\]\n]{1,300})\]\((https?:\/\/[^\s()]{1,500})\)/g;

/** Marks inside one paragraph. What is not a complete mark stays text. */
export function parseInline(text: string): Inline[] {
  const out: Inline[] = [];
  let from = 0;
  for (const m of text.matchAll(mark)) {
    if (m.index > from) out.push({ kind: 'text', text: text.slice(from, m.index) });
    from = m.index + m[0].length;
    const [, code, bold, italic, label, href] = m;
    if (code !== undefined) out.push({ kind: 'code', text: code });
    else if (bold !== undefined) out.push({ kind: 'bold', inline: parseInline(bold) });
    else if (italic !== undefined) out.push({ kind: 'italic', inline: parseInline(italic) });
    else if (label !== undefined && href !== undefined) out.push({ kind: 'link', href, inline: parseInline(label) });
  }
  if (from < text.length) out.push({ kind: 'text', text: text.slice(from) });
  return out;
}

/** A narration as blocks: an empty line ends a paragraph, lines that start with `-` or `1.` are items. */
export function parseMarkdown(text: string): Block[] {
  const blocks: Block[] = [];
  let paragraph: string[] = [];
  let list: { ordered: boolean; items: string[] } | null = null;
  const close = (): void => {
    if (paragraph.length > 0) blocks.push({ kind: 'paragraph', inline: parseInline(paragraph.join(' ')) });
    if (list) blocks.push({ kind: 'list', ordered: list.ordered, items: list.items.map(parseInline) });
    paragraph = [];
    list = null;
  };
  for (const line of text.replace(/\r/g, '').split('\n')) {
    const item = /^ {0,3}(?:([-*])|\d{1,3}\.) +(.*)$/.exec(line);
    if (item) {
      const ordered = item[1] === undefined;
      if (!list || list.ordered !== ordered) {
        close();
        list = { ordered, items: [] };
      }
      list.items.push(item[2]!.trim());
    } else if (line.trim() === '') close();
    else if (list && /^\s{2,}/.test(line)) list.items[list.items.length - 1] += ` ${line.trim()}`;
    else {
      if (list) close();
      paragraph.push(line.trim().replace(/^#{1,6} +/, ''));
    }
  }
  close();
  return blocks;
}
