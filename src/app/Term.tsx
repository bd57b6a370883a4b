import { useId, useState } from 'react';
import { useApp } from './context.ts';
import { explainTerm } from './glossary/index.ts';

/**
 * A term that explains itself on hover and on focus, in one sentence with its source. Words without an entry are plain
 * text.
 */
export function Term({ term, children }: { term: string; children?: string }) {
  const vendor = useApp((s) => s.document?.platform.iommu ?? '');
  const entry = explainTerm(term, vendor);
  const id = useId();
  const [at, setAt] = useState<{ left: number; top: number; above: boolean } | null>(null);
  if (!entry) return <>{children ?? term}</>;
  const show = (el: HTMLElement): void => {
    const r = el.getBoundingClientRect();
    const above = r.bottom + 120 > window.innerHeight;
    setAt({
      left: Math.max(8, Math.min(r.left, window.innerWidth - 280)),
      top: above ? r.top - 6 : r.bottom + 6,
      above,
    });
  };
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a term is text inside a sentence; it only shows its own explanation */}
      <span
        role="button"
        tabIndex={0}
        aria-describedby={at ? id : undefined}
        className="term rounded-sm"
        onMouseEnter={(e) => show(e.currentTarget)}
        onMouseLeave={() => setAt(null)}
        onFocus={(e) => show(e.currentTarget)}
        onBlur={() => setAt(null)}
        onKeyDown={(e) => {
          if (e.key === 'Escape' && at) {
            e.stopPropagation();
            setAt(null);
          }
        }}
      >
        {children ?? term}
      </span>
      {at && (
        <span
          id={id}
          role="tooltip"
          style={{ left: at.left, top: at.top, transform: at.above ? 'translateY(-100%)' : undefined }}
          className="pointer-events-none fixed z-50 w-68 rounded-md border border-line-strong bg-panel p-2.5 text-left text-xs font-normal normal-case text-ink shadow-(--shadow)"
        >
          {entry.text}
          <span className="mt-1 block text-2xs text-ink-3">{entry.source}</span>
        </span>
      )}
    </>
  );
}
