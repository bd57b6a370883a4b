/** Reading documents that anybody wrote, checking steps, and the forms to fill in: loaded when somebody does so. */
export { pathText } from './json.ts';
export { operationForms } from './operations.ts';
export { checkScenario, type ParseResult, parseDocument, validateOperation, whyNotRunnable } from './parse.ts';
export { type Policy, policies } from './policy.ts';
export { format, iommus, setups } from './schema.ts';
