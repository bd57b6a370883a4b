export * from './covered.ts';
export * from './events.ts';
export * from './text.ts';
