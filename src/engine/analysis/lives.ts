import { afterEvent, notAfter, type Place } from './place.ts';
import { type CacheFact, digestOf, type TracedStep } from './step-digest.ts';

/** A time in which a cached entry was not what a fresh walk would have given. */
export interface StaleStretch {
  /** After the write that made it stale, where it is known, else the end of the step that left it stale. */
  readonly from: Place;
  /** Its removal, or the end of the step after which it was right again; null: it is stale to the end. */
  readonly to: Place | null;
}

export interface Removal {
  readonly place: Place;
  /** A fresh walk would still have given the same. */
  readonly valid: boolean;
  /** What removed it: the text of a command, or the walk that needed the room. */
  readonly by: string;
  /** The command or the access whose work it was. */
  readonly trigger: Place | null;
}

/** One entry of a cache from its fill to its removal. */
export interface Life {
  /** Scene id of the cache. */
  readonly at: string;
  readonly cache: string;
  /** Row id. */
  readonly entry: number;
  readonly cells: readonly string[];
  /** Null: before the trace begins. */
  readonly filled: Place | null;
  /** The access or the command that filled it. */
  readonly trigger: Place | null;
  /** The same in words: `nic0 read 0x10000`; '' when the trace shows none. */
  readonly by: string;
  /** The device for whose access it was filled. */
  readonly device?: string;
  readonly hits: readonly Place[];
  readonly stale: readonly StaleStretch[];
  /** Null: it is cached to the end. */
  readonly removed: Removal | null;
}

interface Growing extends Life {
  readonly hits: Place[];
  readonly stale: StaleStretch[];
  removed: Removal | null;
}

const keyOf = (at: string, entry: number): string => `${at}#${entry}`;

/** The lives of all cache entries, step by step. What earlier steps made is never made again. */
export class LifeLog {
  readonly lives: Growing[] = [];
  private readonly byKey = new Map<string, Growing[]>();
  /** The entries that the last step left stale. */
  private stale = new Map<string, Growing>();
  private hazards: TracedStep['hazards'] = [];

  /** Takes in the next step. */
  note(step: number, traced: TracedStep): void {
    for (const c of digestOf(traced).caches) this.event(step, c);
    const { hazards } = traced;
    if (hazards === this.hazards) return;
    this.hazards = hazards;
    const end: Place = { step, event: traced.eventCount };
    const now = new Map<string, Growing>();
    for (const h of hazards) {
      const key = keyOf(h.at, h.entry);
      const life = this.open(key);
      if (!life || now.has(key)) continue;
      now.set(key, life);
      if (this.stale.get(key) === life) continue;
      const since = h.cause && h.cause.step === step ? afterEvent(step, h.cause.event) : end;
      life.stale.push({ from: life.filled && notAfter(since, life.filled) ? life.filled : since, to: null });
    }
    for (const [key, life] of this.stale) if (now.get(key) !== life) endStretch(life, end);
    this.stale = now;
  }

  /** The life of a row at a moment: the last one that had begun by then. */
  at(at: string, entry: number, place: Place): Life | null {
    const list = this.byKey.get(keyOf(at, entry)) ?? [];
    return list.findLast((l) => l.filled === null || notAfter(l.filled, place)) ?? null;
  }

  private open(key: string): Growing | undefined {
    const life = this.byKey.get(key)?.at(-1);
    return life?.removed === null ? life : undefined;
  }

  private event(step: number, c: CacheFact): void {
    const key = keyOf(c.at, c.id);
    const place = afterEvent(step, c.event);
    const trigger = c.trigger && afterEvent(step, c.trigger.event);
    let life = this.open(key);
    if (c.kind === 'fill' && life) {
      // The same row once more, without a removal that the trace shows.
      this.end(life, { place, valid: false, by: '', trigger });
      life = undefined;
    }
    if (!life) {
      const { at, cache, id: entry, cells } = c;
      const fill = c.kind === 'fill';
      life = {
        at,
        cache,
        entry,
        cells,
        filled: fill ? place : null,
        trigger: fill ? trigger : null,
        by: fill ? (c.trigger?.text ?? '') : '',
        ...(fill && c.trigger?.device !== undefined ? { device: c.trigger.device } : {}),
        hits: [],
        stale: [],
        removed: null,
      };
      this.lives.push(life);
      const list = this.byKey.get(key);
      if (list) list.push(life);
      else this.byKey.set(key, [life]);
    }
    if (c.kind === 'hit') life.hits.push(place);
    else if (c.kind === 'remove') this.end(life, { place, valid: c.valid, by: c.by, trigger });
  }

  private end(life: Growing, removed: Removal): void {
    life.removed = removed;
    endStretch(life, removed.place);
  }
}

function endStretch(life: Growing, to: Place): void {
  const last = life.stale.at(-1);
  if (last && last.to === null) life.stale[life.stale.length - 1] = { from: last.from, to };
}
