import { registerRecordOf } from '../../platform/index.ts';
import { registers } from '../layout/index.ts';

export const registerRecord = registerRecordOf(registers);
