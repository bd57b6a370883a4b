import { crowdedAt, TraceIndex } from '../engine/analysis/index.ts';
import {
  type ScenarioDocument,
  Session,
  type Step,
  type StepRecord,
  serializeDocument,
  toStep,
} from '../engine/document/index.ts';
import {
  type InspectedRecord,
  type Inspection,
  type Platform,
  type Scene,
  scoped,
  type TableEntry,
  type TableMemory,
  type TableRef,
  type TableRoot,
  type Vendor,
} from '../engine/machine/index.ts';
import { findVendor, loadVendors, vendorsIn } from '../engine/machine/vendors.ts';
import type { Checks, Engine, Hazard, ObjectAction, Part, Simulation } from './engine.ts';
import type { Place } from './place.ts';
import type { RecordRef } from './state.ts';
import { recordAt, tablesAt } from './tables.ts';

type Doc = ScenarioDocument;

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
  private readonly remedies = new WeakMap<StepRecord['hazards'], readonly Hazard[]>();
  private readonly known = new WeakMap<StepRecord, readonly Scene[]>();
  private shown: { place: Place; scene: Scene } | null = null;
  private indexed: { readonly steps: readonly StepRecord[]; readonly index: TraceIndex } | null = null;
  private columns: Map<string, readonly string[]> | null = null;

  /** Nothing has run yet. */
  constructor(document: Doc, find: FindVendor) {
    this.session = new Session(document, find);
    this.machine = machineOf(document);
  }

  /** Runs up to and with a step. @returns how many have run, setup included */
  runTo(step: number): number {
    this.session.runTo(step);
    return this.session.steps.length;
  }

  stepsToRun(document: Doc): number {
    const all = document.steps.length;
    return machineOf(document) === this.machine ? all - common(this.session.document.steps, document.steps) : all;
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

  scenes(most: number): readonly Scene[] {
    return this.session.steps.slice(0, most).flatMap((record, step) => {
      let scenes = this.known.get(record);
      if (!scenes) {
        const end = this.session.platformAt(step).scene(record.hazards);
        const middle = crowdedAt(record.events);
        scenes = middle === null ? [end] : [this.session.platformAt(step, middle).scene([]), end];
        this.known.set(record, scenes);
      }
      return scenes;
    });
  }

  index(): TraceIndex {
    const { session } = this;
    const { steps } = session;
    if (this.indexed?.steps !== steps) {
      const guests = (session.document.platform.guests ?? []).map((g) => g.name);
      const machine = {
        guests: guests.length > 1 ? guests : [],
        resolve: (address: number, guest: string, place: Place) =>
          this.platform(place).resolve?.(address, scoped('guest', guest, 'memory')) ?? -1,
        writerOf: (address: number, place: Place) => session.writerOf(address, place.step, place.event),
      };
      this.indexed = { steps, index: new TraceIndex(steps, machine, this.columnsOf, this.indexed?.index) };
    }
    return this.indexed.index;
  }

  /** Names of a cache's columns: they are the same at any time. */
  private readonly columnsOf = (at: string): readonly string[] | undefined => {
    this.columns ??= new Map(
      this.session
        .platformAt(0)
        .scene([])
        .objects.map((o) => [o.id, o.cache?.columns ?? []]),
    );
    return this.columns.get(at);
  };

  hazards(place: Place): readonly Hazard[] {
    const record = this.session.steps[place.step];
    const last = record && place.event >= record.eventCount ? record : this.session.steps[place.step - 1];
    return last ? this.withRemedies(last.hazards) : [];
  }

  /** The same list for the same hazards, so that views can compare by identity. */
  private withRemedies(hazards: StepRecord['hazards']): readonly Hazard[] {
    let out = this.remedies.get(hazards);
    if (!out) {
      out = hazards.map((h) => (h.remedy ? { ...h, remedyStep: toStep(h.remedy) } : h));
      this.remedies.set(hazards, out);
    }
    return out;
  }

  inspect(place: Place, id: string, part?: Part): Inspection | null {
    return this.platform(place).inspect(id, part);
  }

  tables(place: Place): readonly TableRoot[] {
    return this.tableMemory(place).roots();
  }

  tableEntries(place: Place, ref: TableRef, from = 0, count = ref.entries): readonly TableEntry[] {
    return this.tableMemory(place).entries(ref, from, count);
  }

  tableMemory(place: Place): TableMemory {
    return tablesAt(this.session, place);
  }

  record(place: Place, record: RecordRef): InspectedRecord | null {
    return recordAt(this.session, place, record);
  }

  actions(place: Place, id: string, part?: Part): ObjectAction[] {
    return this.platform(place)
      .actionsFor(id, part)
      .map((a) => ({ title: a.title, step: toStep(a.operation) }));
  }
}

type FindVendor = (name: string) => Vendor | null;

/** @param find  the vendors that are modelled; tests have their own */
export const createEngine = (find: FindVendor = findVendor): Engine => {
  let checks: Checks | null = null;
  return {
    serialize: serializeDocument,
    start: (document) => {
      const simulation = new SessionSimulation(document, find);
      simulation.runTo(document.steps.length);
      return simulation;
    },
    begin: (document) => {
      const simulation = new SessionSimulation(document, find);
      const total = document.steps.length + 1;
      let done = 0;
      return {
        total,
        simulation,
        run: (steps) => (done = simulation.runTo(Math.min(total, done + steps) - 1)),
      };
    },
    load: (iommu) => loadVendors([iommu]),
    checks: (text = '') => (vendorsIn(text).every((name) => find(name)) ? checks : null),
    loadChecks: async (text = '') => {
      const [{ createChecks }] = await Promise.all([import('./checks.ts'), loadVendors(vendorsIn(text))]);
      checks ??= createChecks(find);
      return checks;
    },
  };
};
