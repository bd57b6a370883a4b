/** `51:6`, or `0` for a single bit. */
export const bitsText = (f: { readonly hi: number; readonly lo: number }): string =>
  f.hi === f.lo ? `${f.hi}` : `${f.hi}:${f.lo}`;

let rem = 0;

/** Pixels of one rem: the page is larger on a large screen. Asked once a window size, since asking draws the page. */
export function remPixels(): number {
  if (rem === 0) {
    rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    window.addEventListener(
      'resize',
      () => {
        rem = 0;
      },
      { once: true },
    );
  }
  return rem;
}
