export { decodeLog } from './decode.ts';
export type { DecodedLog, LogRecord, Unread, Where } from './record.ts';
export { type Scenario, scenarioOf } from './scenario/index.ts';
