export { hostDeviations, hostRulesWith } from './deviations.ts';
export { HostDriver } from './driver.ts';
