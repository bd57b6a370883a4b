export * from './deviation.ts';
export * from './inject.ts';
export * from './pause.ts';
export * from './scene.ts';
export * from './scope.ts';
export * from './units.ts';
export * from './vendor.ts';
