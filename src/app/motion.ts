import { useSyncExternalStore } from 'react';

const query = '(prefers-reduced-motion: reduce)';

/** True when the person has asked the system for less motion: flight becomes a highlight. */
export const prefersStill = (): boolean => window.matchMedia(query).matches;

export function useStill(): boolean {
  return useSyncExternalStore((changed) => {
    const m = window.matchMedia(query);
    m.addEventListener('change', changed);
    return () => m.removeEventListener('change', changed);
  }, prefersStill);
}
