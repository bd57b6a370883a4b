import { useEffect, useRef } from 'react';
import type { ObjectAction } from '../../store/index.ts';
import { useAppStore } from '../context.ts';
import { rove } from '../roving.ts';

interface Props {
  readonly anchor: DOMRect;
  readonly actions: readonly ObjectAction[];
  readonly onClose: () => void;
}

/** What can be done with an object, beside it. */
export function ActionsMenu({ anchor, actions, onClose }: Props) {
  const app = useAppStore();
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
  const height = 40 + actions.length * 30;
  const left = Math.max(8, Math.min(anchor.left, window.innerWidth - 280));
  const top = anchor.bottom + height > window.innerHeight ? Math.max(8, anchor.top - height) : anchor.bottom + 4;
  const item = 'block w-full rounded px-2.5 py-1.5 text-left text-sm hover:bg-sunken focus:bg-sunken';
  return (
    <div
      ref={ref}
      role="menu"
      tabIndex={-1}
      aria-label="What can be done here"
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
      {actions.map((a) => (
        <button
          key={a.title}
          type="button"
          role="menuitem"
          data-rove
          tabIndex={-1}
          className={item}
          onClick={() => {
            onClose();
            app.runOperation(a.step, a.title);
          }}
        >
          {a.title}
        </button>
      ))}
      <button
        type="button"
        role="menuitem"
        data-rove
        tabIndex={-1}
        className={`${item} text-ink-2`}
        onClick={() => {
          onClose();
          app.setSettings({ inspectorOpen: true });
        }}
      >
        Inspect
      </button>
    </div>
  );
}
