import type { LogReader } from '../reader.ts';
import { ArmSession } from './session.ts';

/** Linux's arm-smmu-v3 messages, raw commands and records; SMMUv2 messages are recognised and refused. */
export const armReader: LogReader = {
  name: 'arm',
  start: (sink) => new ArmSession(sink),
};
