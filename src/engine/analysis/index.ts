export * from './cost.ts';
export * from './crowded.ts';
export * from './hazards.ts';
