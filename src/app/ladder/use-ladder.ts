import { useCallback, useMemo, useRef, useState } from 'react';
import type { SceneObject } from '../../engine/machine/index.ts';
import type { AppStore, StepRecord } from '../../store/index.ts';
import { createParties, type Folds, Ladder, noFolds } from '../../views/ladder/index.ts';
import { useApp, useAppStore } from '../context.ts';

/** Scenes that are asked for the objects; ids of later ones say enough. */
const mostScenes = 80;

function objectsOf(app: AppStore): { key: string; objects: readonly SceneObject[] } {
  const byId = new Map<string, SceneObject>();
  for (const scene of app.simulation()?.scenes(mostScenes) ?? []) for (const o of scene.objects) byId.set(o.id, o);
  const objects = [...byId.values()];
  return { key: objects.map((o) => `${o.id} ${o.type} ${o.device ?? ''} ${o.section ?? ''}`).join('\n'), objects };
}

/** The ladder of the open document; the same one as long as the machine has the same objects. */
export function useLadder(): Ladder {
  const app = useAppStore();
  const records = useApp((s) => s.records);
  const kept = useRef<{ key: string; ladder: Ladder } | null>(null);
  return useMemo(() => {
    const { key, objects } = records.length > 0 ? objectsOf(app) : { key: '', objects: [] };
    if (kept.current?.key !== key) kept.current = { key, ladder: new Ladder(createParties(objects)) };
    return kept.current.ladder;
  }, [app, records]);
}

/** Folds survive that another view is shown; another machine begins anew. */
const keptFolds = new WeakMap<AppStore, { readonly of: StepRecord | undefined; readonly folds: Folds }>();

export function useFolds(): [Folds, (change: (f: Folds) => Folds) => void] {
  const app = useAppStore();
  const of = useApp((s) => s.records[0]);
  const [, redraw] = useState(0);
  const set = useCallback(
    (change: (f: Folds) => Folds): void => {
      const first = app.store.getState().records[0];
      const kept = keptFolds.get(app);
      keptFolds.set(app, { of: first, folds: change(kept?.of === first ? kept!.folds : noFolds) });
      redraw((n) => n + 1);
    },
    [app],
  );
  const kept = keptFolds.get(app);
  return [kept?.of === of && kept ? kept.folds : noFolds, set];
}
