export { Audit, type Verdict } from './audit.ts';
export { cacheColumns, configCells, pgttNames, translationCells } from './cache-text.ts';
export { sceneOf, VtdCaches } from './caches.ts';
export type { ContextEntry, PasidEntry } from './config.ts';
export { decodeFeatures, featureProblem, physicalFeatures, type VtdFeatures, vtdFeatureNames } from './features.ts';
export { deviceId, type HardwareIds, hardwareIds } from './ids.ts';
export { RegisterFile } from './registers.ts';
export {
  ABORTED,
  ATS_REQUEST,
  DONE,
  FAULTED,
  INTERRUPT,
  TRANSLATED,
  Translator,
  UNTRANSLATED,
} from './translator.ts';
export { VtdUnit } from './unit.ts';
