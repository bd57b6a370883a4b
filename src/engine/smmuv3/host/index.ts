export type { Command } from './commands.ts';
export type { HostDeviation } from './deviations.ts';
export { hostDeviations, hostRulesWith } from './deviations.ts';
export type { HostDriverOptions } from './driver.ts';
export { HostDriver } from './driver.ts';
export { cdSafe, cdUsed, entrySteps, readEntry, steSafe, steUsed, writeEntry } from './entry.ts';
export type { HostRules } from './rules.ts';
export { hostRules } from './rules.ts';
export type { HostPciDevice, HostState, Master, NestedDomain, PagingDomain, SmmuPort, Vsmmu } from './state.ts';
