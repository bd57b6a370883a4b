export { vmmDeviations } from './deviations.ts';
export { pasidEntryInTables } from './guest-tables.ts';
export { didOf } from './pasid-entry.ts';
export type { Binding, VmmDevice } from './state.ts';
export { Vmm } from './vmm.ts';
export type { VVtd } from './vvtd.ts';
