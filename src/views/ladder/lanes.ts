import type { Actor } from '../../engine/trace/index.ts';
import { fitText, textWidth } from '../topology/measure.ts';
import type { Party } from './types.ts';

/** One vertical line of the diagram. */
export interface Lane {
  readonly parties: readonly Party[];
  readonly tone: Actor;
  readonly x: number;
  /** Room of its heading. */
  readonly w: number;
  readonly title: string;
  /** The whole title; the same when nothing was cut. */
  readonly full: string;
}

/** Where the lanes stand; the same for the same parties and width. */
export interface Geometry {
  readonly width: number;
  /** What is said stands between these. */
  readonly left: number;
  readonly right: number;
  readonly lanes: readonly Lane[];
  readonly laneOf: ReadonlyMap<Party, number>;
}

/** Height of a line of the diagram, and of the headings. */
export const lineHeight = 24;
export const headHeight = 22;
export const headSize = 11;

const leftEdge = 68;
const rightEdge = 24;
/** A lane needs as much for its heading. */
const leastLane = 62;
export const leastWidth = 460;

const ranks: readonly Actor[] = ['guest', 'vmm', 'iommufd', 'driver', 'iommu', 'device'];
export const actorOf = (p: Party): Actor => p.split(':')[0] as Actor;
const nameOf = (p: Party): string => p.slice(p.indexOf(':') + 1 || p.length);

/**
 * Parties in the order of the lanes: by trust from the guest down to the devices, then as the scenes have them.
 * @param known  parties in the scenes' order; those that are not among them come after, by name
 */
export function orderParties(parties: Iterable<Party>, known: readonly Party[] = []): Party[] {
  const places = new Map(known.map((p, i) => [p, i]));
  const place = (p: Party): number => places.get(p) ?? known.length;
  return [...new Set(parties)].sort((a, b) => {
    const by = ranks.indexOf(actorOf(a)) - ranks.indexOf(actorOf(b)) || place(a) - place(b);
    if (by !== 0) return by;
    const [x, y] = [nameOf(a), nameOf(b)];
    return x.length - y.length || (x < y ? -1 : x > y ? 1 : 0);
  });
}

const titles: Readonly<Record<Actor, readonly string[]>> = {
  guest: ['Guest driver', 'Guest'],
  vmm: ['VMM'],
  iommufd: ['iommufd'],
  driver: ['Host driver', 'Driver'],
  iommu: ['IOMMU'],
  device: [''],
};
const several: Readonly<Record<Actor, string>> = {
  guest: 'guests',
  vmm: 'VMMs',
  iommufd: 'iommufd',
  driver: 'drivers',
  iommu: 'IOMMUs',
  device: 'devices',
};

/** A party as a sentence names it: `Guest driver vm0`, `nic0`. */
export function partyName(p: Party): string {
  const actor = actorOf(p);
  const name = nameOf(p);
  if (actor === 'device') return name === '' ? 'device' : name;
  return name === '' ? titles[actor][0]! : `${titles[actor][0]} ${name}`;
}

function headings(group: readonly Party[]): string[] {
  const actor = actorOf(group[0]!);
  if (group.length > 1) return [`${group.length} ${several[actor]}`];
  const name = nameOf(group[0]!);
  if (actor === 'device') return [partyName(group[0]!)];
  return name === '' ? [...titles[actor]] : [...titles[actor].map((t) => `${t} ${name}`), name];
}

/**
 * @param parties  all that ever speak in the document: lanes must not move while it plays
 * @param known  the order of parties of one kind
 */
export function layoutLanes(parties: Iterable<Party>, width: number, known: readonly Party[] = []): Geometry {
  const w = Math.max(leastWidth, Math.floor(width));
  const right = w - rightEdge;
  let groups = orderParties(parties, known).map((p) => [p]);
  const most = Math.max(ranks.length, Math.floor((right - leftEdge) / leastLane));
  // Where not all have room those of one kind share a lane: first the devices, of which there can be many.
  for (const actor of ['device', 'guest', 'vmm', 'iommu'] as const) {
    if (groups.length <= most) break;
    const of = groups.filter((g) => actorOf(g[0]!) === actor);
    if (of.length < 2) continue;
    const at = groups.indexOf(of[0]!);
    groups = groups.filter((g) => actorOf(g[0]!) !== actor);
    groups.splice(at, 0, of.flat());
  }
  const n = groups.length;
  // The outer lanes stand as near to the edges as their headings allow.
  const edge = Math.min((right - leftEdge) / Math.max(1, n) / 2, 46);
  const each = n < 2 ? 0 : (right - leftEdge - 2 * edge) / (n - 1);
  const laneOf = new Map<Party, number>();
  const lanes = groups.map((group, i): Lane => {
    for (const p of group) laneOf.set(p, i);
    const outer = i === 0 || i === n - 1;
    const room = (n < 2 ? right - leftEdge : outer ? Math.min(each, 2 * edge) : each) - 8;
    const texts = headings(group);
    const fits = texts.find((t) => textWidth(t, 'title', headSize) <= room);
    return {
      parties: group,
      tone: actorOf(group[0]!),
      x: Math.round(n < 2 ? (leftEdge + right) / 2 : leftEdge + edge + each * i) + 0.5,
      w: room,
      title: fits ?? fitText(texts[texts.length - 1]!, 'title', headSize, room),
      full: group.length > 1 ? group.map(partyName).join(', ') : texts[0]!,
    };
  });
  return { width: w, left: leftEdge, right, lanes, laneOf };
}
