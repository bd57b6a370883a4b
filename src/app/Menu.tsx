import { useEffect, useRef } from 'react';
import { rove } from './roving.ts';

export interface MenuItem {
  readonly title: string;
  readonly run: () => void;
  /** Stands at the right: a key. */
  readonly hint?: string;
  readonly disabled?: boolean;
  /** Stands below a line: another kind of thing than those above. */
  readonly apart?: boolean;
}

interface Props {
  readonly label: string;
  /** What it hangs on, in the window. */
  readonly anchor: DOMRect;
  readonly items: readonly MenuItem[];
  readonly onClose: () => void;
}

const width = 272;
const line = 30;

/** A list of things to do, beside what it belongs to. Arrows move in it, Escape and a click elsewhere close it. */
export function Menu({ label, anchor, items, onClose }: Props) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.querySelector<HTMLElement>('[data-rove]')?.focus();
    const outside = (e: Event): void => {
      if (!ref.current?.contains(e.target as Node)) onClose();
    };
    window.addEventListener('pointerdown', outside, true);
    window.addEventListener('blur', onClose);
    return () => {
      window.removeEventListener('pointerdown', outside, true);
      window.removeEventListener('blur', onClose);
      if (before instanceof HTMLElement || before instanceof SVGElement) before.focus({ preventScroll: true });
    };
  }, [onClose]);
  const height = 10 + items.length * line;
  const left = Math.max(8, Math.min(anchor.left, window.innerWidth - width - 8));
  const top = anchor.bottom + height > window.innerHeight ? Math.max(8, anchor.top - height) : anchor.bottom + 4;
  return (
    <div
      ref={ref}
      role="menu"
      tabIndex={-1}
      aria-label={label}
      style={{ left, top }}
      className="fixed z-30 max-h-[70vh] w-68 overflow-y-auto rounded-lg border border-line-strong bg-panel p-1 shadow-(--shadow)"
      onKeyDown={(e) => {
        rove(e);
        if (e.key === 'Escape' || e.key === 'Tab') {
          e.preventDefault();
          e.stopPropagation();
          onClose();
        }
      }}
    >
      {items.map((i) => (
        <button
          key={i.title}
          type="button"
          role="menuitem"
          data-rove
          tabIndex={-1}
          disabled={i.disabled}
          className={`flex w-full items-baseline gap-3 rounded px-2.5 py-1.5 text-left text-sm hover:bg-sunken focus:bg-sunken disabled:text-ink-3 ${
            i.apart ? 'mt-1 border-t border-line text-ink-2' : ''
          }`}
          onClick={() => {
            onClose();
            i.run();
          }}
        >
          {i.title}
          {i.hint && <kbd className="ml-auto font-sans text-2xs text-ink-3">{i.hint}</kbd>}
        </button>
      ))}
    </div>
  );
}
