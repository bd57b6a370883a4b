export { cacheColumns, configCells, inputOf, outputOf, sizeText, translationCells } from './cache-text.ts';
export { EL2, type L1Entry, sceneOf } from './caches.ts';
export { cerrorNames } from './commands.ts';
export type { CdConfig, SteConfig } from './config.ts';
export { ring } from './event-queue.ts';
export {
  decodeFeatures,
  featureProblem,
  kernelPage,
  physicalFeatures,
  type SmmuFeatures,
  smmuFeatureNames,
} from './features.ts';
export { deviceId, hardwareIds } from './ids.ts';
export { Smmu } from './smmu.ts';
export { ATS_REQUEST, DONE, UNTRANSLATED } from './translator.ts';
