import type { Hazard, Inspection, Operation, OpResult, Scene } from '../engine/machine/index.ts';
import type { TraceEvent } from '../engine/trace/index.ts';
import type { Place } from './place.ts';

export type { Operation } from '../engine/machine/index.ts';

/** A parsed document; what the app needs to know of it. */
export interface Doc {
  readonly title: string;
  readonly about?: string;
  readonly platform: { readonly iommu: string };
  readonly steps: readonly { readonly operation: Operation; readonly say?: string }[];
}

export interface Cost {
  readonly exits: number;
  readonly ioctls: number;
  readonly commands: number;
  readonly syncs: number;
  readonly removed: number;
  readonly stillValid: number;
  readonly reads: number;
}

export interface StepRecord {
  readonly operation: Operation | null;
  readonly result: OpResult;
  readonly events: readonly TraceEvent[];
  readonly hazards: readonly Hazard[];
  readonly cost: Cost;
  readonly failures: readonly { readonly path: string; readonly expected: string; readonly actual: string }[];
}

export type Parsed<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly problems: readonly string[] };

/** Part of a scene object. */
export interface Part {
  readonly row?: number;
  readonly index?: number;
}

export interface ObjectAction {
  readonly title: string;
  readonly operation: Operation;
}

/** One document being simulated. */
export interface Simulation {
  readonly records: readonly StepRecord[];
  /** Turns to another version of the same document, running only what changed; false when it is another machine. */
  show(document: Doc): boolean;
  scene(place: Place): Scene;
  /** Hazards at a place: those that the last finished step left. */
  hazards(place: Place): readonly Hazard[];
  inspect(place: Place, id: string, part?: Part): Inspection | null;
  actions(place: Place, id: string, part?: Part): readonly ObjectAction[];
}

/** What the store needs from the engine; the only door to it. */
export interface Engine {
  parse(text: string): Parsed<{ readonly document: Doc }>;
  serialize(document: Doc): string;
  /** Runs everything. @throws when a promise inside the engine is broken */
  start(document: Doc): Simulation;
  /** The document with `operation` as the step after step `at` (0: the setup) and nothing after it. */
  withStep(document: Doc, at: number, operation: Operation): Parsed<{ readonly document: Doc }>;
}
