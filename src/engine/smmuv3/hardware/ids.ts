import { deviceId, scoped } from '../../machine/index.ts';

/** Scene ids of one SMMU's parts. Devices have ids of their own, `deviceId`, since their names are unique. */
export interface HardwareIds {
  readonly smmu: string;
  readonly cmdq: string;
  readonly evtq: string;
  readonly priq: string;
  readonly strtab: string;
  readonly config: string;
  readonly iotlb: string;
  readonly s1walk: string;
  readonly s2tlb: string;
  readonly s2walk: string;
}

/** @param scope name of the unit, empty while there is only one */
export function hardwareIds(scope = ''): HardwareIds {
  const id = (rest: string): string => scoped('hw', scope, rest);
  return {
    smmu: id('smmu'),
    cmdq: id('cmdq'),
    evtq: id('evtq'),
    priq: id('priq'),
    strtab: id('strtab'),
    config: id('config'),
    iotlb: id('iotlb'),
    s1walk: id('s1walk'),
    s2tlb: id('s2tlb'),
    s2walk: id('s2walk'),
  };
}

export { deviceId };
