import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { TraceEvent } from '../../engine/trace/index.ts';
import type { Fate, RowMarks } from './types.ts';

interface Growing {
  fates: Map<number, Fate>;
  ghosts: Map<number, { readonly id: number; readonly cells: readonly string[] }>;
  recent: number[];
}

/**
 * What the step's events up to `index` did to cache rows, by the scene id of the cache. Removed rows stay as ghosts; an
 * entry that is filled again after its removal is no ghost.
 */
export function rowMarks(events: readonly TraceEvent[], index: number): ReadonlyMap<string, RowMarks> {
  const out = new Map<string, Growing>();
  for (let i = 0; i <= index && i < events.length; i++) {
    const e = events[i]!;
    if (e.kind !== 'cache.fill' && e.kind !== 'cache.hit' && e.kind !== 'cache.remove') continue;
    let c = out.get(e.at);
    if (!c) out.set(e.at, (c = { fates: new Map(), ghosts: new Map(), recent: [] }));
    const { id } = e.entry;
    c.recent = [id, ...c.recent.filter((r) => r !== id)];
    if (e.kind === 'cache.remove') {
      c.fates.set(id, e.valid ? 'wasted' : 'removed');
      c.ghosts.set(id, { id, cells: e.entry.cells });
      continue;
    }
    c.ghosts.delete(id);
    // A row that this step filled and then used stays marked as new, once the use is over.
    if (e.kind === 'cache.fill') c.fates.set(id, 'filled');
    else if (i === index || c.fates.get(id) !== 'filled') c.fates.set(id, 'hit');
  }
  const marks = new Map<string, RowMarks>();
  const last = lastMarks.get(events);
  // A cache that no event has touched since keeps its marks, so that its box is not drawn anew.
  const touched = new Set<string>();
  if (last)
    for (let i = Math.min(last.index, index); i <= Math.max(last.index, index); i++) touched.add(events[i]?.at ?? '');
  for (const [id, c] of out) {
    const known = touched.has(id) ? undefined : last?.marks.get(id);
    marks.set(id, known ?? { fates: c.fates, ghosts: [...c.ghosts.values()], recent: c.recent });
  }
  lastMarks.set(events, { index, marks });
  return marks;
}

const lastMarks = new WeakMap<
  readonly TraceEvent[],
  { readonly index: number; readonly marks: ReadonlyMap<string, RowMarks> }
>();

/** Objects that were there when the step began and are not any more. */
export function goneObjects(before: Scene | null | undefined, now: Scene): SceneObject[] {
  if (!before || before === now) return [];
  const present = new Set(now.objects.map((o) => o.id));
  return before.objects.filter((o) => !present.has(o.id));
}

/** Devices that the step's events touch: these are never folded. */
export function activeDevices(scene: Scene, events: readonly TraceEvent[]): string[] {
  const deviceOf = new Map<string, string>();
  for (const o of scene.objects) if (o.device !== undefined) deviceOf.set(o.id, o.device);
  const out = new Set<string>();
  for (const e of events) {
    for (const id of [e.at, e.to]) {
      const device = id === undefined ? undefined : deviceOf.get(id);
      if (device !== undefined) out.add(device);
    }
    if ('device' in e && typeof e.device === 'string') out.add(e.device);
  }
  return [...out].sort();
}
