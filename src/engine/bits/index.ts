export * from './fields.ts';
export * from './layout.ts';
export * from './registers.ts';
