export * from './bus.ts';
export * from './guest.ts';
export * from './memory.ts';
