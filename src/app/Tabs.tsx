import type { KeyboardEvent } from 'react';

export interface TabItem<T extends string> {
  readonly id: T;
  readonly title: string;
  /** Why it cannot be chosen yet; the tab keeps its place. */
  readonly later?: string;
}

interface Props<T extends string> {
  readonly label: string;
  /** Ids of tabs and panels begin with it. */
  readonly name: string;
  readonly items: readonly TabItem<T>[];
  readonly selected: T | null;
  readonly onSelect: (id: T) => void;
  readonly className?: string;
  /** Less room between the titles. */
  readonly tight?: boolean;
}

/** Tabs with one stop of the Tab key: arrows, Home and End move among them. */
export function Tabs<T extends string>({ label, name, items, selected, onSelect, className, tight }: Props<T>) {
  const onKeyDown = (e: KeyboardEvent<HTMLDivElement>): void => {
    const tabs = [...e.currentTarget.querySelectorAll<HTMLElement>('[role=tab]')];
    const at = tabs.indexOf(document.activeElement as HTMLElement);
    const to =
      e.key === 'ArrowRight'
        ? at + 1
        : e.key === 'ArrowLeft'
          ? at - 1
          : e.key === 'Home'
            ? 0
            : e.key === 'End'
              ? tabs.length - 1
              : null;
    if (to === null || at < 0) return;
    e.preventDefault();
    e.stopPropagation();
    const tab = tabs[(to + tabs.length) % tabs.length];
    tab?.focus();
    if (tab && tab.getAttribute('aria-disabled') !== 'true') tab.click();
  };
  const stop = items.some((i) => i.id === selected) ? selected : (items[0]?.id ?? null);
  return (
    <div role="tablist" aria-label={label} onKeyDown={onKeyDown} className={`flex items-stretch ${className ?? ''}`}>
      {items.map((item) => {
        const on = item.id === selected;
        return (
          <button
            key={item.id}
            type="button"
            role="tab"
            id={`${name}-tab-${item.id}`}
            aria-selected={on}
            aria-controls={on ? `${name}-panel` : undefined}
            aria-disabled={item.later ? true : undefined}
            title={item.later}
            tabIndex={item.id === stop ? 0 : -1}
            onClick={() => {
              if (!item.later) onSelect(item.id);
            }}
            className={`relative text-xs ${tight ? 'px-1' : 'px-2.5'} ${
              on
                ? 'font-semibold text-ink after:absolute after:-bottom-px after:h-0.5 after:bg-ink ' +
                  (tight ? 'after:inset-x-1' : 'after:inset-x-2.5')
                : item.later
                  ? 'text-ink-3 opacity-70'
                  : 'text-ink-2 hover:text-ink'
            }`}
          >
            {item.title}
          </button>
        );
      })}
    </div>
  );
}
