import { type Injection, Injector } from '../machine/inject.ts';
import type { Op } from '../machine/pause.ts';
import type { DeviceSpec, Operation, OpResult, Platform, PlatformSpec, Vendor } from '../machine/vendor.ts';
import { type Listener, Trace } from '../trace/index.ts';
import { Checkpoints } from './checkpoints.ts';

/** What one step does. */
export interface Task {
  /** Step 0 is the setup, whatever stands here. */
  readonly operation: Operation;
  /** Why the operation cannot be tried: a name in it is not bound. Then the step fails without any effect. */
  readonly unresolved?: string;
}

/** `crash`: a promise inside the engine was broken; the machine stands as before the step. */
export type Ran = { readonly result: OpResult } | { readonly crash: string };

interface State {
  readonly platform: unknown;
  readonly injector: unknown;
}

/** After `event` events of `step`; `whole` when the step is done. */
interface Position {
  readonly step: number;
  readonly event: number;
  readonly whole: boolean;
}

/** Thrown by the listener to leave an operation in the middle. */
class StopAt {}

/** More turns than any operation takes: a loop without end. */
const mostTurns = 20_000_000;
const fresh: Position = { step: -1, event: 0, whole: true };

/**
 * One machine and a list of tasks that it does in order. It can be brought to any moment of the tasks done so far: the
 * nearest saved state, what follows it run again, and inside a step the operation left at the event that is meant.
 */
export class Replay {
  readonly trace = new Trace();
  readonly platform: Platform;
  private readonly injector = new Injector(this.trace);
  private readonly tasks: Task[] = [];
  private readonly checkpoints: Checkpoints<State>;
  /** The start of the step being looked at: going through its events runs no other step again. */
  private start: { readonly step: number; readonly state: State } | null = null;
  /** Null when an operation was left by an exception: the state is of no use until the next load. */
  private position: Position | null = fresh;

  constructor(vendor: Vendor, spec: PlatformSpec, devices: readonly DeviceSpec[], limit?: number) {
    this.platform = vendor.create(spec, devices, this.trace, this.injector);
    this.checkpoints = new Checkpoints(limit);
    this.checkpoints.set(-1, this.save());
  }

  /** Does the next task. */
  next(task: Task, listener: Listener): Ran {
    const i = this.tasks.length;
    this.goToEnd(i - 1);
    this.tasks.push(task);
    const ran = this.runWhole(i, listener);
    if (this.checkpoints.due(i)) this.checkpoints.set(i, this.save());
    return ran;
  }

  /** Does a task once more, with a listener; the machine stands after it. */
  again(step: number, listener: Listener): void {
    this.goToEnd(step - 1);
    this.runWhole(step, listener);
  }

  /** Forgets all tasks after a step. */
  truncate(step: number): void {
    this.tasks.length = Math.min(this.tasks.length, step + 1);
    this.checkpoints.truncate(step);
    if (this.start && this.start.step > step) this.start = null;
    if (this.position && this.position.step > step) this.position = null;
  }

  /** Where the machine stands, to come back to. */
  mark(): () => void {
    const p = this.position;
    return () => {
      if (p?.whole) this.goToEnd(p.step);
      else if (p) this.goInto(p.step, p.event);
    };
  }

  /** Brings the machine to the end of a step; -1 is before the setup. */
  goToEnd(step: number): void {
    const p = this.position;
    if (p?.whole && p.step === step) return;
    let from = this.checkpoints.nearest(step)!;
    if (this.start && this.start.step <= step && this.start.step > from.step) from = this.start;
    // Going on from where it stands costs less than loading what lies before.
    const onward = p?.whole === true && p.step < step && p.step >= from.step;
    if (!onward) this.load(from.state, from.step);
    for (let i = (onward ? p.step : from.step) + 1; i <= step; i++) this.runWhole(i, null);
  }

  /** Brings the machine into a step, after `event` of its events. The step must have more of them. */
  goInto(step: number, event: number): void {
    const p = this.position;
    if (p && !p.whole && p.step === step && p.event === event) return;
    this.goToEnd(step - 1);
    if (event === 0) return;
    if (this.start?.step !== step - 1) this.start = { step: step - 1, state: this.save() };
    this.position = null;
    let seen = 0;
    this.trace.resetCounts();
    this.trace.listener = () => {
      if (++seen >= event) throw new StopAt();
    };
    try {
      const op = this.perform(step);
      while (!op.next().done);
    } catch (e) {
      if (!(e instanceof StopAt)) throw e;
    } finally {
      this.trace.listener = null;
    }
    if (seen !== event)
      throw new Error(`step ${step} gave ${seen} events when it ran again, expected at least ${event}`);
    this.position = { step, event, whole: false };
  }

  private *perform(i: number): Op<OpResult> {
    if (i === 0) return yield* this.platform.setup();
    const held = this.injector.takeHeld();
    if (held.length > 0 && this.platform.deliver) yield* this.platform.deliver(held);
    const { operation, unresolved } = this.tasks[i]!;
    if (unresolved !== undefined) return { ok: false, text: unresolved };
    if (operation.do === 'inject') return this.inject(operation as unknown as Injection);
    return yield* this.platform.operation(operation);
  }

  private inject({ at, action, count, xor }: Injection): OpResult {
    this.injector.active.push({ at, action, count, xor: [xor[0], xor[1]] });
    return { ok: true, text: `${action} the next ${count === 1 ? 'message' : `${count} messages`} at ${at}` };
  }

  /** Runs a step to its end from the state before it. A crash leaves that state. */
  private runWhole(i: number, listener: Listener | null): Ran {
    this.trace.resetCounts();
    this.trace.listener = listener;
    this.position = null;
    try {
      const op = this.perform(i);
      for (let turns = 0; turns < mostTurns; turns++) {
        const r = op.next();
        if (!r.done) continue;
        this.position = { step: i, event: 0, whole: true };
        return { result: r.value };
      }
      throw new Error('the operation does not end');
    } catch (e) {
      this.trace.listener = null;
      this.goToEnd(i - 1);
      this.position = { step: i, event: 0, whole: true };
      return { crash: e instanceof Error ? e.message : String(e) };
    } finally {
      this.trace.listener = null;
    }
  }

  private save(): State {
    return { platform: this.platform.save(), injector: this.injector.save() };
  }

  private load(s: State, step: number): void {
    this.platform.load(s.platform);
    this.injector.load(s.injector);
    this.position = { step, event: 0, whole: true };
  }
}
