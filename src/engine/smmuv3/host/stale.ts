import type { Bed } from './testbed.ts';

/** For tests: cached entries that a fresh walk would not give, as `IOTLB`, `CD`, `ATC nic0`. */
export function stale(b: Bed): string[] {
  const out: string[] = [];
  for (const { caches, audit } of b.smmus) {
    for (const e of caches.ste.values()) if (audit.config('STE', e).state === 'differs') out.push('STE');
    for (const of of caches.cd.values())
      for (const e of of.values()) if (audit.config('CD', e).state === 'differs') out.push('CD');
    for (const e of caches.l1std.values()) if (audit.config('L1STD', e).state === 'differs') out.push('L1STD');
    for (const e of caches.l1cd.values()) if (audit.config('L1CD', e).state === 'differs') out.push('L1CD');
    for (const c of caches.translation())
      c.forEach((i) => {
        if (audit.verdict(c, i).state === 'differs') out.push(c.name);
      });
    for (const d of b.devices)
      d.atc.forEach((i) => {
        if (audit.atc(d, i).state === 'differs') out.push(`ATC ${d.name}`);
      });
  }
  return [...new Set(out)].sort();
}
