import { fieldOf, getField } from '../../bits/index.ts';
import { addressSizeBits } from '../hardware/features.ts';
import { registerByName } from '../layout/index.ts';

/** What the driver makes of the ID registers (arm-smmu-v3.c arm_smmu_device_hw_probe). */
export interface HostFeatures {
  readonly twoLevelStreamTable: boolean;
  readonly twoLevelCdTable: boolean;
  readonly pri: boolean;
  readonly ats: boolean;
  readonly sev: boolean;
  readonly msi: boolean;
  readonly coherent: boolean;
  readonly stage1: boolean;
  readonly stage2: boolean;
  readonly nesting: boolean;
  /** Stalling is a choice of each stream. */
  readonly stalls: boolean;
  readonly stallForce: boolean;
  readonly hyp: boolean;
  /** The host kernel runs at EL2 with VHE, so its own streams use the EL2-E2H world. */
  readonly e2h: boolean;
  readonly rangeInvalidation: boolean;
  readonly attrTypesOverride: boolean;
  readonly s2fwb: boolean;
  readonly bbml2: boolean;
  readonly asidBits: number;
  readonly vmidBits: number;
  readonly sidBits: number;
  readonly ssidBits: number;
  readonly cmdqLog2: number;
  readonly evtqLog2: number;
  readonly priqLog2: number;
  /** Output address size, 52 at most. */
  readonly oas: number;
  /** 52-bit input addresses at stage 1. */
  readonly vax: boolean;
  /** log2 of the granules. */
  readonly granules: readonly number[];
  /** Hardware updates the access flag, and the dirty state (ARM_SMMU_FEAT_HA, _HD). */
  readonly access: boolean;
  readonly dirty: boolean;
}

/** Buffers of the queues: 1 MiB at most, what the page allocator of an arm64 kernel with CMA gives (Q_MAX_SZ_SHIFT). */
const QUEUE_BYTES_LOG2 = 20;
/** The queue must hold a whole batch (CMDQ_BATCH_ENTRIES) and a CMD_SYNC. */
const MIN_CMDQ_LOG2 = 7;

/**
 * Decodes IDR0..IDR5.
 * @returns null with a reason in the kernel's words when the probe fails (ENXIO)
 */
export function probeFeatures(idr: readonly number[]): { features: HostFeatures } | { error: string } {
  const field = (reg: number, name: string): number =>
    Number(getField(fieldOf(registerByName(`IDR${reg}`)!.layout, name), [BigInt(idr[reg]! >>> 0)]));
  const on = (reg: number, name: string): boolean => field(reg, name) === 1;
  const ttEndian = field(0, 'TTENDIAN');
  if (ttEndian !== 0 && ttEndian !== 2) return { error: 'unknown/unsupported TT endianness!' };
  const stage1 = on(0, 'S1P');
  const stage2 = on(0, 'S2P');
  if (!stage1 && !stage2) return { error: 'no translation support!' };
  if (field(0, 'TTF') < 2) return { error: 'AArch64 table format not supported!' };
  if (on(1, 'TABLES_PRESET') || on(1, 'QUEUES_PRESET') || on(1, 'REL'))
    return { error: 'embedded implementation not supported' };
  const cmdqLog2 = Math.min(field(1, 'CMDQS'), QUEUE_BYTES_LOG2 - 4);
  if (cmdqLog2 < MIN_CMDQ_LOG2)
    return { error: `command queue size <= ${2 ** (MIN_CMDQ_LOG2 - 1)} entries not supported` };
  const stallModel = field(0, 'STALL_MODEL');
  const hyp = on(0, 'HYP');
  return {
    features: {
      twoLevelStreamTable: field(0, 'ST_LEVEL') === 1 && field(1, 'SIDSIZE') > 8,
      twoLevelCdTable: on(0, 'CD2L'),
      pri: on(0, 'PRI'),
      ats: on(0, 'ATS'),
      sev: on(0, 'SEV'),
      msi: on(0, 'MSI'),
      coherent: on(0, 'COHACC'),
      stage1,
      stage2,
      nesting: stage1 && stage2,
      stalls: stallModel !== 1,
      stallForce: stallModel === 2,
      hyp,
      e2h: hyp,
      rangeInvalidation: on(3, 'RIL'),
      attrTypesOverride: on(1, 'ATTR_TYPES_OVR'),
      s2fwb: on(3, 'FWB'),
      bbml2: field(3, 'BBML') === 2,
      asidBits: on(0, 'ASID16') ? 16 : 8,
      vmidBits: on(0, 'VMID16') ? 16 : 8,
      sidBits: field(1, 'SIDSIZE'),
      ssidBits: field(1, 'SSIDSIZE'),
      cmdqLog2,
      evtqLog2: Math.min(field(1, 'EVENTQS'), QUEUE_BYTES_LOG2 - 5),
      priqLog2: Math.min(field(1, 'PRIQS'), QUEUE_BYTES_LOG2 - 4),
      oas: Math.min(addressSizeBits[field(5, 'OAS')]!, 52),
      vax: on(5, 'VAX'),
      granules: [12, 14, 16].filter((_, i) => on(5, ['GRAN4K', 'GRAN16K', 'GRAN64K'][i]!)),
      access: field(0, 'HTTU') >= 1,
      dirty: field(0, 'HTTU') === 2,
    },
  };
}

/** The feature word that the kernel prints at probe (ARM_SMMU_FEAT_*). */
export function featureWord(f: HostFeatures, littleAndBigEndian: boolean): number {
  const bits: readonly [boolean, number][] = [
    [f.twoLevelStreamTable, 0],
    [f.twoLevelCdTable, 1],
    [true, 2],
    [littleAndBigEndian, 3],
    [f.pri, 4],
    [f.ats, 5],
    [f.sev, 6],
    [f.msi, 7],
    [f.coherent, 8],
    [f.stage1, 9],
    [f.stage2, 10],
    [f.stalls, 11],
    [f.hyp, 12],
    [f.stallForce, 13],
    [f.vax, 14],
    [f.rangeInvalidation, 15],
    [f.e2h, 18],
    [f.nesting, 19],
    [f.attrTypesOverride, 20],
    [f.access, 21],
    [f.dirty, 22],
    [f.s2fwb, 23],
    [f.bbml2, 24],
  ];
  return bits.reduce((word, [set, bit]) => (set ? word | (1 << bit) : word), 0);
}
