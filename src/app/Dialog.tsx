import { type ReactNode, useEffect, useId, useRef } from 'react';
import { Icon } from './Icon.tsx';

interface Props {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ReactNode;
  /** Width class; the dialog never grows past the window. */
  readonly width?: string;
  /** Draws only what is inside (a palette has its own head). */
  readonly bare?: boolean;
  /** Stands near the top instead of the middle. */
  readonly high?: boolean;
}

/** A window over the page. The browser keeps the focus inside, Escape closes it and the focus goes back. */
export function Dialog({ title, onClose, children, width = 'w-[34rem]', bare = false, high = false }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const el = ref.current;
    const before = document.activeElement;
    if (el && !el.open) el.showModal();
    return () => {
      el?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click on the backdrop closes; Escape does the same by keyboard
    <dialog
      ref={ref}
      aria-labelledby={bare ? undefined : id}
      aria-label={bare ? title : undefined}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onClick={(e) => {
        if (e.target === e.currentTarget) onClose();
      }}
      className={`${width} m-auto max-h-[86vh] max-w-[94vw] overflow-hidden rounded-xl border border-line-strong bg-panel p-0 text-ink shadow-(--shadow) ${high ? 'mt-[10vh]' : ''}`}
    >
      <div className="flex max-h-[86vh] flex-col">
        {!bare && (
          <div className="flex items-center justify-between gap-4 border-b border-line px-4 py-2.5">
            <h2 id={id} className="text-base font-semibold">
              {title}
            </h2>
            <button type="button" className="btn -mr-1 border-transparent px-1.5" aria-label="Close" onClick={onClose}>
              <Icon name="close" />
            </button>
          </div>
        )}
        {children}
      </div>
    </dialog>
  );
}
