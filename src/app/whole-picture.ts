/**
 * A view that draws only what can be seen (a window of a long list) can offer the whole drawing for saving. What stands on
 * the page with `data-export` is then its name and its place only.
 */
const wholes = new WeakMap<SVGSVGElement, () => string>();

/** @param make  the whole drawing as SVG text. @returns takes the offer back */
export function offerWhole(element: SVGSVGElement, make: () => string): () => void {
  wholes.set(element, make);
  return () => wholes.delete(element);
}

/** Runs `use` on the whole drawing, which stands on the page meanwhile, where nobody sees it, so that it has its styles. */
export function withWhole<T>(element: SVGSVGElement, use: (svg: SVGSVGElement) => T): T {
  const make = wholes.get(element);
  if (!make) return use(element);
  const parsed = new DOMParser().parseFromString(make(), 'image/svg+xml').documentElement;
  if (parsed.localName !== 'svg') return use(element);
  const host = document.createElement('div');
  host.setAttribute('aria-hidden', 'true');
  Object.assign(host.style, { position: 'fixed', left: '-100000px', top: '0' });
  const svg = document.importNode(parsed, true) as Element as SVGSVGElement;
  host.append(svg);
  document.body.append(host);
  try {
    return use(svg);
  } finally {
    host.remove();
  }
}
