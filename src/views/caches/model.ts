import type { Life } from '../../engine/analysis/index.ts';
import type { Scene } from '../../engine/machine/index.ts';

/** A moment of the trace: exactly the first `event` events of step `step` have happened. */
export interface Place {
  readonly step: number;
  readonly event: number;
}

export interface Cache {
  /** Scene id of the object that has it. */
  readonly id: string;
  /** `IOTLB`, `ATC of nic0`. */
  readonly title: string;
  readonly columns: readonly string[];
  /** The device that has it. */
  readonly device?: string;
}

/** `stale`: cached, and not what a fresh walk would give. */
export type EntryState = 'cached' | 'stale' | 'removed';
/** What the step has done to an entry so far; `wasted` is removed though still valid. */
export type Touch = 'filled' | 'hit' | 'removed' | 'wasted';

/** An entry as it is at a moment. */
export interface Entry {
  readonly life: Life;
  readonly cache: Cache;
  readonly state: EntryState;
  readonly touch: Touch | null;
  /** Hits so far. */
  readonly hits: number;
}

/** All caches of a scene, in its order. */
export function cachesOf(scene: Scene): Cache[] {
  return scene.objects.flatMap((o) => {
    if (!o.cache) return [];
    const title = o.device === undefined ? o.title : `ATC of ${o.title}`;
    return [
      {
        id: o.id,
        title: o.section === undefined || o.device !== undefined ? title : `${title} · ${o.section}`,
        columns: o.cache.columns,
        ...(o.device === undefined ? {} : { device: o.device }),
      },
    ];
  });
}

const notAfter = (a: Place, b: Place): boolean => a.step < b.step || (a.step === b.step && a.event <= b.event);

/** How many of some places, in order of time, are not after a moment. */
function countUntil(places: readonly Place[], at: Place): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (notAfter(places[middle]!, at)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether an entry is stale at a moment at which it is cached. */
export function isStale(life: Life, at: Place): boolean {
  return life.stale.some((s) => notAfter(s.from, at) && (s.to === null || !notAfter(s.to, at)));
}

/** Every entry that had been filled by a moment, those that are gone included, in the order of their fills. */
export function entriesAt(lives: readonly Life[], caches: readonly Cache[], at: Place): Entry[] {
  const byId = new Map(caches.map((c) => [c.id, c]));
  const out: Entry[] = [];
  for (const life of lives) {
    if (life.filled && !notAfter(life.filled, at)) continue;
    const cache = byId.get(life.at);
    if (!cache) continue;
    const hits = countUntil(life.hits, at);
    const gone = life.removed !== null && notAfter(life.removed.place, at) ? life.removed : null;
    const touch = gone
      ? gone.place.step !== at.step
        ? null
        : gone.valid
          ? 'wasted'
          : 'removed'
      : life.filled?.step === at.step
        ? 'filled'
        : hits > 0 && life.hits[hits - 1]!.step === at.step
          ? 'hit'
          : null;
    out.push({ life, cache, state: gone ? 'removed' : isStale(life, at) ? 'stale' : 'cached', touch, hits });
  }
  return out;
}

/** Number of an entry within its cache, as the trace shows it. */
export const numberOf = (life: Life): number => life.entry % 0x1000000;

/** Sign and word of what an entry is, or of what has just become of it. */
export function stateText(e: Entry): { readonly sign: string; readonly word: string } {
  if (e.state === 'removed')
    return e.life.removed?.valid ? { sign: '×', word: 'removed, still valid' } : { sign: '×', word: 'removed' };
  if (e.state === 'stale') return { sign: '!', word: e.touch === 'hit' ? 'hit, stale' : 'stale' };
  if (e.touch === 'filled') return { sign: '+', word: 'filled' };
  if (e.touch === 'hit') return { sign: '•', word: 'hit' };
  return { sign: '', word: 'cached' };
}
