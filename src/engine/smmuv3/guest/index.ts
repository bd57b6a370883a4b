export { guestDeviations } from './deviations.ts';
export { GuestDriver } from './driver.ts';
export { cdTableId } from './ids.ts';
export type { DeviceView, GuestViews, UnitView } from './views.ts';
