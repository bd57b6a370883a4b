import type { Scene, SceneObject } from '../../engine/machine/index.ts';
import type { Band, TraceEvent } from '../../engine/trace/index.ts';

/** One of several guests or physical units: all that it has in the bands where it stands. */
export interface Section {
  readonly name: string;
  /** Bands that it is in, from the top. */
  readonly bands: readonly Band[];
}

/** The sections of all scenes, in the order of their first appearance. */
export function sectionsOf(scenes: readonly Scene[]): Section[] {
  const bands = new Map<string, Set<Band>>();
  for (const scene of scenes)
    for (const o of scene.objects) {
      if (o.section === undefined) continue;
      const known = bands.get(o.section);
      if (known) known.add(o.band);
      else bands.set(o.section, new Set([o.band]));
    }
  return [...bands].map(([name, b]) => ({ name, bands: [...b] }));
}

/** Id of the box that stands for a folded section in a band. */
export const sectionId = (band: Band, name: string): string => `section:${band}:${name}`;

/** The section that a box stands for, null for any other object. */
export const sectionOf = (id: string): string | null => /^section:[a-z]+:(.*)$/.exec(id)?.[1] ?? null;

export interface FoldedScene {
  readonly scene: Scene;
  /** Box that an object stands behind, by its scene id. */
  readonly ids: ReadonlyMap<string, string>;
}

/** Ids of objects that stand in a device's column sooner or later: they need no section's name, now or then. */
export const everInColumns = (scenes: readonly Scene[]): ReadonlySet<string> =>
  new Set(
    scenes.flatMap((s) => s.objects.flatMap((o) => (o.section !== undefined && o.device !== undefined ? [o.id] : []))),
  );

/**
 * The scene with one box in place of all that a folded section has in a band. Objects of the others get their section's name
 * into the title, unless they stand in a device's column (or will: `inColumns`), where the device tells whose they are.
 */
export function foldSections(
  scene: Scene,
  folded: ReadonlySet<string>,
  inColumns: ReadonlySet<string> = new Set(),
): FoldedScene {
  if (!scene.objects.some((o) => o.section !== undefined)) return { scene, ids: new Map() };
  const ids = new Map<string, string>();
  const behind = new Map<string, SceneObject[]>();
  for (const o of scene.objects) {
    if (o.section === undefined || !folded.has(o.section)) continue;
    const id = sectionId(o.band, o.section);
    ids.set(o.id, id);
    behind.set(id, [...(behind.get(id) ?? []), o]);
  }
  const to = (id: string): string => ids.get(id) ?? id;
  const objects: SceneObject[] = [];
  for (const o of scene.objects) {
    const id = ids.get(o.id);
    if (id === undefined) {
      const common = o.device === undefined && !inColumns.has(o.id);
      const title = o.section !== undefined && common ? `${o.title} ${o.section}` : o.title;
      objects.push({ ...o, title, refs: refsTo(o.id, o.refs, to) });
      continue;
    }
    const members = behind.get(id);
    if (members?.[0] !== o) continue;
    objects.push({
      id,
      band: o.band,
      type: 'section',
      title: o.section!,
      lines: countLines(members),
      refs: refsTo(
        id,
        members.flatMap((m) => m.refs),
        to,
      ),
      section: o.section!,
    });
  }
  return { scene: { objects }, ids };
}

/** References led to where their targets stand now, each target once and never to itself. */
function refsTo(from: string, refs: SceneObject['refs'], to: (id: string) => string): SceneObject['refs'] {
  const seen = new Set<string>([from]);
  return refs.flatMap((r) => {
    const target = to(r.to);
    if (seen.has(target)) return [];
    seen.add(target);
    return [target === r.to ? r : { to: target }];
  });
}

/** `2 devices, 5 more`, and what is stale among their cached entries. */
function countLines(members: readonly SceneObject[]): string[] {
  const devices = members.filter((m) => m.type === 'device').length;
  const rest = members.length - devices;
  const entries = members.reduce((n, m) => n + (m.cache?.rows.length ?? 0), 0);
  const stale = members.reduce((n, m) => n + (m.cache?.rows.filter((r) => r.stale).length ?? 0), 0);
  const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
  const first = devices > 0 ? `${count(devices, 'device')}, ${rest} more` : count(rest, 'object');
  return [
    first,
    ...(entries > 0 ? [`${count(entries, 'entry', 'entries')}${stale > 0 ? `, ${stale} stale` : ''}`] : []),
  ];
}

/** Events whose places are led to the boxes that their objects stand behind. */
export function foldEvents(events: readonly TraceEvent[], ids: ReadonlyMap<string, string>): readonly TraceEvent[] {
  if (ids.size === 0) return events;
  return events.map((e) => {
    const at = ids.get(e.at) ?? e.at;
    const to = e.to === undefined ? undefined : (ids.get(e.to) ?? e.to);
    return at === e.at && to === e.to ? e : { ...e, at, ...(to === undefined ? {} : { to }) };
  });
}

/** As many sections of a band as stay open before anybody chose: two where the picture is high enough for them. */
const openAtFirst = (height: number): number => (height >= 680 ? 2 : 1);

/** Sections that are folded before anybody chose: the first of each band stay open. */
export function foldedAtFirst(sections: readonly Section[], height: number): ReadonlySet<string> {
  const out = new Set<string>();
  for (const band of new Set(sections.flatMap((s) => s.bands))) {
    const mine = sections.filter((s) => s.bands.includes(band));
    for (const s of mine.slice(openAtFirst(height))) out.add(s.name);
  }
  return out;
}
