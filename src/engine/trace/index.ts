export * from './events.ts';
export * from './text.ts';
