/** What it takes to play a document that was checked before. `authoring.ts` has the checks, the forms and their texts. */
export type { ExpectFailure } from './compare.ts';
export type { Expect } from './expect-schema.ts';
export type { FieldForm, FieldKind } from './field.ts';
export type { CommandFields } from './guest-operations.ts';
export { readNumber, ridText, toBigint } from './number.ts';
export type { OperationActor } from './operation.ts';
export type {
  OperationForm,
  OperationName,
  Parsed as ParsedNamed,
  ParsedOperation,
  Step,
  StepNamed,
} from './operations.ts';
export { deviceSpecs, platformSpec } from './platform.ts';
export type { DocumentError } from './problem.ts';
export type { Bindings } from './resolve.ts';
export type { ScenarioDocument } from './schema.ts';
export { serializeDocument, toStep } from './serialize.ts';
export { Session, type SessionLimits, type StepCheck, type StepRecord } from './session.ts';
