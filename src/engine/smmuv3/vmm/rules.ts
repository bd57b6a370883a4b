import { opcodes } from '../layout/index.ts';

/** What becomes of a command that the model could pass on. */
export type Forwarding = 'forward' | 'consume' | 'illegal';

export interface ForwardQuery {
  readonly opcode: number;
  /** IDR0.ATS of the vSMMU. */
  readonly ats: boolean;
  /** The command names a StreamID and a plugged device has it. */
  readonly known: boolean;
  /** That device has a vDEVICE. */
  readonly vdevice: boolean;
}

export type SteAction = 'abort' | 'bypass' | 'translate' | 'invalid';

/**
 * What QEMU's accelerated SMMUv3 decides, one rule for each decision (hw/arm/smmuv3.c, smmuv3-accel.c). A deviation replaces
 * one by name.
 */
export interface VmmRules {
  /** CFGI_CD*, TLBI_NH_*, TLBI_NSNH_ALL, ATC_INV: into an ioctl, dropped, or CERROR_ILL. */
  forward(q: ForwardQuery): Forwarding;
  /** StreamIDs that CFGI_STE_RANGE names, both ends included. */
  steRange(sid: number, range: number): { readonly start: number; readonly end: number };
  /** Does CFGI_STE_RANGE read the STEs again and move the devices, as CFGI_STE does? */
  rangeInstalls(): boolean;
  /** Which nested HWPT a guest STE asks for. */
  steAction(ste: readonly bigint[]): SteAction;
  /** The two words handed to the kernel for a translating STE. */
  nestedWords(ste: readonly bigint[]): readonly [bigint, bigint];
  /** Is a vDEVICE made at the first CFGI of a StreamID? */
  makesVdevice(): boolean;
  /** A GBPA update moves all devices to the abort or bypass HWPT. */
  gbpaMovesDevices(): boolean;
  /** CR0.SMMUEN changed: leave the devices where they are, or install what the new setting means. */
  smmuenMovesDevices(): boolean;
}

/** V, Config, S1Fmt, S1ContextPtr, S1CDMax; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS: what the kernel accepts. */
export const STE_MASK = [0xf80fffffffffffffn, 0x00000000380000ffn] as const;

const bySid = new Set([opcodes['CFGI_CD'], opcodes['CFGI_CD_ALL'], opcodes['ATC_INV']]);

export const vmmRules: VmmRules = {
  forward: (q) => {
    if (!bySid.has(q.opcode)) return 'forward';
    if (!q.known || !q.vdevice) return 'consume';
    return q.opcode === opcodes['ATC_INV'] && !q.ats ? 'consume' : 'forward';
  },
  steRange: (sid, range) => {
    const size = 2 ** (range + 1);
    const start = sid - (sid % size);
    return { start, end: start + size - 1 };
  },
  rangeInstalls: () => true,
  steAction: (ste) => {
    const config = Number((ste[0]! >> 1n) & 7n);
    if (!(ste[0]! & 1n) || config < 4) return 'abort';
    if (config === 4) return 'bypass';
    return config === 5 ? 'translate' : 'invalid';
  },
  nestedWords: (ste) => [ste[0]! & STE_MASK[0], ste[1]! & STE_MASK[1]],
  makesVdevice: () => true,
  gbpaMovesDevices: () => true,
  smmuenMovesDevices: () => false,
};
