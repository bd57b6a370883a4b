import { faultPerm, type MachineRules, machineRules, type PageFault } from '../../vmm/index.ts';
import { encodeEvent, opcodes } from '../layout/index.ts';

/** What becomes of a command that the model could pass on. */
export type Forwarding = 'forward' | 'consume' | 'illegal';

export interface ForwardQuery {
  readonly opcode: number;
  /** IDR0.ATS of the vSMMU. */
  readonly ats: boolean;
  /** CR0.SMMUEN of the vSMMU. */
  readonly enabled: boolean;
  /** The command names a StreamID and a plugged device has it. */
  readonly known: boolean;
  /** That device has a vDEVICE. */
  readonly vdevice: boolean;
}

export type SteAction = 'abort' | 'bypass' | 'translate' | 'invalid';

/** Where a batch of commands may have to end. */
export type BatchEnd = 'sync' | 'local' | 'empty';

/**
 * What QEMU's accelerated SMMUv3 decides, one rule for each decision (hw/arm/smmuv3.c, smmuv3-accel.c, hw/vfio/iommufd.c).
 * The rules of page faults and of batches are those of a careful VMM, since QEMU has neither. A deviation replaces one by
 * name.
 */
export interface VmmRules extends MachineRules {
  /** CFGI_CD*, TLBI_NH_*, TLBI_NSNH_ALL, ATC_INV: into an ioctl, dropped, or CERROR_ILL. */
  forward(q: ForwardQuery): Forwarding;
  /** The commands that reach the kernel for one guest command. */
  hostCommands(words: readonly bigint[]): readonly (readonly bigint[])[];
  /** Does a batch of commands end at a CMD_SYNC, at a command that the VMM handles itself, or at the end of the queue? */
  endsBatch(at: BatchEnd): boolean;
  /** A batch failed, the kernel says that `done` were done: send all of it again one by one, or believe that. */
  afterBatchError(): 'resend' | 'trust';
  /** A CMD_SYNC with that completion signal. */
  sync(cs: number): 'complete' | 'illegal';

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
  /** The device moves to its new HWPT before the old one is destroyed, or after. */
  replaceOrder(): 'attach-first' | 'destroy-first';

  /** A GBPA update moves all devices to the abort or bypass HWPT. */
  gbpaMovesDevices(): boolean;
  /** CR0.SMMUEN changed: leave the devices where they are, or install what the new setting means. */
  smmuenMovesDevices(): boolean;
  /** A write of CMDQ_CONS while the queue is off changes it. */
  consWritable(): boolean;

  /** An unplugged device's vDEVICE is destroyed. */
  freesVdevice(): boolean;

  /** What an event read that brings nothing puts into the guest's queue. */
  emptyRead(): readonly bigint[] | null;
  /** The guest's event record for a stalled transaction. */
  faultRecord(f: Pick<PageFault, 'pasid' | 'perm' | 'address'>, vsid: number, stag: number): bigint[];
  /** A virtual tag that no waiting fault has. `last` is the one given last. */
  nextStag(last: number, used: ReadonlySet<number>): number;
  /** Stalled events wait until the guest's event queue has room. */
  keepsStalls(): boolean;
  /** What a guest's CMD_RESUME with these Ac and Ab answers: SUCCESS 0, INVALID 1, or nothing. */
  resumeCode(ac: boolean, ab: boolean): 0 | 1 | null;
  /** CMD_STALL_TERM answers every waiting fault of the stream. */
  stallTermAnswers(): boolean;
  /** Faults of an attachment that has ended are forgotten: the kernel has answered them. */
  forgetsFaults(): boolean;
}

/** V, Config, S1Fmt, S1ContextPtr, S1CDMax; S1DSS, S1CIR, S1COR, S1CSH, S1STALLD, EATS: what the kernel accepts. */
export const STE_MASK = [0xf80fffffffffffffn, 0x00000000380000ffn] as const;

const bySid = new Set([opcodes['CFGI_CD'], opcodes['CFGI_CD_ALL'], opcodes['ATC_INV']]);
const STAGS = 0x10000;
/** CLASS: the input address of the stage. */
const CLASS_IN = 2;

export const vmmRules: VmmRules = {
  ...machineRules,
  forward: (q) => {
    if (!bySid.has(q.opcode)) return 'forward';
    if (!q.known || !q.vdevice) return 'consume';
    return q.opcode === opcodes['ATC_INV'] && !q.ats ? 'consume' : 'forward';
  },
  hostCommands: (words) => [words],
  endsBatch: () => true,
  afterBatchError: () => 'resend',
  sync: () => 'complete',

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
  replaceOrder: () => 'attach-first',

  gbpaMovesDevices: () => true,
  smmuenMovesDevices: () => false,
  consWritable: () => true,

  freesVdevice: () => true,

  emptyRead: () => null,
  faultRecord: (f, vsid, stag) =>
    encodeEvent('F_TRANSLATION', {
      SID: vsid,
      ...(f.pasid === null ? {} : { SSV: 1, SSID: f.pasid }),
      STAG: stag,
      Stall: 1,
      RnW: f.perm & faultPerm.write ? 0 : 1,
      InD: f.perm & faultPerm.exec ? 1 : 0,
      PnU: f.perm & faultPerm.priv ? 1 : 0,
      CLASS: CLASS_IN,
      InputAddr: f.address,
    }),
  nextStag: (last, used) => {
    // Not the lowest free one: the guest may still answer an old record whose fault is gone.
    let tag = (last + 1) % STAGS;
    while (used.has(tag)) tag = (tag + 1) % STAGS;
    return tag;
  },
  keepsStalls: () => true,
  resumeCode: (ac) => (ac ? 0 : 1),
  stallTermAnswers: () => true,
  forgetsFaults: () => true,
};
