import type { Actor, TraceEvent } from '../../engine/trace/index.ts';

/**
 * A party of the conversation, as a key: `guest`, `guest:vm0`, `vmm`, `iommufd`, `driver`, `iommu:smmu1`, `device:nic0`.
 * What follows the colon tells the guests, units and devices apart.
 */
export type Party = string;

/** Who says an event to whom. `to` null: it stays with `from`, a note on that lane. */
export interface Ends {
  readonly from: Party;
  readonly to: Party | null;
  /** An answer to an earlier message: drawn dashed. */
  readonly reply: boolean;
}

/** What a step cost; the numbers of the engine's `StepCost`. */
export interface LadderCost {
  readonly exits: number;
  readonly ioctls: number;
  readonly commands: number;
  readonly syncs: number;
  readonly removed: number;
  readonly stillValid: number;
  readonly reads: number;
}

/** One step of the document. The object stands for its events: the same object, the same events. */
export interface LadderStep {
  readonly events: readonly TraceEvent[];
  readonly eventCount: number;
  readonly cost: LadderCost;
  /** What is stale after the step. */
  readonly hazards: readonly { readonly at: string; readonly text: string; readonly missing: string }[];
  readonly result: { readonly text: string; readonly errno?: string };
  /** Expectations that were not met. */
  readonly failures: readonly unknown[];
}

/** An event, an ioctl with all that happened inside it, or a long run of events of one kind; `first` and `last` count from 0. */
export interface LadderNode {
  readonly kind: 'event' | 'call' | 'run';
  readonly first: number;
  readonly last: number;
  readonly children: readonly LadderNode[];
}

/** Which groups are open. Everything that is not said follows `mode`. */
export interface Folds {
  /** `auto`: the step at the playing head and calls are open, runs and other steps are not. */
  readonly mode: 'auto' | 'open' | 'folded';
  readonly steps: ReadonlyMap<number, boolean>;
  /** By step, then by the group's key. */
  readonly groups: ReadonlyMap<number, ReadonlyMap<string, boolean>>;
}

/** One line of the diagram. */
export interface LadderRow {
  readonly kind: 'step' | 'event' | 'call' | 'run' | 'hazard' | 'cost';
  readonly step: number;
  /** Events that the line stands for, counted from 1; `to` < `from`: none (an open run's head). */
  readonly from: number;
  readonly to: number;
  readonly depth: number;
  /** Of what can be folded. */
  readonly open: boolean | null;
  /** Of the group, within its step; '' for what is none. */
  readonly group: string;
  /** Ioctls that are under way at this line. */
  readonly calls: number;
  /** The line is where a call begins or returns. */
  readonly edge: 'enter' | 'exit' | null;
  /** Number of the hazard. */
  readonly index: number;
}

/** Colour of a mark by meaning: who acts, or what becomes of what it meets. */
export type Tone = Actor | 'filled' | 'hit' | 'removed' | 'wasted' | 'stale' | 'fault' | 'plain' | 'faint';

/** A piece of a line's text; what was rewritten is `changed`. */
export interface Run {
  readonly text: string;
  readonly strong?: true;
  readonly changed?: true;
}

/** What a line says. */
export interface Saying {
  readonly runs: readonly Run[];
  readonly tone: Tone;
}
