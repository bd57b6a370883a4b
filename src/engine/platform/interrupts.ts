import type { Op } from '../machine/index.ts';
import type { Machine } from './machine.ts';

/** Rounds after an operation; an event that causes another ends here at the latest. */
const ROUNDS = 64;

/** Some line is up. */
function raised(irq: Readonly<Record<string, boolean>>): boolean {
  for (const line in irq) if (irq[line]) return true;
  return false;
}

/**
 * Interrupts are served when what raised them has ended: the host's driver unit by unit, then VMM by VMM, then guest by
 * guest, until nothing is pending.
 */
export function* interrupts(p: Machine): Op<void> {
  for (let i = 0; i < ROUNDS; i++) {
    let served = false;
    for (const u of p.units) {
      // Without a driver nobody listens: a document may have set the registers up by itself.
      if (!raised(u.iommu.irq) || !u.probed()) continue;
      served = true;
      yield* u.driver.interrupt();
    }
    for (const g of p.guests) yield* g.vmm.pollEvents();
    for (const g of p.guests) {
      if (!g.vmm.units.some((u) => raised(u.irq))) continue;
      served = true;
      yield* g.linux.interrupt();
    }
    if (!served) return;
  }
}
