export type { ExpectFailure } from './compare.ts';
export type { Expect } from './expect-schema.ts';
export type { FieldForm, FieldKind } from './field.ts';
export type { CommandFields } from './guest-operations.ts';
export { pathText } from './json.ts';
export { readNumber, ridText, toBigint } from './number.ts';
export type { OperationActor } from './operation.ts';
export {
  type OperationForm,
  type OperationName,
  operationForms,
  type Parsed as ParsedNamed,
  type ParsedOperation,
  type Step,
  type StepNamed,
} from './operations.ts';
export { checkScenario, type ParseResult, parseDocument, validateOperation, whyNotRunnable } from './parse.ts';
export { deviceSpecs, platformSpec } from './platform.ts';
export { type Policy, policies } from './policy.ts';
export type { DocumentError } from './problem.ts';
export type { Bindings } from './resolve.ts';
export { format, iommus, type ScenarioDocument, setups } from './schema.ts';
export { serializeDocument, toStep } from './serialize.ts';
export { Session, type SessionLimits, type StepRecord } from './session.ts';
