import { deviceId, scoped } from '../../machine/index.ts';

/** Scene ids of one VT-d unit's parts. Devices have ids of their own, `deviceId`, since their names are unique. */
export interface HardwareIds {
  readonly unit: string;
  readonly iq: string;
  readonly prq: string;
  readonly frcd: string;
  readonly root: string;
  readonly context: string;
  readonly pasid: string;
  readonly iotlb: string;
  readonly fswalk: string;
  readonly sswalk: string;
}

/** @param scope name of the unit, empty while there is only one */
export function hardwareIds(scope = ''): HardwareIds {
  const id = (rest: string): string => scoped('hw', scope, rest);
  return {
    unit: id('unit'),
    iq: id('iq'),
    prq: id('prq'),
    frcd: id('frcd'),
    root: id('root'),
    context: id('context'),
    pasid: id('pasid'),
    iotlb: id('iotlb'),
    fswalk: id('fswalk'),
    sswalk: id('sswalk'),
  };
}

export { deviceId };
