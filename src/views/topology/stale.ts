import type { Hazard, Scene } from '../../engine/machine/index.ts';

/** Marks the rows that a hazard names; the same scene when all of them are marked already. */
export function withHazards(scene: Scene, hazards: readonly Hazard[]): Scene {
  const named = new Set(hazards.map((h) => `${h.at}#${h.entry}`));
  let changed = false;
  const objects = scene.objects.map((o) => {
    if (!o.cache?.rows.some((r) => !r.stale && named.has(`${o.id}#${r.id}`))) return o;
    changed = true;
    const rows = o.cache.rows.map((r) => (named.has(`${o.id}#${r.id}`) ? { ...r, stale: true } : r));
    return { ...o, cache: { ...o.cache, rows } };
  });
  return changed ? { objects } : scene;
}
