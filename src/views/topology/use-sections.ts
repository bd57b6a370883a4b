import { useMemo, useState } from 'react';
import type { Scene } from '../../engine/machine/index.ts';
import type { TraceEvent } from '../../engine/trace/index.ts';
import { everInColumns, foldEvents, foldedAtFirst, foldSections, sectionsOf } from './sections.ts';

const none: readonly Scene[] = [];

/** Which guests and units are folded, and everything that a diagram is made of with those folded. */
export function useSections(
  scene: Scene,
  previous: Scene | null,
  events: readonly TraceEvent[],
  reserve: readonly Scene[] = none,
  height = Number.POSITIVE_INFINITY,
) {
  // Until somebody chooses; then for each section what was chosen.
  const [chosen, setChosen] = useState<ReadonlyMap<string, boolean>>(new Map());
  const all = useMemo(() => sectionsOf([...reserve, scene]), [reserve, scene]);
  // The same names in the same bands are the same sections, whatever the scene.
  const key = JSON.stringify(all);
  const sections = useMemo(() => {
    const found = JSON.parse(key) as typeof all;
    const first = foldedAtFirst(found, height);
    return found.map((s) => ({ ...s, folded: chosen.get(s.name) ?? first.has(s.name) }));
  }, [key, chosen, height]);
  const folded = useMemo(() => new Set(sections.flatMap((s) => (s.folded ? [s.name] : []))), [sections]);
  const columns = useMemo(() => everInColumns(reserve), [reserve]);
  const now = useMemo(() => foldSections(scene, folded, columns), [scene, folded, columns]);
  const before = useMemo(() => previous && foldSections(previous, folded, columns).scene, [previous, folded, columns]);
  const kept = useMemo(() => reserve.map((s) => foldSections(s, folded, columns).scene), [reserve, folded, columns]);
  const shown = useMemo(() => {
    const ids = new Map(previous ? foldSections(previous, folded).ids : []);
    for (const [id, box] of now.ids) ids.set(id, box);
    return foldEvents(events, ids);
  }, [events, previous, folded, now]);
  return {
    scene: now.scene,
    before,
    events: shown,
    reserve: kept,
    sections,
    /** What stands in the picture for a scene object: itself, or its section's box. */
    standsFor: (id: string): string => now.ids.get(id) ?? id,
    toggle: (name: string): void => setChosen(new Map(chosen).set(name, !folded.has(name))),
  };
}
