import { useEffect, useState } from 'react';
import type { SearchHit } from '../../engine/analysis/index.ts';
import type { AppStore } from '../../store/index.ts';
import { actorNames, eventText } from '../../views/trace/text.ts';
import { busy } from '../idle.ts';
import type { Entry } from './entries.ts';

/** Events that are listed at most, and milliseconds of search between two frames. */
const most = 120;
const slice = 8;
/** Shorter words would find nearly everything. */
const shortest = 2;

function entryOf(app: AppStore, hit: SearchHit, titleOf: (id: string) => string): Entry {
  const { place, event } = hit;
  const where = place.step === 0 ? 'setup' : `step ${place.step}`;
  return {
    id: `event.${place.step}.${place.event}`,
    group: 'Events',
    title: eventText(event),
    note: `${where}, event ${place.event} · ${actorNames[hit.actor]} · ${titleOf(hit.at)}`,
    words: '',
    run: () => {
      app.moveTo(place);
      app.select(null);
      app.setSettings({ inspectorOpen: true });
    },
  };
}

/**
 * Events anywhere in time that have all words of a query, in order. A long trace is read in slices, so that typing stays
 * quick; what was found so far is shown meanwhile.
 */
export function useTraceHits(
  app: AppStore,
  query: string,
): { readonly hits: readonly Entry[]; readonly more: boolean } {
  const [found, setFound] = useState<{ hits: readonly Entry[]; more: boolean }>({ hits: [], more: false });
  useEffect(() => {
    const wanted = query.trim();
    const simulation = app.simulation();
    if (wanted.length < shortest || !simulation) {
      setFound({ hits: [], more: false });
      return;
    }
    const objects = simulation.scene(app.store.getState().place).objects;
    const titles = new Map(objects.map((o) => [o.id, o.title]));
    const steps = simulation.index().searching(wanted);
    let stopped = false;
    let end: () => void = () => {};
    void busy(
      new Promise<void>((resolve) => {
        end = resolve;
      }),
    );
    const hits: Entry[] = [];
    const go = (): void => {
      if (stopped) return;
      const until = performance.now() + slice;
      let done = false;
      while (!done && hits.length < most && performance.now() < until) {
        const next = steps.next();
        done = next.done === true;
        if (!next.done) for (const h of next.value) hits.push(entryOf(app, h, (id) => titles.get(id) ?? id));
      }
      const over = done || hits.length >= most;
      setFound({ hits: hits.slice(0, most), more: !done });
      if (over) end();
      else setTimeout(go);
    };
    const timer = setTimeout(go, 60);
    return () => {
      stopped = true;
      clearTimeout(timer);
      end();
    };
  }, [app, query]);
  return found;
}
