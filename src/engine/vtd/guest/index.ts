export { guestDeviations } from './deviations.ts';
export { GuestDriver } from './driver.ts';
export { tableId } from './ids.ts';
export type { DeviceView, DomainView, EntryView, GuestViews, ProcessView, UnitView } from './views.ts';
