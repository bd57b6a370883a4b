import type { TraceIndex } from '../engine/analysis/index.ts';
import type { ScenarioDocument, Step, StepRecord } from '../engine/document/index.ts';
import type {
  InspectedRecord,
  Inspection,
  Scene,
  TableEntry,
  TableMemory,
  TableRef,
  TableRoot,
  Vendor,
} from '../engine/machine/index.ts';
import type { Place } from './place.ts';
import type { RecordRef } from './state.ts';

export type { ScenarioDocument as Doc, Step, StepRecord } from '../engine/document/index.ts';
export type { Operation } from '../engine/machine/index.ts';

type Doc = ScenarioDocument;

/** What is stale, with the step that sends the missing command where the guest can send it. */
export interface Hazard extends Omit<StepRecord['hazards'][number], 'remedy'> {
  readonly remedy?: StepRecord['hazards'][number]['remedy'];
  readonly remedyStep?: Step;
}

/** What is wrong, and where: `steps[3].iova`, `iova`; '' for the whole. */
export interface Problem {
  readonly path: string;
  readonly text: string;
}

/** Something that was read, or the first thing that is wrong with it. */
export type Parsed<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly problem: Problem };

/** A problem in one line. */
export const problemLine = (p: Problem): string => (p.path === '' ? p.text : `${p.path}: ${p.text}`);

/** Part of a scene object: a cache row or a queue entry. */
export interface Part {
  readonly row?: number;
  readonly index?: number;
}

/** An operation that a scene object offers, as a step of the document. */
export interface ObjectAction {
  readonly title: string;
  readonly step: Step;
}

/** One document being simulated. Everything that is shown is asked from here, by place. */
export interface Simulation {
  readonly vendor: Pick<Vendor, 'name' | 'title' | 'layouts' | 'commands'>;
  /** Index 0 is the setup. */
  readonly records: readonly StepRecord[];
  /** Steps that `show`, or a new start, would have to run for a document. */
  stepsToRun(document: Doc): number;
  /** Turns to another version of the same document and runs only what changed; false when it is another machine. */
  show(document: Doc): boolean;
  /** The same object for the same place, until the document changes. */
  scene(place: Place): Scene;
  /** The machine after each of the first `most` steps, setup first, and where a step had more objects than its end: what will be seen. */
  scenes(most: number): readonly Scene[];
  /** Answers over all of time: lives of cache entries, where something comes from, search. Another one when the steps are. */
  index(): TraceIndex;
  /** What is stale at a place: what the last finished step left. */
  hazards(place: Place): readonly Hazard[];
  inspect(place: Place, id: string, part?: Part): Inspection | null;
  /** The tables in memory at a place. */
  tables(place: Place): readonly TableRoot[];
  /** Entries of one of them, all unless told which. */
  tableEntries(place: Place, ref: TableRef, from?: number, count?: number): readonly TableEntry[];
  /** The same with what a view needs besides, for one place. */
  tableMemory(place: Place): TableMemory;
  /** A record in memory as it is at a place; null where there is no memory. */
  record(place: Place, record: RecordRef): InspectedRecord | null;
  actions(place: Place, id: string, part?: Part): readonly ObjectAction[];
}

/** Checks of what a person brings. */
export interface Checks {
  parse(text: string): Parsed<{ readonly document: Doc }>;
  /** Checks a step as if it stood after the first `at` steps. */
  check(document: Doc, at: number, step: unknown): Parsed<{ readonly step: Step }>;
}

/** A document that is run a few steps at a time. */
export interface Run {
  /** Steps with the setup. */
  readonly total: number;
  /** Runs some more. @returns how many have run. @throws when a promise inside the engine is broken */
  readonly run: (steps: number) => number;
  /** Of use when all have run. */
  readonly simulation: Simulation;
}

/** What the store needs from the engine. Only `session.ts` knows more of it, and that is loaded after the page stands. */
export interface Engine {
  serialize(document: Doc): string;
  /** Runs everything. @throws when a promise inside the engine is broken */
  start(document: Doc): Simulation;
  /** The same little by little, for a long document. */
  begin(document: Doc): Run;
  /** Loads what is needed to run documents of a vendor. */
  load(iommu: string): Promise<void>;
  /**
   * Null until they were loaded, with the vendors that `text` names: a page that only plays the library does without.
   */
  checks(text?: string): Checks | null;
  loadChecks(text?: string): Promise<Checks>;
}
