export { decodeLog } from './decode.ts';
export type { DecodedLog, LogRecord } from './record.ts';
export { scenarioOf } from './scenario/index.ts';
