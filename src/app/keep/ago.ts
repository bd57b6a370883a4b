const steps = [
  [60, 'minute'],
  [60, 'hour'],
  [24, 'day'],
  [30, 'month'],
  [12, 'year'],
] as const;

/** How long ago something was changed, in words: `just now`, `5 minutes ago`, `yesterday`. */
export function ago(then: number, now: number): string {
  let n = Math.max(0, (now - then) / 1000);
  let unit: Intl.RelativeTimeFormatUnit = 'second';
  for (const [size, next] of steps) {
    if (n < size) break;
    n /= size;
    unit = next;
  }
  if (unit === 'second') return 'just now';
  return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-Math.floor(n), unit);
}
