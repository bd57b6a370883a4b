import { type ReactNode, useMemo } from 'react';
import { type Inline, parseMarkdown } from './markdown.ts';

function one(n: Inline, key: number): ReactNode {
  switch (n.kind) {
    case 'text':
      return n.text;
    case 'code':
      return (
        <code key={key} className="rounded-sm bg-sunken px-1 py-px font-mono text-[0.92em] break-words">
          {n.text}
        </code>
      );
    case 'bold':
      return <strong key={key}>{n.inline.map(one)}</strong>;
    case 'italic':
      return <em key={key}>{n.inline.map(one)}</em>;
    case 'link':
      return (
        <a key={key} href={n.href} target="_blank" rel="noreferrer" className="text-accent-ink underline">
          {n.inline.map(one)}
        </a>
      );
  }
}

/** Narration: drawn from parsed data, never as HTML. */
export function Markdown({ text, className }: { text: string; className?: string }) {
  const blocks = useMemo(() => parseMarkdown(text), [text]);
  return (
    <div className={`space-y-1.5 ${className ?? ''}`}>
      {blocks.map((b, i) => {
        const key = `${i}${b.kind}`;
        if (b.kind === 'paragraph') return <p key={key}>{b.inline.map(one)}</p>;
        const List = b.ordered ? 'ol' : 'ul';
        return (
          <List key={key} className={`space-y-0.5 pl-4 ${b.ordered ? 'list-decimal' : 'list-disc'}`}>
            {b.items.map((item, j) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: items have no name and never change places
              <li key={j}>{item.map(one)}</li>
            ))}
          </List>
        );
      })}
    </div>
  );
}
