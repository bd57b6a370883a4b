import { encodeCommand, opcodes } from '../layout/index.ts';
import { type HostRules, hostRules } from './rules.ts';
import { vsteWantsAtsV619 } from './vste.ts';

/** One rule broken on purpose. */
type DeviationOf<K extends keyof HostRules> = {
  readonly name: string;
  readonly rule: K;
  readonly about: string;
  readonly instead: HostRules[K];
};

export type HostDeviation = { [K in keyof HostRules]: DeviationOf<K> }[keyof HostRules];

/** Names start with `host.`; `about` is what a reader is told. */
export const hostDeviations: readonly HostDeviation[] = [
  {
    name: 'host.no-safe-bits',
    rule: 'steSafe',
    about:
      'No bit of an STE may change while the SMMU looks at it, not even MEV or EATS. When the guest goes from translate with ' +
      'ATS to bypass two words differ and the writer clears V in between: DMA aborts. Linux before v7.0 (2781f2a930ab, ' +
      'f3c1d372dbb8, 7cad80048595).',
    instead: () => [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n],
  },
  {
    name: 'host.ste-in-one-go',
    rule: 'entrySteps',
    about:
      'All words of an entry are written in one group: hardware may read a mixture of the old entry and the new one.',
    instead: (_current, target) => [target.map((w, i) => [i, w] as const)],
  },
  {
    name: 'host.no-cfgi-ste',
    rule: 'steSync',
    about: 'A changed STE is not invalidated: the SMMU goes on with the one it has cached.',
    instead: () => [],
  },
  {
    name: 'host.unmap-no-nh-all',
    rule: 'invalidationsFor',
    about:
      'Unmapping from a nest parent sends TLBI_S2_IPA only. That leaves combined stage-1 and stage-2 entries in the IOTLB, ' +
      'so the guest’s devices still reach the page. VT-d had the same gap (VTD-01).',
    instead: (domain, sid, ats) =>
      hostRules.invalidationsFor(domain, sid, ats).filter((e) => e.type !== 'S2_VMID_S1_CLEAR'),
  },
  {
    name: 'host.unmap-no-atc-inv',
    rule: 'invalidationsFor',
    about:
      'Unmapping from a nest parent does not reach the ATCs: a device goes on with the translation it has. In Linux before ' +
      'v6.17 (685ca577b408) a wrong count of ATS devices had this effect; VT-d had it too (VTD-02).',
    instead: (domain, sid) => hostRules.invalidationsFor(domain, sid, false),
  },
  {
    name: 'host.unmap-atc-by-ipa',
    rule: 'invalidate',
    about:
      'Unmapping from a nest parent invalidates the ATCs at the IPA. An ATC is indexed by the guest’s own input addresses, ' +
      'so the wrong entries go.',
    instead: (e, r, c) =>
      e.type === 'ATS_FULL' ? hostRules.invalidate({ ...e, type: 'ATS' }, r, c) : hostRules.invalidate(e, r, c),
  },
  {
    name: 'host.one-batch',
    rule: 'endsBatch',
    about:
      'TLBI and ATC_INV go out in one batch with a single CMD_SYNC at its end: a device may be answered from the IOTLB before ' +
      'the TLBI is done, and caches the old translation once more.',
    instead: () => false,
  },
  {
    name: 'host.leaf-only-walk-flush',
    rule: 'invalidate',
    about: 'After a table was unlinked the TLBI has Leaf=1: cached table entries still lead into a page that is free.',
    instead: (e, r, c) => hostRules.invalidate(e, r, { ...c, leaf: true }),
  },
  {
    name: 'host.no-tag-flush',
    rule: 'tagFlush',
    about:
      'The last device leaves a domain and its VMID is not flushed: the next owner of the number finds old entries.',
    instead: () => [],
  },
  {
    name: 'host.no-atc-inv-on-attach',
    rule: 'attachAtc',
    about: 'A device moves to another domain and keeps the old one’s translations in its ATC.',
    instead: () => [],
  },
  {
    name: 'host.guest-vmid',
    rule: 'rewriteCommand',
    about: 'The VMID of a forwarded TLBI is left as the guest wrote it: the invalidation hits another tag, or none.',
    instead: (words, vmid, sidOf) => {
      const op = Number(words[0]! & 0xffn);
      const byVmid = [opcodes.TLBI_NH_ALL, opcodes.TLBI_NH_ASID, opcodes.TLBI_NH_VA, opcodes.TLBI_NH_VAA];
      return byVmid.includes(op) ? [...words] : hostRules.rewriteCommand(words, vmid, sidOf);
    },
  },
  {
    name: 'host.nsnh-all-as-is',
    rule: 'rewriteCommand',
    about:
      'A guest’s TLBI_NSNH_ALL goes out unchanged: it empties the TLB of every virtual machine. Correct, but costly.',
    instead: (words, vmid, sidOf) =>
      Number(words[0]! & 0xffn) === opcodes.TLBI_NSNH_ALL
        ? encodeCommand('TLBI_NSNH_ALL')
        : hostRules.rewriteCommand(words, vmid, sidOf),
  },
  {
    name: 'host.stage2-faults-to-guest',
    rule: 'eventGoesToGuest',
    about:
      'Stage-2 faults are reported to the guest, which learns where its memory is missing and can do nothing about it.',
    instead: (evt) => hostRules.eventGoesToGuest([evt[0]!, evt[1]! & ~(1n << 39n), ...evt.slice(2)]),
  },
  {
    name: 'host.v6.19-ats',
    rule: 'vsteWantsAts',
    about:
      'ATS is off under every vSTE that does not translate with EATS=1, also under bypass and abort. Linux up to v6.19.',
    instead: vsteWantsAtsV619,
  },
];

/**
 * The rules with the named deviations in place. Names of other actors are skipped, since a document lists all of them together.
 * @throws Error for a `host.` name that does not exist
 */
export function hostRulesWith(names: readonly string[]): HostRules {
  const rules: HostRules = { ...hostRules };
  for (const name of names.filter((n) => n.startsWith('host.'))) {
    const d = hostDeviations.find((x) => x.name === name);
    if (!d) throw new Error(`no deviation is named ${name}; known: ${hostDeviations.map((x) => x.name).join(', ')}`);
    Object.assign(rules, { [d.rule]: d.instead });
  }
  return rules;
}
