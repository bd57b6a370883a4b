export { guestDeviations } from './deviations.ts';
export { GuestDriver } from './driver.ts';
