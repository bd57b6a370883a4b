/**
 * Where an actor lets others act: after a table write, at a doorbell, at a trap, at an ioctl's entry and return, at a
 * command's fetch, at a sync. Usually the scheduler runs each operation to its end; a search over interleavings switches
 * here.
 */
export interface Pause {
  readonly actor: string;
  readonly point: string;
}

/** An actor's operation. It yields pauses and returns its result; it never waits for anything outside the engine. */
export type Op<T> = Generator<Pause, T, void>;

/** Runs an operation to its end without letting anyone else act. */
export function runToEnd<T>(op: Op<T>): T {
  for (;;) {
    const r = op.next();
    if (r.done) return r.value;
  }
}

const pauses = new Map<string, Pause>();

/** The pause of that name; the same object each time, so that yielding allocates nothing. */
export function pause(actor: string, point: string): Pause {
  const key = `${actor}.${point}`;
  let p = pauses.get(key);
  if (!p) pauses.set(key, (p = Object.freeze({ actor, point })));
  return p;
}
