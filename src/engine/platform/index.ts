export { type Action, actionsOf, attachActions, tableActions } from './actions.ts';
export { deviceFacts, guestDeviceFacts, mapFacts } from './inspect-device.ts';
export { inspectDriver, inspectObject } from './inspect-kernel.ts';
export {
  type Guest,
  guestOfDevice,
  type Machine,
  type Unit,
  unitOfDevice,
} from './machine.ts';
export { handlersFor } from './operations.ts';
export { type Place, placeOf } from './place.ts';
export { MachinePlatform } from './platform.ts';
export { commandOperation, type Queue, queueOf, whose } from './remedy.ts';
export { sceneFrom } from './scene.ts';
export { cacheOf, count, type Draft, deviceObject, entries, staleIn } from './scene-hardware.ts';
export { kernelObjects, vmmObjects, withItsUser } from './scene-kernel.ts';
export {
  type Base,
  type Fact,
  fact,
  type Part,
  queueEntry,
  queueView,
  type RingKind,
  readWords,
  registerRecordOf,
} from './scene-queue.ts';
export { deviceOfRid, entryOf, ofUnit, recordOf, staleBehind, staleness } from './stale.ts';
export {
  isZero,
  type Locate,
  placeIn,
  ringAbout,
  ringEntry,
  ringRef,
  type Said,
  type TableFormats,
  tableRef,
} from './tables.ts';
export { type GuestMaterial, guestParts, vmmParts, wireMachine } from './wire.ts';
