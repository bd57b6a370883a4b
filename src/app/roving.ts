import type { KeyboardEvent } from 'react';

/**
 * Up, down, Home and End move the focus among the elements marked `data-rove` of a list that has one stop of the Tab key.
 */
export function rove(e: KeyboardEvent<HTMLElement>): void {
  const step = e.key === 'ArrowDown' ? 1 : e.key === 'ArrowUp' ? -1 : 0;
  if ((step === 0 && e.key !== 'Home' && e.key !== 'End') || e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement) return;
  const items = [...e.currentTarget.querySelectorAll<HTMLElement>('[data-rove]')];
  const at = items.indexOf(document.activeElement as HTMLElement);
  if (at < 0) return;
  const to = e.key === 'Home' ? 0 : e.key === 'End' ? items.length - 1 : at + step;
  e.preventDefault();
  e.stopPropagation();
  items[Math.max(0, Math.min(items.length - 1, to))]?.focus();
}
