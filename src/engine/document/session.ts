import { noCost, type StepCost, type StepHazard, stepCost, WriteLog } from '../analysis/index.ts';
import { scoped } from '../machine/scope.ts';
import type { Operation, OpResult, Platform, Vendor } from '../machine/vendor.ts';
import { findVendor } from '../machine/vendors.ts';
import type { TraceEvent } from '../trace/index.ts';
import { Addressees } from './addressee.ts';
import { bind } from './bind.ts';
import type { ExpectFailure } from './compare.ts';
import { EventStore } from './event-store.ts';
import { checkExpectations } from './expectations.ts';
import type { Step } from './operations.ts';
import { deviceSpecs, platformSpec } from './platform.ts';
import { Replay, type Task } from './replay.ts';
import { type Bindings, resolveOperation } from './resolve.ts';
import type { ScenarioDocument } from './schema.ts';

/** One step that has run. Index 0 is the setup, i is `document.steps[i - 1]`. */
export interface StepRecord {
  /** As it stands in the document; null for the setup. */
  readonly step: Step | null;
  /** As the platform got it; `{ do: 'setup', setup }` for the setup. */
  readonly operation: Operation;
  readonly result: OpResult;
  /**
   * What happened, in order. The events of a long document are not all kept: reading those of an old step may run it
   * again, after which the platform stands where it stood.
   */
  readonly events: readonly TraceEvent[];
  readonly eventCount: number;
  /** What is stale after the step. */
  readonly hazards: readonly StepHazard[];
  readonly cost: StepCost;
  /** Expectations that were not met; without `expect` a step must succeed. */
  readonly failures: readonly ExpectFailure[];
  /** What `as` has bound up to and with this step. */
  readonly bindings: Bindings;
  /** Set when a promise inside the engine was broken: the step had no effect and is a bug of this program. */
  readonly crash?: string;
}

/** What `append` asks before it takes a step; the message of a refusal. */
export type StepCheck = (step: Step, document: ScenarioDocument) => string | undefined;

export interface SessionLimits {
  /** Saved states to keep. */
  readonly checkpoints?: number;
  /** Events to keep. */
  readonly events?: number;
  /** Without it `append` trusts its caller. */
  readonly check?: StepCheck;
}

/**
 * A document being played: its steps run in order, any moment of it can be looked at, steps can be added and cut off at
 * the end. Everything is a function of the document alone.
 */
export class Session {
  readonly vendor: Vendor;
  private doc: ScenarioDocument;
  private readonly replay: Replay;
  private readonly records: StepRecord[] = [];
  private view: readonly StepRecord[] | null = null;
  private readonly store: EventStore;
  private readonly check: StepCheck | undefined;
  private readonly writes = new WriteLog();
  /** Has noted the steps that have run. */
  private readonly addressees: Addressees;

  /**
   * Makes the machine; nothing runs yet, not even the setup.
   * @param document must have been checked by `parseDocument` or `checkScenario`
   * @throws RangeError when nobody has modelled the vendor (ask `whyNotRunnable` first) or the machine cannot be made
   */
  constructor(
    document: ScenarioDocument,
    find: (name: string) => Vendor | null = findVendor,
    limits: SessionLimits = {},
  ) {
    const vendor = find(document.platform.iommu);
    if (!vendor) throw new RangeError(`platform.iommu: ${document.platform.iommu} is not modelled yet`);
    this.check = limits.check;
    this.vendor = vendor;
    this.doc = document;
    const spec = platformSpec(document);
    const devices = deviceSpecs(document);
    this.replay = new Replay(vendor, spec, devices, limits.checkpoints);
    this.addressees = new Addressees(spec, devices);
    this.store = new EventStore(limits.events);
  }

  get document(): ScenarioDocument {
    return this.doc;
  }

  /** The steps that have run; another array whenever one was added or cut off. */
  get steps(): readonly StepRecord[] {
    this.view ??= this.records.slice();
    return this.view;
  }

  /** Runs up to and with a step, as far as it has not run yet. 0 is the setup. */
  runTo(step: number): void {
    const last = Math.min(step, this.doc.steps.length);
    while (this.records.length <= last) this.runNext();
  }

  runAll(): void {
    this.runTo(this.doc.steps.length);
  }

  /**
   * The machine as it is after `event` events of a step; from the number of the step's events on, after the step. It is
   * the only machine of the session: look at it before the next call moves it.
   */
  platformAt(step: number, event = Number.POSITIVE_INFINITY): Platform {
    this.runTo(step);
    const record = this.records[step];
    if (!record) throw new RangeError(`there is no step ${step}`);
    if (event >= record.eventCount) this.replay.goToEnd(step);
    else this.replay.goInto(step, Math.max(0, event));
    return this.replay.platform;
  }

  /** The event that last wrote a word of host memory, as software and guests write it, before a moment. */
  writerOf(address: number, step: number, event: number): { readonly step: number; readonly event: number } | null {
    return this.writes.writerOf(address, { step, event });
  }

  /**
   * Adds a step at the end and runs it.
   * @throws RangeError when the session's check refuses it; nothing is added then
   */
  append(step: Step): StepRecord {
    const refused = this.check?.(step, this.doc);
    if (refused !== undefined) throw new RangeError(refused);
    this.runAll();
    this.doc = { ...this.doc, steps: [...this.doc.steps, step] };
    this.runNext();
    return this.records[this.records.length - 1]!;
  }

  /** Cuts off all steps after the first `n`; the setup stays. */
  truncate(n: number): void {
    const last = Math.max(0, n);
    this.doc = { ...this.doc, steps: this.doc.steps.slice(0, last) };
    if (this.records.length <= last + 1) return;
    this.records.length = last + 1;
    this.view = null;
    this.replay.truncate(last);
    this.store.truncate(last);
    this.writes.truncate(last);
    this.addressees.clear();
    for (const s of this.doc.steps) this.addressees.note(s);
  }

  private task(step: Step | null, before: Bindings): Task {
    if (!step) return { operation: { do: 'setup', setup: this.doc.setup ?? 'booted' } };
    const r = resolveOperation(step, before);
    if (!r.ok) return { operation: { do: step.do }, unresolved: r.text };
    const whom = this.addressees.of(step);
    if ('expected' in whom) return { operation: { do: step.do }, unresolved: `expected ${whom.expected}` };
    return { operation: { ...r.operation, ...whom } };
  }

  private runNext(): void {
    const i = this.records.length;
    const before = this.records[i - 1];
    const step = i === 0 ? null : this.doc.steps[i - 1]!;
    const task = this.task(step, before?.bindings ?? {});
    const { operation } = task;
    if (step) this.addressees.note(step);
    const events: TraceEvent[] = [];
    const ran = this.replay.next(task, (e) => events.push(e));
    let crash = 'crash' in ran ? ran.crash : undefined;
    const cost = crash === undefined ? stepCost(this.replay.trace, events) : noCost;
    let hazards = before?.hazards ?? [];
    try {
      if (crash === undefined) this.noteWrites(i, operation, events);
      hazards = unchanged(hazards, this.writes.withCauses(this.replay.platform.hazards()));
    } catch (e) {
      crash ??= e instanceof Error ? e.message : String(e);
    }
    const result = 'result' in ran ? ran.result : { ok: false, text: `internal error: ${crash}` };
    const bound = bind(step, operation, result, before?.bindings ?? {});
    const failures = checkExpectations(step, {
      operation,
      result,
      events,
      cost,
      hazards,
      cached: () => this.replay.platform.cached(),
      vendor: this.vendor,
      addressees: this.addressees,
      bindings: bound.bindings,
    });
    if (crash !== undefined)
      failures.unshift({ path: '', expected: 'the engine to run the step', actual: `internal error: ${crash}` });
    this.store.set(i, events);
    const eventsOf = (): readonly TraceEvent[] => this.eventsOf(i);
    this.records.push({
      step,
      operation,
      result,
      get events() {
        return eventsOf();
      },
      eventCount: events.length,
      hazards,
      cost,
      failures: [...failures, ...bound.failures],
      bindings: bound.bindings,
      crash,
    });
    this.view = null;
  }

  private noteWrites(i: number, op: Operation, events: readonly TraceEvent[]): void {
    const resolve = (gpa: number, at: string): number => this.replay.platform.resolve?.(gpa, at) ?? -1;
    this.writes.note(i, events, resolve);
    // A raw write is a cause also where no event of its own shows it.
    if (op.do !== 'memory.write' || events.some((e) => e.kind === 'table.write')) return;
    const { space, at, bytes } = op as unknown as { space: 'guest' | 'host'; at: number; bytes: Uint8Array };
    this.writes.noteWrite({ step: i, event: 0 }, space, at, bytes.length, (gpa) =>
      resolve(gpa, scoped('guest', String(op['guest'] ?? ''), 'memory')),
    );
  }

  private eventsOf(step: number): readonly TraceEvent[] {
    const kept = this.store.get(step);
    if (kept) return kept;
    const back = this.replay.mark();
    const events: TraceEvent[] = [];
    this.replay.again(step, (e) => events.push(e));
    this.store.set(step, events);
    back();
    return events;
  }
}

const same = (a: StepHazard, b: StepHazard): boolean =>
  a.at === b.at &&
  a.entry === b.entry &&
  a.text === b.text &&
  a.now === b.now &&
  a.cause?.step === b.cause?.step &&
  a.cause?.event === b.cause?.event;

/** What has not changed is kept once, not once a step. */
function unchanged(before: readonly StepHazard[], now: readonly StepHazard[]): readonly StepHazard[] {
  const kept = now.map((h) => before.find((b) => same(b, h)) ?? h);
  return kept.length === before.length && kept.every((h, i) => h === before[i]) ? before : kept;
}
