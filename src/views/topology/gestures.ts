import { select } from 'd3-selection';
import { type D3ZoomEvent, type ZoomBehavior, zoom, zoomIdentity } from 'd3-zoom';
import { type Camera, scalesOf } from './camera.ts';

interface Size {
  readonly width: number;
  readonly height: number;
}

export interface GestureListener {
  /** Every change, at most once a frame is drawn. */
  readonly moved: (c: Camera) => void;
  readonly started: () => void;
  readonly ended: () => void;
}

/** Narrow windows scroll the page: there the wheel and one finger are the page's. */
const narrow = '(max-width: 860px)';

/** A drag begins on the ground; texts can be selected and objects pressed. */
const onGround = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest('[data-key], text, button') === null;

function accepts(e: Event): boolean {
  if (e.type === 'wheel') return (e as WheelEvent).ctrlKey || !window.matchMedia(narrow).matches;
  if (e.type.startsWith('touch')) return (e as TouchEvent).touches.length > 1 || !window.matchMedia(narrow).matches;
  return (e as MouseEvent).button === 0 && !(e as MouseEvent).ctrlKey && onGround(e.target);
}

/** Wheel, pinch and drag on an element. Loaded when the diagram stands. */
export function listenToGestures(el: HTMLElement, listener: GestureListener) {
  const behavior: ZoomBehavior<HTMLElement, unknown> = zoom<HTMLElement, unknown>()
    .filter(accepts)
    .on('start', (e: D3ZoomEvent<HTMLElement, unknown>) => {
      if (e.sourceEvent) listener.started();
    })
    .on('zoom', (e: D3ZoomEvent<HTMLElement, unknown>) => {
      if (e.sourceEvent) listener.moved({ x: e.transform.x, y: e.transform.y, k: e.transform.k });
    })
    .on('end', (e: D3ZoomEvent<HTMLElement, unknown>) => {
      if (e.sourceEvent) listener.ended();
    });
  const selection = select(el);
  selection.call(behavior).on('dblclick.zoom', null);
  return {
    /** Tells where the diagram is and how large, before the next gesture. */
    at(c: Camera, diagram: Size, view: Size): void {
      behavior
        .extent([
          [0, 0],
          [view.width, view.height],
        ])
        .translateExtent([
          [0, 0],
          [diagram.width, diagram.height],
        ])
        .scaleExtent(scalesOf(diagram, view) as [number, number]);
      selection.call(behavior.transform, zoomIdentity.translate(c.x, c.y).scale(c.k));
    },
    stop(): void {
      selection.on('.zoom', null);
    },
  };
}
