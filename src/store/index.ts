export * from './engine.ts';
export { type History, type HistoryEntry, isEdited } from './history.ts';
export * from './local.ts';
export * from './persist.ts';
export * from './place.ts';
export * from './settings.ts';
export * from './state.ts';
export * from './store.ts';
