import type { Op } from '../../machine/index.ts';
import type { Parts } from './parts.ts';

/** Rounds after an operation; an event that causes another ends here at the latest. */
const ROUNDS = 64;

/**
 * Interrupts are served when what raised them has ended: the host's driver unit by unit, then VMM by VMM, then guest by
 * guest, until nothing is pending.
 */
export function* interrupts(p: Parts): Op<void> {
  for (let i = 0; i < ROUNDS; i++) {
    let served = false;
    for (const { smmu, driver } of p.units) {
      const { irq } = smmu;
      // Without a driver nobody listens: a document may have set the registers up by itself.
      if (!(irq.evtq || irq.gerror || irq.priq) || driver.state.features === null) continue;
      served = true;
      yield* driver.interrupt();
    }
    for (const g of p.guests) yield* g.vmm.pollEvents();
    for (const g of p.guests) {
      if (!g.vmm.units.some((u) => u.irq.evtq || u.irq.gerror)) continue;
      served = true;
      yield* g.linux.interrupt();
    }
    if (!served) return;
  }
}
