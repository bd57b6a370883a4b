import type { SceneObject } from '../../engine/machine/index.ts';
import type { Actor, Band, TraceEvent } from '../../engine/trace/index.ts';
import type { Ends, Party } from './types.ts';

/** Which party a scene object belongs to, and who speaks at it. */
export interface Parties {
  /** Party of a scene object. */
  of(id: string): Party;
  /** Party of an actor that acts at a scene object. */
  actor(actor: Actor, at: string): Party;
  /** Parties in the order in which the scenes have them. */
  known(): readonly Party[];
  /** Title of a scene object, its id where no scene had it. */
  title(id: string): string;
}

/** Scene ids begin with their band: for objects that no known scene has, such as one that a step makes and destroys. */
const bands: Readonly<Record<string, Band>> = { guest: 'guest', vmm: 'vmm', kernel: 'kernel', hw: 'hardware' };

const key = (kind: string, name: string | undefined): Party =>
  name === undefined || name === '' ? kind : `${kind}:${name}`;

/** @param objects  of all scenes that are known; of two with one id the later counts */
export function createParties(objects: Iterable<SceneObject>): Parties {
  const byId = new Map<string, SceneObject>();
  const sections: Readonly<Record<Band, Set<string>>> = {
    guest: new Set(),
    vmm: new Set(),
    kernel: new Set(),
    hardware: new Set(),
  };
  for (const o of objects) {
    byId.set(o.id, o);
    if (o.section !== undefined) sections[o.band].add(o.section);
  }
  const bandOf = (id: string): Band => byId.get(id)?.band ?? bands[id.split('.')[0]!] ?? 'hardware';
  const sectionOf = (id: string, band: Band): string | undefined => {
    const o = byId.get(id);
    if (o && o.band === band) return o.section;
    // Memory of a guest, or a unit: its name stands in the ids of all that belongs to it.
    for (const part of id.split('.')) if (sections[band].has(part)) return part;
    const [only] = sections[band];
    return only;
  };
  const find = (id: string): Party => {
    const band = bandOf(id);
    const o = byId.get(id);
    const part = id.split('.');
    switch (band) {
      case 'guest':
      case 'vmm':
        return key(band, sectionOf(id, band));
      case 'kernel':
        return o?.type === 'driver' || (!o && part[1] === 'driver') ? 'driver' : 'iommufd';
      case 'hardware':
        if (o?.type === 'device' || (!o && part[1] === 'device'))
          return key('device', o?.device ?? part.slice(2).join('.'));
        return key('iommu', sectionOf(id, band));
    }
  };
  const known = new Map<string, Party>();
  const of = (id: string): Party => {
    let p = known.get(id);
    if (p === undefined) known.set(id, (p = find(id)));
    return p;
  };
  const acting = new Map<string, Party>();
  const act = (actor: Actor, at: string): Party => {
    switch (actor) {
      case 'guest':
      case 'vmm':
        return key(actor, sectionOf(at, actor));
      case 'iommufd':
      case 'driver':
        return actor;
      case 'iommu':
        return key(actor, sectionOf(at, 'hardware'));
      case 'device':
        return of(at).startsWith('device') ? of(at) : key('device', byId.get(at)?.device);
    }
  };
  return {
    of,
    actor: (actor, at) => {
      const k = `${actor} ${at}`;
      let p = acting.get(k);
      if (p === undefined) acting.set(k, (p = act(actor, at)));
      return p;
    },
    known: () => [...new Set([...byId.keys()].map(of))],
    title: (id) => byId.get(id)?.title ?? id,
  };
}

const same = new Map<string, Ends>();
/** One object for all events between the same two, so that they can be compared and kept cheaply. */
function ends(from: Party, to: Party | null, reply = false): Ends {
  const target = to === from ? null : to;
  const k = `${from}>${target ?? ''}${reply ? '<' : ''}`;
  let e = same.get(k);
  if (e === undefined) same.set(k, (e = { from, to: target, reply: reply && target !== null }));
  return e;
}

/** Between whom each event of a step is said, in order. */
export function endsOf(events: readonly TraceEvent[], parties: Parties): Ends[] {
  /** Who wrote the last entry of a queue: its consumer answers to them. */
  const posted = new Map<string, Party>();
  const callers: Party[] = [];
  return events.map((e): Ends => {
    const from = parties.actor(e.actor, e.at);
    const own = parties.of(e.at);
    const to = e.to === undefined ? null : parties.of(e.to);
    switch (e.kind) {
      case 'ioctl.enter':
        callers.push(from);
        return ends(from, 'iommufd');
      case 'ioctl.exit': {
        const caller = callers.pop();
        return ends(from, to ?? caller ?? null, true);
      }
      case 'register.write':
        // The unit says that its register was written; who writes a physical one is the kernel's driver.
        return to === null && e.actor === 'iommu' ? ends('driver', from) : ends(from, to ?? own);
      case 'register.read':
        return e.iommu === 'virtual'
          ? ends(parties.actor('vmm', e.at), from, true)
          : ends(own, e.actor === 'iommu' ? 'driver' : from, true);
      case 'command.post':
        posted.set(e.at, from);
        return ends(from, to ?? own);
      case 'sync':
        return ends(from, to ?? posted.get(e.at) ?? null, true);
      case 'command.rewrite':
      case 'record.rewrite':
        // It came from where it lies to the actor that rewrites it.
        return own === from ? ends(from, null) : ends(own, from);
      case 'guest.event':
        return ends(from, to ?? own);
      case 'dma.done':
      case 'dma.abort':
      case 'page.response':
        return ends(from, to, true);
      case 'ats':
        return ends(from, to, e.message === 'completion' || e.message === 'invalidated');
      default:
        return ends(from, to);
    }
  });
}
