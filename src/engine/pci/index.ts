export * from './accesses.ts';
export * from './device.ts';
export * from './device-port.ts';
export * from './messages.ts';
export * from './page-request-service.ts';
export * from './page-requests.ts';
