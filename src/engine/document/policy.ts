/** Design alternatives of a platform: what each asks, its values, and the one that is built. */
export interface Policy {
  readonly about: string;
  readonly values: readonly string[] | 'count';
  /** Every value is modelled, not only the default. */
  readonly modelled?: true;
  /** What the kernel does today; undefined where a VMM decides. */
  readonly default: string | undefined;
}

export const policies = {
  nestedDomain: {
    about:
      'One nested domain for each device-table entry, or one shared by all entries with the same CD-table or GCR3 pointer.',
    values: ['per-device', 'per-table'],
    default: 'per-device',
  },
  deviceId: {
    about:
      'The kernel keeps a mapping from virtual to physical device ids, or the VMM directs each command to a device.',
    values: ['vdevice', 'none'],
    default: 'vdevice',
  },
  invalidation: {
    about: 'Which object an invalidation ioctl names: the vIOMMU, a nested domain, or a device.',
    values: ['viommu', 'hwpt', 'device'],
    default: 'viommu',
  },
  commandQueue: {
    about: 'Every guest command exits to the VMM, or the guest owns a hardware queue.',
    values: ['trapped', 'direct'],
    default: 'trapped',
  },
  vmid: {
    about: 'Who owns the cache tag of stage 2: each vIOMMU, or the parent domain.',
    values: ['per-viommu', 'per-parent'],
    default: 'per-parent',
  },
  batch: {
    about: 'How many guest commands one ioctl carries at most.',
    values: 'count',
    default: undefined,
  },
  pageFaults: {
    about:
      'Faults of the guest’s devices end the access, or a fault queue carries them to the guest, which lets the access go on.',
    values: ['terminated', 'forwarded'],
    default: 'terminated',
    modelled: true,
  },
  amdNesting: {
    about: 'AMD’s nesting as the kernel has it today, or completed as the posted series intend.',
    values: ['mainline', 'wired'],
    default: 'mainline',
  },
} as const satisfies Readonly<Record<string, Policy>>;

/**
 * @param own what a vendor's kernel does today where that is another value than the format's default
 * @returns why a policy cannot have this value now, undefined when it can
 */
export function policyProblem(
  name: string,
  value: string | number,
  own: Readonly<Record<string, string>> = {},
): string | undefined {
  const p: Policy | undefined = Object.hasOwn(policies, name) ? policies[name as keyof typeof policies] : undefined;
  const built = (Object.hasOwn(own, name) ? own[name] : undefined) ?? p?.default;
  if (!p || p.modelled || p.values === 'count' || value === built) return undefined;
  return `${JSON.stringify(built)}: the alternative ${JSON.stringify(value)} is not modelled yet`;
}
