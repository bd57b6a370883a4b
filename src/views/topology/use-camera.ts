import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { type Camera, clamped, fitted, home, revealing, zoomed } from './camera.ts';
import type { GestureListener } from './gestures.ts';
import type { Point, Rect } from './types.ts';

interface Size {
  readonly width: number;
  readonly height: number;
}

type Gestures = ReturnType<typeof import('./gestures.ts')['listenToGestures']>;

/**
 * Pan and zoom. The camera is a transform of the whole drawing, set outside React: while it moves nothing is drawn anew,
 * whatever the number of objects; letters are sharp again when it rests.
 */
export function useCamera(
  view: RefObject<HTMLElement | null>,
  stage: RefObject<HTMLElement | null>,
  diagram: Size,
  window: Size,
) {
  const camera = useRef<Camera>(home);
  const gestures = useRef<Gestures | null>(null);
  /** What the buttons show: renewed when the camera rests. */
  const [resting, setResting] = useState<Camera>(home);
  const sizes = useRef({ diagram, window });
  sizes.current = { diagram, window };

  const show = useCallback(
    (c: Camera): void => {
      camera.current = c;
      if (stage.current) stage.current.style.transform = `translate(${c.x}px, ${c.y}px) scale(${c.k})`;
    },
    [stage],
  );
  const settle = useCallback((): void => {
    stage.current?.classList.remove('topo-moved');
    setResting(camera.current);
    gestures.current?.at(camera.current, sizes.current.diagram, sizes.current.window);
  }, [stage]);
  const set = useCallback(
    (c: Camera): void => {
      const now = camera.current;
      if (c.x === now.x && c.y === now.y && c.k === now.k) return;
      show(c);
      settle();
    },
    [show, settle],
  );

  useEffect(() => {
    const el = view.current;
    if (!el) return;
    let gone = false;
    const listener: GestureListener = {
      started: () => stage.current?.classList.add('topo-moved'),
      moved: show,
      ended: settle,
    };
    void import('./gestures.ts').then(({ listenToGestures }) => {
      if (gone) return;
      gestures.current = listenToGestures(el, listener);
      gestures.current.at(camera.current, sizes.current.diagram, sizes.current.window);
    });
    return () => {
      gone = true;
      gestures.current?.stop();
      gestures.current = null;
    };
  }, [view, stage, show, settle]);

  const { width, height } = diagram;
  const { width: viewWidth, height: viewHeight } = window;
  const before = useRef(diagram);
  useLayoutEffect(() => {
    const of = { width, height };
    const room = { width: viewWidth, height: viewHeight };
    const was = before.current;
    before.current = of;
    // A picture that was seen whole is seen whole again when its size or the window's is another.
    const c = camera.current;
    const whole = c.k < 1 && was.width * c.k <= room.width + 1 && was.height * c.k <= room.height + 1;
    const next = whole ? fitted(of, room) : clamped(c, of, room);
    show(next);
    gestures.current?.at(next, of, room);
    setResting((r) => (r.x === next.x && r.y === next.y && r.k === next.k ? r : next));
  }, [width, height, viewWidth, viewHeight, show]);

  const middle = (): Point => ({ x: window.width / 2, y: window.height / 2 });
  return {
    resting,
    zoomBy: (factor: number): void => set(zoomed(camera.current, factor, middle(), diagram, window)),
    panBy: (dx: number, dy: number): void => {
      const c = camera.current;
      set(clamped({ ...c, x: c.x + dx, y: c.y + dy }, diagram, window));
    },
    fit: (): void => set(fitted(diagram, window)),
    reveal: useCallback(
      (r: Rect): void => set(revealing(camera.current, r, sizes.current.diagram, sizes.current.window)),
      [set],
    ),
  };
}
