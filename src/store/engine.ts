import {
  type DocumentError,
  parseDocument,
  type ScenarioDocument,
  Session,
  type Step,
  type StepRecord,
  serializeDocument,
  toStep,
  validateOperation,
  whyNotRunnable,
} from '../engine/document/index.ts';
import type { Inspection, Operation, Platform, Scene, Vendor } from '../engine/machine/index.ts';
import { findVendor } from '../engine/machine/vendors.ts';
import type { Place } from './place.ts';

export type { ScenarioDocument as Doc, Step, StepRecord } from '../engine/document/index.ts';
export type { Operation } from '../engine/machine/index.ts';

type Doc = ScenarioDocument;
export type Hazards = StepRecord['hazards'];

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
  /** Turns to another version of the same document and runs only what changed; false when it is another machine. */
  show(document: Doc): boolean;
  /** The same object for the same place, until the document changes. */
  scene(place: Place): Scene;
  /** What is stale at a place: what the last finished step left. */
  hazards(place: Place): Hazards;
  inspect(place: Place, id: string, part?: Part): Inspection | null;
  actions(place: Place, id: string, part?: Part): readonly ObjectAction[];
}

/** What the store needs from the engine; `engine` is the only door to it. */
export interface Engine {
  parse(text: string): Parsed<{ readonly document: Doc }>;
  serialize(document: Doc): string;
  /** Runs everything. @throws when a promise inside the engine is broken */
  start(document: Doc): Simulation;
  /** Checks a step as if it stood after the first `at` steps. */
  check(document: Doc, at: number, step: unknown): Parsed<{ readonly step: Step }>;
}

function problemOf(e: DocumentError): Problem {
  const at = e.line === undefined ? '' : ` (line ${e.line}, column ${e.column})`;
  return { path: e.path, text: `${e.message}${at}` };
}

/** Everything that decides how the machine is made. */
const machineOf = (d: Doc): string => JSON.stringify([d.platform, d.devices ?? [], d.setup ?? 'booted']);

const sameStep = (a: Step, b: Step): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);

/** Only the steps whose outcome may differ are run again: their number in common, from the start. */
function common(a: readonly Step[], b: readonly Step[]): number {
  let n = 0;
  while (n < a.length && n < b.length && sameStep(a[n]!, b[n]!)) n++;
  return n;
}

class SessionSimulation implements Simulation {
  private readonly session: Session;
  private readonly machine: string;
  private shown: { place: Place; scene: Scene } | null = null;

  constructor(document: Doc, find: FindVendor) {
    this.session = new Session(document, find);
    this.machine = machineOf(document);
    this.session.runAll();
  }

  get vendor(): Vendor {
    return this.session.vendor;
  }

  get records(): readonly StepRecord[] {
    return this.session.steps;
  }

  show(document: Doc): boolean {
    if (machineOf(document) !== this.machine) return false;
    const n = common(this.session.document.steps, document.steps);
    this.shown = null;
    this.session.truncate(n);
    for (const step of document.steps.slice(n)) this.session.append(step);
    return true;
  }

  private platform(place: Place): Platform {
    return this.session.platformAt(place.step, place.event);
  }

  scene(place: Place): Scene {
    const s = this.shown;
    if (s?.place.step === place.step && s.place.event === place.event) return s.scene;
    const scene = this.platform(place).scene(this.hazards(place));
    this.shown = { place, scene };
    return scene;
  }

  hazards(place: Place): Hazards {
    const record = this.session.steps[place.step];
    if (record && place.event >= record.eventCount) return record.hazards;
    return this.session.steps[place.step - 1]?.hazards ?? [];
  }

  inspect(place: Place, id: string, part?: Part): Inspection | null {
    return this.platform(place).inspect(id, part);
  }

  actions(place: Place, id: string, part?: Part): ObjectAction[] {
    return this.platform(place)
      .actionsFor(id, part)
      .map((a) => ({ title: a.title, step: toStep(a.operation) }));
  }
}

type FindVendor = (name: string) => Vendor | null;

/** @param find  the vendors that are modelled; tests have their own */
export const createEngine = (find: FindVendor = findVendor): Engine => ({
  parse(text) {
    const r = parseDocument(text, find);
    if (!r.ok) return { ok: false, problem: problemOf(r.error) };
    const why = whyNotRunnable(r.document, find);
    return why ? { ok: false, problem: problemOf(why) } : r;
  },
  serialize: serializeDocument,
  start: (document) => new SessionSimulation(document, find),
  check(document, at, step) {
    const r = validateOperation(step, { document, at }, find);
    return r.ok ? r : { ok: false, problem: problemOf(r.error) };
  },
});

/** An operation that the engine proposes, as a step of a document. */
export const stepOf = (operation: Operation): Step => toStep(operation);
