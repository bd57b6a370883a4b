const svgNs = 'http://www.w3.org/2000/svg';

/** Elements that are drawn; everything else stays behind: scripts, styles, HTML inside a drawing. */
const drawn = new Set(
  'svg g rect circle ellipse line path polyline polygon text tspan title defs clipPath pattern linearGradient radialGradient stop'.split(
    ' ',
  ),
);

/** Attributes that say where and how large; looks come from the computed style, behaviour stays behind. */
const geometry = new Set(
  (
    'x y width height rx ry cx cy r x1 y1 x2 y2 d points transform dx dy textLength lengthAdjust offset id viewBox xml:space ' +
    'clipPathUnits patternUnits patternContentUnits patternTransform gradientUnits gradientTransform'
  ).split(' '),
);

/** With what holds for the root where nothing is said. */
const inherited: Readonly<Record<string, string>> = {
  fill: 'rgb(0, 0, 0)',
  'fill-opacity': '1',
  'fill-rule': 'nonzero',
  stroke: 'none',
  'stroke-width': '1px',
  'stroke-opacity': '1',
  'stroke-dasharray': 'none',
  'stroke-dashoffset': '0px',
  'stroke-linecap': 'butt',
  'stroke-linejoin': 'miter',
  'font-family': '',
  'font-size': '',
  'font-weight': '400',
  'font-style': 'normal',
  'letter-spacing': 'normal',
  'text-anchor': 'start',
  'dominant-baseline': 'auto',
  'paint-order': 'normal',
  visibility: 'visible',
};
const own: Readonly<Record<string, string>> = {
  opacity: '1',
  'clip-path': 'none',
  'text-decoration-line': 'none',
  'stop-color': 'rgb(0, 0, 0)',
  'stop-opacity': '1',
  'vector-effect': 'none',
};

let pixel: CanvasRenderingContext2D | null = null;

/** A colour that every viewer reads: mixed and wide ones as the browser shows them. */
function plain(value: string): string {
  if (!/^(?:color|oklab|oklch|lab|lch|color-mix)\(/.test(value)) return value;
  pixel ??= document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  if (!pixel) return value;
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = value;
  pixel.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data as unknown as [number, number, number, number];
  return a === 255 ? `rgb(${r}, ${g}, ${b})` : `rgba(${r}, ${g}, ${b}, ${(a / 255).toFixed(3)})`;
}

/** References stay inside the file: `url("#id")` as `url(#id)`, anything else is nothing. */
function inside(value: string): string {
  if (!value.includes('url(')) return plain(value);
  const id = /url\(["']?[^"')]*#([\w:.-]+)["']?\)/.exec(value)?.[1];
  return id === undefined ? 'none' : `url(#${id})`;
}

function copyStyle(from: Element, to: Element, above: Readonly<Record<string, string>>): Record<string, string> {
  const style = getComputedStyle(from);
  const here: Record<string, string> = {};
  for (const name of Object.keys(inherited)) {
    const value = inside(style.getPropertyValue(name));
    here[name] = value;
    if (value !== '' && value !== above[name]) to.setAttribute(name, value);
  }
  for (const [name, otherwise] of Object.entries(own)) {
    const value = inside(style.getPropertyValue(name));
    if (value !== '' && value !== otherwise)
      to.setAttribute(name === 'text-decoration-line' ? 'text-decoration' : name, value);
  }
  if (!from.hasAttribute('transform') && style.transform !== 'none' && style.transform !== '')
    to.setAttribute('transform', style.transform);
  return here;
}

function copy(from: Element, above: Readonly<Record<string, string>>): Element | null {
  if (from.namespaceURI !== svgNs || !drawn.has(from.localName)) return null;
  const rendered = !['title', 'defs', 'clipPath', 'pattern', 'linearGradient', 'radialGradient', 'stop'].includes(
    from.localName,
  );
  if (rendered && getComputedStyle(from).display === 'none') return null;
  const to = document.createElementNS(svgNs, from.localName);
  for (const { name, value } of from.attributes) if (geometry.has(name)) to.setAttribute(name, value);
  const here = from.localName === 'title' ? above : copyStyle(from, to, above);
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.append(child.textContent ?? '');
    else if (child instanceof Element) {
      const c = copy(child, here);
      if (c) to.append(c);
    }
  }
  // With the width that it has here, a text fits its box in a viewer that lacks the font.
  if (from instanceof SVGTextElement && !from.hasAttribute('textLength') && !from.querySelector('tspan')) {
    const width = from.getComputedTextLength();
    if (width > 0) {
      to.setAttribute('textLength', width.toFixed(1));
      to.setAttribute('lengthAdjust', 'spacingAndGlyphs');
    }
  }
  return to;
}

/** The first surface behind an element that is not transparent. */
function surface(el: Element): string {
  for (let e: Element | null = el; e; e = e.parentElement) {
    const colour = getComputedStyle(e).backgroundColor;
    if (colour !== '' && colour !== 'transparent' && !/, 0\)$|\/ 0\)$/.test(colour)) return plain(colour);
  }
  return 'rgb(255, 255, 255)';
}

export interface Standalone {
  readonly element: SVGSVGElement;
  readonly width: number;
  readonly height: number;
}

/**
 * A copy of a drawing that needs neither this page's style sheet nor its fonts, on the surface that it stands on here. Text
 * stays text. It holds nothing that acts: no scripts, no events, no references to elsewhere.
 */
export function standalone(svg: SVGSVGElement): Standalone {
  const element = copy(svg, inherited) as SVGSVGElement;
  // What flies over a drawing lies in a drawing of its own beside it.
  for (const over of svg.parentElement?.querySelectorAll(':scope > svg') ?? []) {
    const layer = over === svg ? null : copy(over, inherited);
    if (!layer) continue;
    const group = document.createElementNS(svgNs, 'g');
    for (const { name, value } of layer.attributes) if (name in inherited) group.setAttribute(name, value);
    group.append(...layer.childNodes);
    element.append(group);
  }
  const box = svg.getBoundingClientRect();
  const view = svg.viewBox.baseVal;
  const [x, y, w, h] =
    view && view.width > 0 && view.height > 0
      ? [view.x, view.y, view.width, view.height]
      : [0, 0, box.width, box.height];
  const width = Math.max(1, Math.ceil(box.width || w));
  const height = Math.max(1, Math.ceil(box.height || h));
  element.removeAttribute('x');
  element.removeAttribute('y');
  element.setAttribute('xmlns', svgNs);
  element.setAttribute('width', `${width}`);
  element.setAttribute('height', `${height}`);
  element.setAttribute('viewBox', `${x} ${y} ${w} ${h}`);
  const ground = document.createElementNS(svgNs, 'rect');
  for (const [name, value] of Object.entries({ x, y, width: w, height: h, fill: surface(svg), stroke: 'none' }))
    ground.setAttribute(name, `${value}`);
  element.prepend(ground);
  return { element, width, height };
}
