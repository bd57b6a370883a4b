export { cacheColumns, configCells, translationCells } from './cache-text.ts';
export { sceneOf } from './caches.ts';
export type { ContextEntry, PasidEntry } from './config.ts';
export { featureProblem, physicalFeatures, vtdFeatureNames } from './features.ts';
export { deviceId } from './ids.ts';
export {
  DONE,
  Translator,
  UNTRANSLATED,
} from './translator.ts';
export { VtdUnit } from './unit.ts';
