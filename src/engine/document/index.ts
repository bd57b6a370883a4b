export type { FieldForm } from './field.ts';
export { toBigint } from './number.ts';
export { type OperationForm, operationForms, type Step } from './operations.ts';
export { parseDocument, validateOperation, whyNotRunnable } from './parse.ts';
export { deviceSpecs, platformSpec } from './platform.ts';
export type { DocumentError } from './problem.ts';
export type { ScenarioDocument } from './schema.ts';
export { serializeDocument, toStep } from './serialize.ts';
export { Session, type StepRecord } from './session.ts';
