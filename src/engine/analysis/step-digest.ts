import type { TraceEvent } from '../trace/index.ts';
import type { StepHazard } from './hazards.ts';

/** What the analysis reads of a step that has run; index 0 of a list is the setup. */
export interface TracedStep {
  readonly events: readonly TraceEvent[];
  readonly eventCount: number;
  /** What is stale after the step. */
  readonly hazards: readonly StepHazard[];
}

/** Words in memory that an event wrote, [from, to) in bytes. */
export interface WriteFact {
  readonly event: number;
  readonly at: string;
  readonly space: 'guest' | 'host';
  readonly from: number;
  readonly to: number;
}

export interface RegisterFact {
  readonly event: number;
  readonly at: string;
  readonly to: string | undefined;
  readonly iommu: 'physical' | 'virtual';
  readonly reg: string;
}

/** An entry that was written into a queue. */
export interface SlotFact {
  readonly event: number;
  readonly at: string;
  readonly index: number;
}

export interface CacheFact {
  readonly event: number;
  readonly kind: 'fill' | 'hit' | 'remove';
  readonly at: string;
  readonly cache: string;
  readonly id: number;
  readonly cells: readonly string[];
  /** Of a removal. */
  readonly valid: boolean;
  readonly by: string;
  /** The access or the command that this is the work of; null: nothing that the trace shows. */
  readonly trigger: Trigger | null;
}

/** What hardware works on. */
export interface Trigger {
  readonly event: number;
  /** The device whose access it is. */
  readonly device?: string;
  /** `nic0 read 0x10000`, `TLBI_NH_ALL vmid 1`. */
  readonly text: string;
}

/** What became another in a scene object: where an `at` of a record or an object says so. */
export interface ChangeFact {
  readonly event: number;
  readonly id: string;
  readonly create: boolean;
}

/** The few facts of a step that questions over all of time are answered from; none of them holds on to an event. */
export interface StepDigest {
  readonly writes: readonly WriteFact[];
  readonly registers: readonly RegisterFact[];
  readonly slots: readonly SlotFact[];
  readonly caches: readonly CacheFact[];
  readonly changes: readonly ChangeFact[];
}

const known = new WeakMap<TracedStep, StepDigest>();

/** Made once for each step that has run, however often lists of steps change around it. */
export function digestOf(step: TracedStep): StepDigest {
  let d = known.get(step);
  if (!d) known.set(step, (d = digest(step.events)));
  return d;
}

/** True when a digest costs nothing more. */
export const isDigested = (step: TracedStep): boolean => known.has(step);

function digest(events: readonly TraceEvent[]): StepDigest {
  const writes: WriteFact[] = [];
  const registers: RegisterFact[] = [];
  const slots: SlotFact[] = [];
  const caches: CacheFact[] = [];
  const changes: ChangeFact[] = [];
  const working = new Working();
  for (const [event, e] of events.entries()) {
    const { at } = e;
    switch (e.kind) {
      case 'table.write':
        writes.push({ event, at, space: e.space, from: e.address, to: e.address + e.words.length * 8 });
        changes.push({ event, id: at, create: false });
        break;
      case 'register.write':
        registers.push({ event, at, to: e.to, iommu: e.iommu, reg: e.reg });
        changes.push({ event, id: at, create: false });
        break;
      case 'command.post':
        slots.push({ event, at, index: e.index });
        changes.push({ event, id: at, create: false });
        break;
      case 'cache.fill':
      case 'cache.hit':
      case 'cache.remove': {
        const { cache, id, cells } = e.entry;
        const removal = e.kind === 'cache.remove';
        caches.push({
          event,
          kind: e.kind === 'cache.fill' ? 'fill' : removal ? 'remove' : 'hit',
          at,
          cache,
          id,
          cells,
          valid: removal && e.valid,
          by: removal ? e.by : '',
          trigger: working.triggerOf(e),
        });
        break;
      }
      case 'object.create':
        changes.push({ event, id: at, create: true });
        break;
      case 'attach':
      case 'record.rewrite':
        changes.push({ event, id: at, create: false });
        if (e.to !== undefined) changes.push({ event, id: e.to, create: false });
        break;
      default:
        break;
    }
    working.note(e, event);
  }
  return { writes, registers, slots, caches, changes };
}

/**
 * What hardware works on, event by event: the access of a device that is under way, or the command that it executes. An
 * access that asks for a translation first is one piece of work.
 */
class Working {
  private access: Trigger | null = null;
  private command: Trigger | null = null;

  /** What a cache event is the work of. */
  triggerOf(e: TraceEvent): Trigger | null {
    if (e.kind === 'cache.remove') return e.by !== '' && e.by === this.command?.text ? this.command : this.access;
    return (this.access?.event ?? -1) > (this.command?.event ?? -1) ? this.access : this.command;
  }

  /** Takes in the next event. */
  note(e: TraceEvent, event: number): void {
    switch (e.kind) {
      case 'dma':
      case 'resume':
        this.access = { event, device: e.device, text: `${e.device} ${e.text}` };
        break;
      case 'ats':
        if (e.message === 'request') this.access ??= { event, device: e.device, text: `${e.device} ${e.text}` };
        break;
      case 'dma.done':
      case 'dma.abort':
        this.access = null;
        break;
      case 'command.fetch':
        if (e.actor === 'iommu') this.command = { event, text: e.command.text };
        break;
      default:
        break;
    }
  }
}
