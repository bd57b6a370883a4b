import { opcodes } from '../layout/index.ts';
import type { VmmDeviation } from './deviation.ts';
import { type VmmRules, vmmRules } from './rules.ts';

const rangeOf = (w: readonly bigint[]): { pages: bigint; shift: bigint } | null => {
  const tg = (w[1]! >> 10n) & 3n;
  const isVa = [opcodes['TLBI_NH_VA'], opcodes['TLBI_NH_VAA']].includes(Number(w[0]! & 0xffn));
  if (tg === 0n || !isVa) return null;
  return { pages: (((w[0]! >> 12n) & 31n) + 1n) << ((w[0]! >> 20n) & 31n), shift: tg * 2n + 10n };
};
const pow2 = (n: bigint): bigint => {
  let p = 1n;
  while (p < n) p <<= 1n;
  return p;
};
const NUM_AND_SCALE = (31n << 12n) | (31n << 20n);

const dropping =
  (...names: string[]): VmmRules['forward'] =>
  (q) =>
    names.some((n) => opcodes[n] === q.opcode) ? 'consume' : vmmRules.forward(q);

/** How a VMM can lose, change or reorder the guest's invalidations. */
export const commandDeviations: readonly VmmDeviation[] = [
  {
    name: 'vmm.no-forward-atc',
    rule: 'forward',
    about: 'ATC_INV is consumed but never reaches the host: the guest believes that the device’s cache is clean.',
    instead: dropping('ATC_INV'),
  },
  {
    name: 'vmm.no-forward-cd',
    rule: 'forward',
    about: 'CFGI_CD only empties the emulator’s own cache; the physical SMMU keeps the old context descriptor.',
    instead: dropping('CFGI_CD', 'CFGI_CD_ALL'),
  },
  {
    name: 'vmm.forward-by-address-only',
    rule: 'forward',
    about:
      'Invalidations by address are passed on, those of a whole ASID or of everything are not. QEMU’s VT-d model had this gap ' +
      'until 3e090e3489 (2023).',
    instead: dropping('TLBI_NH_ASID', 'TLBI_NH_ALL', 'TLBI_NSNH_ALL'),
  },
  {
    name: 'vmm.atc-inv-unchecked',
    rule: 'forward',
    about:
      'ATC_INV is passed on although the vSMMU has IDR0.ATS = 0. A review of Cloud Hypervisor’s accelerated SMMUv3 asked for ' +
      'CERROR_ILL here; QEMU drops the command.',
    instead: (q) => vmmRules.forward({ ...q, ats: true }),
  },
  {
    name: 'vmm.atc-inv-strict',
    rule: 'forward',
    about:
      'What that review asked for, and QEMU does not do: ATC_INV is illegal with IDR0.ATS = 0, and ignored while SMMUEN is 0.',
    instead: (q) => {
      if (q.opcode !== opcodes['ATC_INV']) return vmmRules.forward(q);
      if (!q.ats) return 'illegal';
      return q.enabled ? vmmRules.forward(q) : 'consume';
    },
  },
  {
    name: 'vmm.range-as-mask',
    rule: 'hostCommands',
    about:
      'A range command becomes address and mask, as if it were one aligned power of two: 32 pages from 0xff395000 turn into ' +
      '0xff380000 to 0xff39ffff. QEMU’s model told its listeners so until 6d9cd115b9 and 219729cfbf (2021).',
    instead: (w) => {
      const r = rangeOf(w);
      if (!r) return [w];
      const bytes = pow2(r.pages << r.shift);
      const address = (w[1]! & ~0xfffn) - ((w[1]! & ~0xfffn) % bytes);
      return [[w[0]!, address | (w[1]! & 0xfffn)]];
    },
  },
  {
    name: 'vmm.granule-as-shift',
    rule: 'hostCommands',
    about:
      'The TG code of a range command (1: 4 KiB, 2: 16 KiB, 3: 64 KiB) is used as the shift itself, so that a range shrinks to ' +
      'a few bytes and one page is invalidated. QEMU until dcda883cd2 (2021).',
    instead: (w) => (rangeOf(w) ? [[w[0]! & ~NUM_AND_SCALE, w[1]!]] : [w]),
  },
  {
    name: 'vmm.all-asids-by-key',
    rule: 'hostCommands',
    about:
      'TLBI_NH_VAA is looked up by its key as TLBI_NH_VA is, with ASID 0, so entries of other ASIDs stay. QEMU’s own TLB did ' +
      'so until a4b6e1be2c (2021).',
    instead: (w) =>
      Number(w[0]! & 0xffn) === opcodes['TLBI_NH_VAA']
        ? [[(w[0]! & 0x0000ffffffffff00n) | BigInt(opcodes['TLBI_NH_VA']!), w[1]!]]
        : [w],
  },
  {
    name: 'vmm.batch-across-sync',
    rule: 'endsBatch',
    about:
      'A batch is sent only when it is full, and neither CMD_SYNC nor the end of the queue sends it (policy batch above 1): the ' +
      'guest sees its CMD_SYNC complete while the invalidations still wait.',
    instead: (at) => at === 'local',
  },
  {
    name: 'vmm.batch-overtaken',
    rule: 'endsBatch',
    about:
      'Commands that the VMM handles itself do not end a batch (policy batch above 1): a CFGI_STE moves the device before the ' +
      'invalidations that the guest sent earlier.',
    instead: (at) => at !== 'local',
  },
  {
    name: 'vmm.batch-trusts-index',
    rule: 'afterBatchError',
    about:
      'A failed batch counts as done up to the kernel’s entry_num (policy batch above 1). When a command could not be ' +
      'rewritten, those before it were not issued either: they are lost.',
    instead: () => 'trust',
  },
  {
    name: 'vmm.sync-cs3-illegal',
    rule: 'sync',
    about:
      'What the architecture asks for, and QEMU does not check: CMD_SYNC with the reserved CS = 3 is CERROR_ILL. OpenVMM added ' +
      'it in review (pull request 3557).',
    instead: (cs) => (cs === 3 ? 'illegal' : 'complete'),
  },
];
