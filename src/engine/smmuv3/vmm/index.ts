export { vmmDeviations } from './deviations.ts';
export { Vmm } from './vmm.ts';
