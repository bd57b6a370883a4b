import { opcodes } from '../layout/index.ts';
import { type VmmRules, vmmRules } from './rules.ts';

type DeviationOf<K extends keyof VmmRules> = {
  readonly name: string;
  readonly rule: K;
  readonly about: string;
  readonly instead: VmmRules[K];
};

export type VmmDeviation = { [K in keyof VmmRules]: DeviationOf<K> }[keyof VmmRules];

const dropping =
  (...names: string[]): VmmRules['forward'] =>
  (q) =>
    names.some((n) => opcodes[n] === q.opcode) ? 'consume' : vmmRules.forward(q);

/** Names start with `vmm.`; `about` is what a reader is told. */
export const vmmDeviations: readonly VmmDeviation[] = [
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
    name: 'vmm.cfgi-range-local',
    rule: 'rangeInstalls',
    about:
      'CFGI_STE_RANGE and CFGI_ALL empty the emulator’s cache but leave every device on its old nested HWPT, which is a cached ' +
      'STE in all but name. An early tree of QEMU’s accelerated SMMUv3 did so (fix 5a58a896fc).',
    instead: () => false,
  },
  {
    name: 'vmm.cfgi-range-unaligned',
    rule: 'steRange',
    about:
      'The StreamID of CFGI_STE_RANGE is taken as the first of the range instead of being aligned down (QEMU until 017a913af4, ' +
      '2021).',
    instead: (sid, range) => ({ start: sid, end: sid + 2 ** (range + 1) - 1 }),
  },
  {
    name: 'vmm.ste-unmasked',
    rule: 'nestedWords',
    about:
      'The guest’s STE goes to the kernel as it is: a field outside the allowed set (SHCFG, say) makes HWPT_ALLOC fail with EIO.',
    instead: (ste) => [ste[0]!, ste[1]!],
  },
  {
    name: 'vmm.no-vdevice',
    rule: 'makesVdevice',
    about:
      'No vDEVICE is made: attaching a translating nested HWPT fails with ENOENT, and the guest sees its CFGI_STE refused.',
    instead: () => false,
  },
  {
    name: 'vmm.gbpa-register-only',
    rule: 'gbpaMovesDevices',
    about: 'A GBPA update changes the register and nothing else: devices stay where they are.',
    instead: () => false,
  },
  {
    name: 'vmm.smmuen-moves-devices',
    rule: 'smmuenMovesDevices',
    about:
      'What QEMU does not do: when SMMUEN changes, every device is moved at once, by GBPA when it goes off and by its STE when it ' +
      'comes on.',
    instead: () => true,
  },
];

/**
 * The rules with the named deviations in place; names of other actors are skipped.
 * @throws Error for a `vmm.` name that does not exist
 */
export function vmmRulesWith(names: readonly string[]): VmmRules {
  const rules: VmmRules = { ...vmmRules };
  for (const name of names.filter((n) => n.startsWith('vmm.'))) {
    const d = vmmDeviations.find((x) => x.name === name);
    if (!d) throw new Error(`no deviation is named ${name}; known: ${vmmDeviations.map((x) => x.name).join(', ')}`);
    Object.assign(rules, { [d.rule]: d.instead });
  }
  return rules;
}
