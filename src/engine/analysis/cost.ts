import type { TraceEvent } from '../trace/index.ts';

/** What a step cost. */
export interface StepCost {
  /** VM exits. */
  readonly exits: number;
  readonly ioctls: number;
  /** Commands that the physical command processor executed. */
  readonly commands: number;
  /** Of them synchronisations. */
  readonly syncs: number;
  /** Cache entries removed. */
  readonly removed: number;
  /** Of them entries that a fresh walk would have filled in the same way: lost for nothing. */
  readonly stillValid: number;
  /** Memory reads of walks. */
  readonly reads: number;
}

type Counts = Pick<StepCost, 'exits' | 'ioctls' | 'commands' | 'syncs' | 'reads'>;

export const noCost: StepCost = { exits: 0, ioctls: 0, commands: 0, syncs: 0, removed: 0, stillValid: 0, reads: 0 };

/** @param counts the trace's counters, reset before the step */
export function stepCost(counts: Counts, events: readonly TraceEvent[]): StepCost {
  let removed = 0;
  let stillValid = 0;
  for (const e of events) {
    if (e.kind !== 'cache.remove') continue;
    removed++;
    if (e.valid) stillValid++;
  }
  const { exits, ioctls, commands, syncs, reads } = counts;
  return { exits, ioctls, commands, syncs, removed, stillValid, reads };
}

export function addCost(a: StepCost, b: StepCost): StepCost {
  return {
    exits: a.exits + b.exits,
    ioctls: a.ioctls + b.ioctls,
    commands: a.commands + b.commands,
    syncs: a.syncs + b.syncs,
    removed: a.removed + b.removed,
    stillValid: a.stillValid + b.stillValid,
    reads: a.reads + b.reads,
  };
}
