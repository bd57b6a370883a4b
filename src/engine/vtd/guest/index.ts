export { guestDeviations } from './deviations.ts';
export { GuestDriver } from './driver.ts';
export type { GuestViews, UnitView } from './views.ts';
