import type { StepCost, StepHazard } from '../analysis/index.ts';
import type { Operation, OpResult, Platform, Vendor } from '../machine/vendor.ts';
import type { TraceEvent } from '../trace/index.ts';
import type { Addressees } from './addressee.ts';
import type { ExpectFailure } from './compare.ts';
import type { Bindings } from './resolve.ts';

/** Everything that a step's expectations are compared with. */
export interface Outcome {
  readonly operation: Operation;
  readonly result: OpResult;
  readonly events: readonly TraceEvent[];
  readonly cost: StepCost;
  readonly hazards: readonly StepHazard[];
  readonly cached: Platform['cached'];
  readonly vendor: Pick<Vendor, 'layouts' | 'commands'>;
  /** Which parts of the machine the `guest` and the `unit` of an expectation mean. */
  readonly addressees: Pick<Addressees, 'guests' | 'iommus' | 'virtualUnits'>;
  /** With the step's own. */
  readonly bindings: Bindings;
}

export const failure = (path: string, expected: string, actual: string): ExpectFailure[] => [
  { path, expected, actual },
];

/** Why a step failed, in one line. */
export function failureText(r: OpResult): string {
  if (r.ok) return 'success';
  const errno = r.errno && r.errno !== '0' ? `${r.errno}: ` : '';
  return `${errno}${r.text}`;
}

/** `none` when the operation has no such thing to give. */
export const missing = (o: Outcome, what: string): string =>
  `${o.operation.do} gave no ${what} (${failureText(o.result)})`;
