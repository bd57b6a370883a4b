import { useMemo } from 'react';
import type { Life } from '../../engine/analysis/index.ts';
import {
  arrange,
  type Cache,
  cachesOf,
  columnWidths,
  type Entry,
  entriesAt,
  type Filter,
  type Sort,
} from '../../views/caches/index.ts';
import { useApp, useAppStore } from '../context.ts';

/** How a person looks at the caches; it stays while other views are looked at. */
export interface Look {
  readonly filter: Filter;
  /** Column that is grouped by. */
  readonly group: string | null;
  readonly sort: Sort | null;
  /** Keys of groups and sections that are closed. */
  readonly folded: ReadonlySet<string>;
}

const noLives: readonly Life[] = [];

/** All that the view shows at the playing head. */
export function useCaches(look: Look) {
  const app = useAppStore();
  const place = useApp((s) => s.place);
  const records = useApp((s) => s.records);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the simulation answers for the records that are shown
  const lives = useMemo(() => app.simulation()?.index().lives() ?? noLives, [app, records]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: which caches there are does not change from step to step
  const caches = useMemo<readonly Cache[]>(() => {
    const scene = app.simulation()?.scene(app.store.getState().place);
    return scene ? cachesOf(scene) : [];
  }, [app, records]);
  const widths = useMemo(() => new Map(caches.map((c) => [c.id, columnWidths(c, lives)])), [caches, lives]);
  const entries = useMemo<readonly Entry[]>(() => entriesAt(lives, caches, place), [lives, caches, place]);
  const { filter, group, sort } = look;
  const groups = useMemo(() => arrange(entries, caches, filter, group, sort), [entries, caches, filter, group, sort]);
  return { lives, caches, widths, entries, groups };
}
