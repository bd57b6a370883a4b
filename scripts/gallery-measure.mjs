/* Runs in the page: what a careful eye would find wrong, by boxes. Nothing in it refers to anything outside of it. */

/** @returns {string[]} one line for each thing that is wrong */
export function measure() {
  const out = [];
  const dialog = document.querySelector('dialog[open]');
  const scope = dialog ?? document.body;
  const short = (s) => {
    const t = s.replace(/\s+/g, ' ').trim();
    return t.length > 60 ? `${t.slice(0, 57)}...` : t;
  };
  const name = (el) =>
    `${el.localName}${el.id ? `#${el.id}` : ''}${[...el.classList]
      .slice(0, 2)
      .map((c) => `.${c}`)
      .join('')}`;
  const styles = new Map();
  const styleOf = (el) => {
    let s = styles.get(el);
    if (!s) styles.set(el, (s = getComputedStyle(el)));
    return s;
  };
  const hidden = (el) => {
    // A closed <details> still has boxes.
    if (!el.checkVisibility({ contentVisibilityAuto: true })) return true;
    for (let e = el; e; e = e.parentElement) {
      const s = styleOf(e);
      if (s.visibility === 'hidden' || s.display === 'none' || Number(s.opacity) < 0.05) return true;
      if (s.position === 'absolute' && e.clientWidth <= 1 && e.clientHeight <= 1 && s.overflow === 'hidden')
        return true;
    }
    return false;
  };
  const scrolls = (v) => v === 'auto' || v === 'scroll';
  /** What of a box its surroundings let through, and whether the rest can be scrolled to. */
  const clip = (el, r, inside = false) => {
    let { left, right, top, bottom } = r;
    let reach = false;
    let by = null;
    for (let e = inside ? el : el.parentElement; e && e !== document.documentElement; e = e.parentElement) {
      const s = styleOf(e);
      const svg = e instanceof SVGElement;
      if (svg && (e.localName !== 'svg' || s.overflow === 'visible')) continue;
      if (s.overflowX === 'visible' && s.overflowY === 'visible') continue;
      const b = e.getBoundingClientRect();
      const before = [left, right, top, bottom].join();
      left = Math.max(left, b.left);
      right = Math.min(right, b.right);
      top = Math.max(top, b.top);
      bottom = Math.min(bottom, b.bottom);
      if (before === [left, right, top, bottom].join()) continue;
      if (scrolls(s.overflowX) || scrolls(s.overflowY)) reach = true;
      else by ??= e;
    }
    return { left, right, top, bottom, reach, by };
  };
  const full = (el) => {
    for (let e = el, n = 0; e && n < 7; e = e.parentElement, n++) {
      if (e.getAttribute('title') || e.getAttribute('data-full') || e.getAttribute('data-title')) return true;
      if (e instanceof SVGElement) {
        if ([...e.children].some((c) => c.localName === 'title')) return true;
        if (e.getAttribute('aria-label')) return true;
      }
    }
    return false;
  };
  const opaque = (el) => {
    if (el instanceof SVGElement && el.localName !== 'svg') {
      const f = styleOf(el).fill;
      return (
        el.localName === 'rect' && f !== 'none' && !/, 0(\.\d+)?\)$/.test(f) && Number(styleOf(el).fillOpacity) > 0.9
      );
    }
    const c = styleOf(el).backgroundColor;
    return c !== 'transparent' && !/rgba\(.*, 0?(\.\d+)?\)$/.test(c) && !/rgba\(.*, 0\)$/.test(c);
  };
  /** Something else is painted over the middle of the box. */
  const covered = (el, box) => {
    const x = (box.left + box.right) / 2;
    const y = (box.top + box.bottom) / 2;
    for (const e of document.elementsFromPoint(x, y)) {
      if (e === el || el.contains(e) || e.contains(el)) return false;
      if (opaque(e)) return true;
    }
    return false;
  };

  /** Every piece of text that can be seen. */
  const texts = [];
  const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
  const seenSvg = new Set();
  for (let n = walker.nextNode(); n; n = walker.nextNode()) {
    const text = n.data;
    const el = n.parentElement;
    if (!el || text.trim() === '' || ['SCRIPT', 'STYLE', 'TITLE', 'OPTION', 'title'].includes(el.tagName)) continue;
    if (hidden(el)) continue;
    const svg = el instanceof SVGElement;
    let rects;
    let owner = el;
    if (svg) {
      owner = el.closest('text') ?? el;
      if (seenSvg.has(owner)) continue;
      seenSvg.add(owner);
      const r = owner.getBoundingClientRect();
      // A line's box is higher than its letters.
      const cut = r.height * 0.2;
      rects = [{ left: r.left, right: r.right, top: r.top + cut, bottom: r.bottom - cut }];
    } else {
      const range = document.createRange();
      range.selectNodeContents(n);
      rects = [...range.getClientRects()].map((r) => {
        const cut = r.height * 0.15;
        return { left: r.left, right: r.right, top: r.top + cut, bottom: r.bottom - cut };
      });
    }
    const words = svg ? owner.textContent : text;
    for (const r of rects) {
      if (r.right - r.left < 1.5 || r.bottom - r.top < 1.5) continue;
      const c = clip(owner, r, !svg);
      if (c.right - c.left < 1 || c.bottom - c.top < 1) {
        if (!c.reach && !full(owner) && c.by) out.push(`hidden by ${name(c.by)}: ${short(words)}`);
        continue;
      }
      const lost = r.right - c.right > 1.5 || c.left - r.left > 1.5 || r.bottom - c.bottom > 2.5 || c.top - r.top > 2.5;
      if (lost && !c.reach && !full(owner)) out.push(`cut by ${c.by ? name(c.by) : '?'}: ${short(words)}`);
      if (!c.reach && (c.right > innerWidth + 1 || c.left < -1 || c.bottom > innerHeight + 1 || c.top < -1))
        out.push(`outside the window: ${short(words)}`);
      if (covered(owner, c)) continue;
      texts.push({ el: owner, words, ...c });
    }
    if (svg && words.includes('…') && !full(owner)) out.push(`shortened without its whole: ${short(words)}`);
  }
  // HTML that shortens with an ellipsis.
  for (const el of scope.querySelectorAll('*')) {
    if (el instanceof SVGElement || hidden(el)) continue;
    const s = styleOf(el);
    if (s.textOverflow !== 'ellipsis' || el.clientWidth === 0) continue;
    if (el.scrollWidth > el.clientWidth + 1 && !full(el))
      out.push(`shortened without its whole: ${short(el.textContent)}`);
  }
  texts.sort((a, b) => a.top - b.top);
  for (const [i, a] of texts.entries())
    for (let k = i + 1; k < texts.length && texts[k].top < a.bottom - 1.5; k++) {
      const b = texts[k];
      if (a.el === b.el) continue;
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (w > 2 && h > 2) out.push(`texts overlap: ${short(a.words)} | ${short(b.words)}`);
    }
  const controls = [...scope.querySelectorAll('button, a[href], input, select, textarea, [role=tab]')].filter(
    (el) => !hidden(el) && el.getBoundingClientRect().width > 2,
  );
  const boxes = controls
    .map((el) => ({ el, c: clip(el, el.getBoundingClientRect()) }))
    .filter(({ el, c }) => c.right - c.left > 2 && c.bottom - c.top > 2 && !covered(el, c));
  for (const [i, a] of boxes.entries()) {
    if (!a.c.reach && (a.c.right > innerWidth + 1 || a.c.bottom > innerHeight + 1 || a.c.left < -1 || a.c.top < -1))
      out.push(`outside the window: ${name(a.el)} ${short(a.el.textContent)}`);
    for (const b of boxes.slice(i + 1)) {
      if (a.el.contains(b.el) || b.el.contains(a.el)) continue;
      const w = Math.min(a.c.right, b.c.right) - Math.max(a.c.left, b.c.left);
      const h = Math.min(a.c.bottom, b.c.bottom) - Math.max(a.c.top, b.c.top);
      const say = (el) => short(el.getAttribute('aria-label') ?? el.textContent) || name(el);
      if (w > 3 && h > 3) out.push(`controls overlap: ${say(a.el)} | ${say(b.el)}`);
    }
  }
  const page = document.documentElement;
  if (page.scrollWidth > innerWidth + 1)
    out.push(`the page is ${page.scrollWidth - innerWidth} px wider than the window`);
  return [...new Set(out)];
}
