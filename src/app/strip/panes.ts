import type { ComponentType } from 'react';
import type { View } from '../../store/index.ts';
import { late } from '../lazy.tsx';
import { TraceView } from './TraceView.tsx';

/** The drawing of each view; `bar` is where it puts its own filters and switches. */
export const panes: Readonly<Record<View, ComponentType<{ bar: HTMLElement | null }>>> = {
  ladder: late(() => import('../ladder/LadderPane.tsx').then((m) => m.LadderPane)),
  walk: late(() => import('../walk/WalkPane.tsx').then((m) => m.WalkPane)),
  tables: late(() => import('../tables/TablesPane.tsx').then((m) => m.TablesPane)),
  caches: late(() => import('../caches/CachesPane.tsx').then((m) => m.CachesPane)),
  trace: TraceView,
};
