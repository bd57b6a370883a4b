export * from './fields.ts';
export * from './halves.ts';
export * from './layout.ts';
export * from './registers.ts';
