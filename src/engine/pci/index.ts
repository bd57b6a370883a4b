export * from './device.ts';
export * from './page-requests.ts';
