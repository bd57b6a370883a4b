export { Audit } from './audit.ts';
export { cacheColumns, configCells, inputOf, outputOf, sizeText, translationCells } from './cache-text.ts';
export { EL2, type L1Entry, SmmuCaches, sceneOf } from './caches.ts';
export { cerrorNames } from './commands.ts';
export type { CdConfig, SteConfig } from './config.ts';
export { ring } from './event-queue.ts';
export {
  addressSizeBits,
  decodeFeatures,
  featureProblem,
  kernelPage,
  physicalFeatures,
  type SmmuFeatures,
  smmuFeatureNames,
} from './features.ts';
export { deviceId, type HardwareIds, hardwareIds } from './ids.ts';
export { RegisterFile } from './registers.ts';
export { Smmu } from './smmu.ts';
export type { StalledTransaction } from './stalls.ts';
export { locateSte, readSte, type SteLocation, streamTableGeometry } from './stream-table.ts';
export { ATS_REQUEST, DONE, FAULTED, TRANSLATED, Translator, UNTRANSLATED } from './translator.ts';
