export * from './engine.ts';
export { currentEntry, type HistoryEntry, isEdited } from './history.ts';
export * from './persist.ts';
export * from './place.ts';
export * from './settings.ts';
export * from './store.ts';
