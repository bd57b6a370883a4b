import type { Domain, Kernel } from '../linux/index.ts';

/** Short lines for a picture of a domain: what it is, where its table lies, its DID on each unit. */
export function domainLines(k: Kernel, d: Domain): readonly string[] {
  const [first, ...more] = what(d);
  if (k.units.length === 1) return [[first, ...d.dids.map((x) => `DID ${x.did}`)].join(' · '), ...more];
  return [first!, ...more, ...d.dids.map((x) => `DID ${x.did} on ${k.units[x.unit]!.name}`)];
}

function what(d: Domain): readonly string[] {
  switch (d.kind) {
    case 'nested':
      return ["guest's first stage, nested", `table at GPA 0x${d.root.toString(16)}, ${d.s1Width} bits`];
    case 'ss':
      return ['second stage', ...(d.nestParent ? ['nest parent'] : []), `${d.levels} levels`];
    case 'fs':
      return ['first stage', `${d.levels} levels`];
    case 'sva':
    case 'identity':
    case 'blocked':
      return [d.kind];
  }
}
