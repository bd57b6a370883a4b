export * from './cost.ts';
export * from './hazards.ts';
