export { guestDeviations } from './deviations.ts';
export { GuestDriver, type GuestParts, type GuestUnit } from './driver.ts';
export { cdTableId, steId, tableId, type UnitIds, unitIds } from './ids.ts';
export type { GuestCpu, GuestDevice, VirtualSmmu } from './state.ts';
export type { DeviceView, DomainView, GuestViews, ProcessView, RingView, UnitView } from './views.ts';
