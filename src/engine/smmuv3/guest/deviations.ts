import { cfgiCd, nhVa } from './commands.ts';
import { splitRange, tooBigForRange } from './range.ts';
import { type GuestRules, guestRules } from './rules.ts';

/** One rule broken on purpose. */
type DeviationOf<K extends keyof GuestRules> = {
  readonly name: string;
  readonly rule: K;
  readonly about: string;
  readonly instead: GuestRules[K];
};

export type GuestDeviation = { [K in keyof GuestRules]: DeviationOf<K> }[keyof GuestRules];

/** Names start with `guest.`; `about` is what a reader is told. */
export const guestDeviations: readonly GuestDeviation[] = [
  {
    name: 'guest.no-tlbi',
    rule: 'unmapTlbi',
    about: 'Unmapping clears the page table but sends no TLBI: the IOTLB keeps the old translation.',
    instead: () => [],
  },
  {
    name: 'guest.no-atc-inv',
    rule: 'unmapAtc',
    about:
      'Unmapping sends the TLBI but no ATC_INV: the device goes on with the translation in its own cache. ' +
      'Before Linux 6.17 (685ca577b408) a wrong count of the domain’s ATS devices had this effect.',
    instead: () => [],
  },
  {
    name: 'guest.leaf-only-walk-flush',
    rule: 'walkTlbi',
    about:
      'When a whole table is unlinked the TLBI has Leaf=1: cached table entries still lead into a page that the guest ' +
      'uses for something else.',
    instead: (f) =>
      tooBigForRange(f, f.ril)
        ? guestRules.walkTlbi(f)
        : splitRange(f, true, f.page, f.ril).map((r) => nhVa(f.asid, r, true)),
  },
  {
    name: 'guest.no-walk-flush',
    rule: 'walkTlbi',
    about: 'An unlinked table is given back without any TLBI: cached walks still read it.',
    instead: () => [],
  },
  {
    name: 'guest.atc-before-tlbi',
    rule: 'flushOrder',
    about:
      'ATC_INV goes out before the TLBI: a device that asks again in between is answered from the IOTLB and caches the old ' +
      'translation once more.',
    instead: (tlbi, atc) => [atc, tlbi],
  },
  {
    name: 'guest.queued-no-atc-inv',
    rule: 'flushQueueAtc',
    about: 'Emptying the flush queue invalidates the ASID in the IOTLB but no ATC.',
    instead: () => [],
  },
  {
    name: 'guest.entry-in-one-go',
    rule: 'entrySteps',
    about:
      'STEs and CDs are rewritten word by word with one invalidation at the end: hardware that reads in between sees half of ' +
      'each, and never a moment without V.',
    instead: (_kind, _current, target) => [target.map((w, i) => [i, w] as const)],
  },
  {
    name: 'guest.no-cfgi-cd',
    rule: 'cdSync',
    about: 'A changed context descriptor is not invalidated: the SMMU goes on with the CD it has cached.',
    instead: () => [],
  },
  {
    name: 'guest.cfgi-cd-one-stream',
    rule: 'cdSync',
    about:
      'CDs are cached for each StreamID, not for each table: with a CD table shared by two devices, CFGI_CD for the one ' +
      'that caused the change leaves the other with the old CD.',
    instead: (_sids, ssid, writer) => [cfgiCd(writer, ssid)],
  },
  {
    name: 'guest.no-cfgi-ste',
    rule: 'steSync',
    about: 'A changed STE is not announced: the VMM never reads it, and the host goes on with the old nested domain.',
    instead: () => [],
  },
  {
    name: 'guest.no-atc-inv-on-attach',
    rule: 'attachAtc',
    about: 'A device changes its domain and keeps the old one’s translations in its ATC.',
    instead: () => [],
  },
  {
    name: 'guest.no-asid-flush',
    rule: 'detachAsid',
    about:
      'The last device leaves a domain and its ASID is not flushed. From nested to nested the host sends no TLBI of its own, ' +
      'so the entries wait for whoever gets the ASID next.',
    instead: () => [],
  },
];

/**
 * The rules with the named deviations in place. Names of other actors are skipped, since a document lists all of them together.
 * @throws Error for a `guest.` name that does not exist
 */
export function guestRulesWith(names: readonly string[]): GuestRules {
  const rules: GuestRules = { ...guestRules };
  for (const name of names.filter((n) => n.startsWith('guest.'))) {
    const d = guestDeviations.find((x) => x.name === name);
    if (!d) throw new Error(`no deviation is named ${name}; known: ${guestDeviations.map((x) => x.name).join(', ')}`);
    Object.assign(rules, { [d.rule]: d.instead });
  }
  return rules;
}
