export * from './fields.ts';
export * from './layout.ts';
