/** @param bar place at the right of the tabs for what the view filters and switches */
export function CachesPane({ bar }: { bar: HTMLElement | null }) {
  return <p className="p-3 text-xs text-ink-2">{bar ? '' : ''}</p>;
}
