import { crowdedAt } from '../engine/analysis/index.ts';
import {
  type ScenarioDocument,
  Session,
  type Step,
  type StepRecord,
  serializeDocument,
  toStep,
} from '../engine/document/index.ts';
import type { Inspection, Platform, Scene, Vendor } from '../engine/machine/index.ts';
import { findVendor, loadVendors, vendorsIn } from '../engine/machine/vendors.ts';
import type { Checks, Engine, Hazard, ObjectAction, Part, Simulation } from './engine.ts';
import type { Place } from './place.ts';

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
    start: (document) => new SessionSimulation(document, find),
    load: (iommu) => loadVendors([iommu]),
    checks: (text = '') => (vendorsIn(text).every((name) => find(name)) ? checks : null),
    loadChecks: async (text = '') => {
      const [{ createChecks }] = await Promise.all([import('./checks.ts'), loadVendors(vendorsIn(text))]);
      checks ??= createChecks(find);
      return checks;
    },
  };
};
