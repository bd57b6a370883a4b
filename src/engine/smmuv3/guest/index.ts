export { type GuestDeviation, guestDeviations } from './deviations.ts';
export { GuestDriver, type GuestParts } from './driver.ts';
export type { FlushMode } from './mapping.ts';
export { atcSpan, splitRange, type TlbiRange } from './range.ts';
export { type GuestRules, guestRules } from './rules.ts';
export type { GuestDevice, VirtualSmmu } from './state.ts';
export type { GuestViews, RingView } from './views.ts';
