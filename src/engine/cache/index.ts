export * from './translation-cache.ts';
