/**
 * Paints a drawing that `standalone` has made onto a canvas. The browser would do it for an image, but a page that allows
 * nothing from elsewhere allows no image from a `blob:` address either.
 */

type Looks = Readonly<Record<string, string>>;

const number = (v: string | null | undefined, otherwise = 0): number => {
  const n = Number.parseFloat(v ?? '');
  return Number.isFinite(n) ? n : otherwise;
};

function looksOf(el: Element, above: Looks): Looks {
  const out: Record<string, string> = { ...above };
  for (const { name, value } of el.attributes) out[name] = value;
  return out;
}

function outline(el: Element): Path2D | null {
  const n = (name: string): number => number(el.getAttribute(name));
  const path = new Path2D();
  switch (el.localName) {
    case 'rect': {
      const rx = Math.min(number(el.getAttribute('rx') ?? el.getAttribute('ry')), n('width') / 2, n('height') / 2);
      path.roundRect(n('x'), n('y'), Math.max(0, n('width')), Math.max(0, n('height')), Math.max(0, rx));
      return path;
    }
    case 'circle':
      path.arc(n('cx'), n('cy'), Math.max(0, n('r')), 0, 2 * Math.PI);
      return path;
    case 'ellipse':
      path.ellipse(n('cx'), n('cy'), Math.max(0, n('rx')), Math.max(0, n('ry')), 0, 0, 2 * Math.PI);
      return path;
    case 'line':
      path.moveTo(n('x1'), n('y1'));
      path.lineTo(n('x2'), n('y2'));
      return path;
    case 'path':
      return new Path2D(el.getAttribute('d') ?? '');
    case 'polyline':
    case 'polygon': {
      const points = (el.getAttribute('points') ?? '').match(/-?[\d.]+(?:e[+-]?\d+)?/gi)?.map(Number) ?? [];
      for (let i = 0; i + 1 < points.length; i += 2) path.lineTo(points[i]!, points[i + 1]!);
      if (el.localName === 'polygon') path.closePath();
      return path;
    }
    default:
      return null;
  }
}

const shown = (paint: string | undefined): paint is string =>
  paint !== undefined && paint !== 'none' && !paint.startsWith('url(');

function pen(ctx: CanvasRenderingContext2D, looks: Looks): void {
  ctx.lineWidth = number(looks['stroke-width'], 1);
  ctx.lineCap = (looks['stroke-linecap'] ?? 'butt') as CanvasLineCap;
  ctx.lineJoin = (looks['stroke-linejoin'] ?? 'miter') as CanvasLineJoin;
  const dashes = looks['stroke-dasharray'];
  ctx.setLineDash(dashes && dashes !== 'none' ? dashes.split(/[\s,]+/).map((d) => number(d)) : []);
  ctx.lineDashOffset = number(looks['stroke-dashoffset']);
}

/** Runs `draw` with the canvas as opaque as a part says. */
function faded(ctx: CanvasRenderingContext2D, by: string | undefined, draw: () => void): void {
  const before = ctx.globalAlpha;
  ctx.globalAlpha = before * number(by, 1);
  draw();
  ctx.globalAlpha = before;
}

function paintShape(ctx: CanvasRenderingContext2D, el: Element, looks: Looks): void {
  const path = outline(el);
  if (!path) return;
  if (shown(looks.fill) && el.localName !== 'line')
    faded(ctx, looks['fill-opacity'], () => {
      ctx.fillStyle = looks.fill!;
      ctx.fill(path, looks['fill-rule'] === 'evenodd' ? 'evenodd' : 'nonzero');
    });
  if (shown(looks.stroke) && number(looks['stroke-width'], 1) > 0)
    faded(ctx, looks['stroke-opacity'], () => {
      pen(ctx, looks);
      ctx.strokeStyle = looks.stroke!;
      ctx.stroke(path);
    });
}

const baselines: Readonly<Record<string, CanvasTextBaseline>> = {
  middle: 'middle',
  central: 'middle',
  hanging: 'hanging',
  'text-before-edge': 'top',
  'text-after-edge': 'bottom',
};

interface Run {
  readonly text: string;
  readonly looks: Looks;
}

function paintRun(
  ctx: CanvasRenderingContext2D,
  { text, looks }: Run,
  x: number,
  y: number,
  wide: number | null,
): number {
  const size = number(looks['font-size'], 12);
  ctx.font = `${looks['font-style'] ?? 'normal'} ${looks['font-weight'] ?? '400'} ${size}px ${looks['font-family'] || 'sans-serif'}`;
  ctx.letterSpacing = looks['letter-spacing']?.endsWith('px') ? looks['letter-spacing'] : '0px';
  ctx.textBaseline = baselines[looks['dominant-baseline'] ?? ''] ?? 'alphabetic';
  const natural = ctx.measureText(text).width;
  const width = wide ?? natural;
  ctx.save();
  ctx.translate(x, y);
  if (natural > 0 && width !== natural) ctx.scale(width / natural, 1);
  const halo = (): void => {
    if (!shown(looks.stroke) || number(looks['stroke-width'], 1) <= 0) return;
    pen(ctx, looks);
    ctx.strokeStyle = looks.stroke;
    ctx.strokeText(text, 0, 0);
  };
  const first = (looks['paint-order'] ?? '').startsWith('stroke');
  if (first) halo();
  if (shown(looks.fill))
    faded(ctx, looks['fill-opacity'], () => {
      ctx.fillStyle = looks.fill!;
      ctx.fillText(text, 0, 0);
    });
  if (!first) halo();
  if (looks['text-decoration'] === 'line-through' && shown(looks.fill)) {
    ctx.fillStyle = looks.fill;
    ctx.fillRect(0, -size * 0.3, natural, Math.max(1, size / 14));
  }
  ctx.restore();
  return width;
}

/** Text with its spans: one line each time a span says where it stands. */
function paintText(ctx: CanvasRenderingContext2D, el: Element, looks: Looks): void {
  ctx.textAlign = 'left';
  let x = number(el.getAttribute('x')) + number(el.getAttribute('dx'));
  let y = number(el.getAttribute('y')) + number(el.getAttribute('dy'));
  let runs: Run[] = [];
  const wide = el.getAttribute('textLength');
  const flush = (): void => {
    const widths = runs.map((r) => {
      ctx.font = `${r.looks['font-style'] ?? 'normal'} ${r.looks['font-weight'] ?? '400'} ${number(r.looks['font-size'], 12)}px ${r.looks['font-family'] || 'sans-serif'}`;
      return ctx.measureText(r.text).width;
    });
    const natural = widths.reduce((a, b) => a + b, 0);
    const total = wide === null ? natural : number(wide);
    const anchor = looks['text-anchor'];
    x -= anchor === 'middle' ? total / 2 : anchor === 'end' ? total : 0;
    runs.forEach((r, i) => {
      x += paintRun(ctx, r, x, y, natural > 0 && wide !== null ? (widths[i]! * total) / natural : null);
    });
    runs = [];
  };
  const walk = (node: Element, here: Looks): void => {
    for (const child of node.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) {
        const text = (child.textContent ?? '').replace(/\s+/g, ' ');
        if (text !== '') runs.push({ text, looks: here });
      } else if (child instanceof Element && child.localName === 'tspan') {
        if (child.hasAttribute('x') || child.hasAttribute('y')) {
          flush();
          x = child.hasAttribute('x') ? number(child.getAttribute('x')) : x;
          y = child.hasAttribute('y') ? number(child.getAttribute('y')) : y;
        }
        if (child.hasAttribute('dy') || child.hasAttribute('dx')) {
          if (!child.hasAttribute('x')) flush();
          x += number(child.getAttribute('dx'));
          y += number(child.getAttribute('dy'));
        }
        walk(child, looksOf(child, here));
      }
    }
  };
  walk(el, looks);
  flush();
}

/** What a part cuts its content to. */
function clip(ctx: CanvasRenderingContext2D, root: Element, reference: string | null): void {
  const id = /^url\(#(.+)\)$/.exec(reference ?? '')?.[1];
  const shape = id === undefined ? null : root.querySelector(`clipPath[id="${CSS.escape(id)}"]`);
  if (!shape) return;
  const all = new Path2D();
  for (const child of shape.children) {
    const path = outline(child);
    if (path) all.addPath(path);
  }
  ctx.clip(all);
}

function paintElement(ctx: CanvasRenderingContext2D, el: Element, above: Looks, root: Element): void {
  if (['defs', 'title', 'clipPath', 'pattern', 'linearGradient', 'radialGradient', 'metadata'].includes(el.localName))
    return;
  // What is not inherited must not reach the children.
  const { opacity: _, 'clip-path': __, transform: ___, 'text-decoration': ____, ...passed } = above;
  const looks = looksOf(el, passed);
  ctx.save();
  if (el !== root && el instanceof SVGGraphicsElement) {
    const m = el.transform.baseVal.consolidate()?.matrix;
    if (m) ctx.transform(m.a, m.b, m.c, m.d, m.e, m.f);
  }
  clip(ctx, root, el.getAttribute('clip-path'));
  faded(ctx, looks.opacity, () => {
    if (el.localName === 'text') {
      if (looks.visibility !== 'hidden') paintText(ctx, el, looks);
    } else {
      if (looks.visibility !== 'hidden') paintShape(ctx, el, looks);
      for (const child of el.children) paintElement(ctx, child, looks, root);
    }
  });
  ctx.restore();
}

/** @param scale  pixels for each unit */
export function paint(svg: SVGSVGElement, width: number, height: number, scale: number): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const ctx = canvas.getContext('2d');
  if (!ctx) throw new Error('this browser has no canvas');
  const [x, y, w, h] = (svg.getAttribute('viewBox') ?? `0 0 ${width} ${height}`).split(/\s+/).map(Number) as number[];
  // As the default of preserveAspectRatio does it: whole, and in the middle.
  const fit = Math.min(width / w!, height / h!);
  ctx.scale(scale, scale);
  const ground = svg.firstElementChild?.getAttribute('fill');
  if (ground) {
    ctx.fillStyle = ground;
    ctx.fillRect(0, 0, width, height);
  }
  ctx.translate((width - w! * fit) / 2, (height - h! * fit) / 2);
  ctx.scale(fit, fit);
  ctx.translate(-x!, -y!);
  paintElement(ctx, svg, {}, svg);
  return canvas;
}
