import type { Change } from '../../trace/index.ts';
import { pasidLayout } from '../layout/index.ts';
import { type DeviceInfo, type Domain, pasidEntry } from '../linux/index.ts';
import type { Host } from './state.ts';

/** What user space gave for a nested page table, and what became of it in the PASID entry, for the trace. */
export function traceNestedEntry(h: Host, d: DeviceInfo, pasid: number, domain: Domain): void {
  const address = pasidEntry(h.kernel, d, pasid);
  if (domain.kind !== 'nested' || address === null || !h.trace.listener) return;
  const words = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => h.memory.readWord(address + i * 8));
  const hex = (n: bigint): string => `0x${n.toString(16)}`;
  const page = (w: bigint): bigint => (w >> 12n) << 12n;
  const changes: Change[] = [
    { field: 'FSPTPTR', from: `pgtbl_addr ${hex(domain.root)}`, to: hex(page(words[2]!)) },
    { field: 'FSPM', from: `addr_width ${domain.s1Width}`, to: String((words[2]! >> 2n) & 3n) },
    { field: 'SSPTPTR', from: '-', to: hex(page(words[0]!)) },
    { field: 'DID', from: '-', to: String(words[1]! & 0xffffn) },
  ];
  h.trace.listener({
    kind: 'record.rewrite',
    actor: 'driver',
    at: h.upcalls!.domainSceneId(domain.handle),
    to: h.kernel.units[d.unit]!.ids.root,
    layout: pasidLayout.id,
    words,
    changes,
    text: `first stage of the guest becomes PASID entry ${hex(BigInt(pasid))} of ${d.name}: ${changes
      .map((c) => `${c.field} ${c.from} → ${c.to}`)
      .join(', ')}`,
  });
}
