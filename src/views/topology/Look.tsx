import type { KeyboardEvent } from 'react';
import type { useCamera } from './use-camera.ts';

type Looking = Pick<ReturnType<typeof useCamera>, 'resting' | 'zoomBy' | 'panBy' | 'fit'>;

const step = 1.25;
const pan = 80;

const pans: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [pan, 0],
  ArrowRight: [-pan, 0],
  ArrowUp: [0, pan],
  ArrowDown: [0, -pan],
};

/** Plus, minus, 0 and Shift with an arrow key. @returns whether the key was one of them */
export function lookByKey(e: KeyboardEvent, camera: Looking): boolean {
  if (e.ctrlKey || e.metaKey || e.altKey) return false;
  const by = e.shiftKey ? pans[e.key] : undefined;
  if (e.key === '+' || e.key === '=') camera.zoomBy(step);
  else if (e.key === '-' || e.key === '_') camera.zoomBy(1 / step);
  else if (e.key === '0') camera.fit();
  else if (by) camera.panBy(...by);
  else return false;
  e.preventDefault();
  e.stopPropagation();
  return true;
}

/** Zoom in, out, and all of it, for the pointer. */
export function Look({ camera }: { readonly camera: Looking }) {
  const percent = Math.round(camera.resting.k * 100);
  return (
    <fieldset className="topo-look" aria-label="Zoom of the diagram">
      <button type="button" title="Zoom out (−)" aria-label="Zoom out" onClick={() => camera.zoomBy(1 / step)}>
        −
      </button>
      <button type="button" title="Show all (0)" aria-label={`Show all; zoom is ${percent} %`} onClick={camera.fit}>
        {percent === 100 ? 'fit' : `${percent} %`}
      </button>
      <button type="button" title="Zoom in (+)" aria-label="Zoom in" onClick={() => camera.zoomBy(step)}>
        +
      </button>
    </fieldset>
  );
}
