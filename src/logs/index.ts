export { decodeLog } from './decode.ts';
export type { DecodedLog, LogRecord, Unread, Where } from './record.ts';
export { scenarioOf } from './scenario/index.ts';
