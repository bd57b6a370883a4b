export * from './cost.ts';
export * from './crowded.ts';
export * from './hazards.ts';
export type { Life, Removal, StaleStretch } from './lives.ts';
export type { MachineView, OriginQuery } from './origins.ts';
export type { SearchHit } from './search.ts';
export type { TracedStep } from './step-digest.ts';
export { type Link, type Origin, TraceIndex } from './trace-index.ts';
