export { addressOf, CacheAudit, sameWords, wordAddresses } from './cache-audit.ts';
export {
  A,
  ANY,
  ATTR,
  alignHi,
  alignLo,
  B,
  BLOCK_SHIFT,
  type CacheSnapshot,
  type EntryData,
  FIRST_LINK,
  GLOBAL,
  GRANULE,
  IN_HI,
  IN_LO,
  IPA_HI,
  IPA_LO,
  LAST_LINK,
  LEVEL,
  OUT_HI,
  OUT_LO,
  SHIFT,
  SID,
  SSID,
  STRIDE,
  UID,
} from './entry.ts';
export { IommuCaches } from './iommu-caches.ts';
export { inputOf, outputOf, sizeText } from './text.ts';
export { TranslationCache } from './translation-cache.ts';
export { SAME, type Verdict } from './verdict.ts';
