/** A moment of a trace: exactly the first `event` events of step `step` have happened. Step 0 is the setup. */
export interface Place {
  readonly step: number;
  readonly event: number;
}

/** The moment right after an event: the one that `list[index]` of a step made. */
export const afterEvent = (step: number, index: number): Place => ({ step, event: index + 1 });

/** Below 0: `a` is earlier. */
export const comparePlaces = (a: Place, b: Place): number => a.step - b.step || a.event - b.event;

export const notAfter = (a: Place, b: Place): boolean => comparePlaces(a, b) <= 0;
