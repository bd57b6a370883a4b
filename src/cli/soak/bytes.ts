import type { Memory } from '../../engine/memory/index.ts';
import type { Random } from './random.ts';
import { smmuv3Machine } from './smmuv3-bytes.ts';
import { vtdMachine } from './vtd-bytes.ts';

/** Random words in tables, queues and registers of an IOMMU that devices use all the while. */

const EPISODE = 20_000;

/** A unit with memory and devices, as a vendor's part of the soak makes it. */
export interface ByteMachine {
  readonly memory: Memory;
  /** Makes tables, queues and registers what they were. */
  readonly restore: () => void;
  /** Any word into any register. */
  readonly register: () => void;
  /** A command of a real type with anything else, through the queue. */
  readonly command: () => void;
  /** One that waits for all before, without a queue. */
  readonly wait: () => void;
  /** A page of memory, those of tables more often. */
  readonly page: () => number;
  /** Some access of some device. @returns whether it arrived */
  readonly use: () => boolean;
}

const machines = { smmuv3: smmuv3Machine, vtd: vtdMachine } as const;

/** Vendors that the soak knows. */
export const vendors = ['smmuv3', 'vtd'] as const;
export type VendorName = (typeof vendors)[number];

/** One word somewhere. */
function scribble(r: Random, m: ByteMachine): void {
  const { memory } = m;
  switch (r.below(8)) {
    case 0:
      m.register();
      return;
    case 1:
      m.command();
      return;
    case 2:
      m.wait();
      return;
    default: {
      const at = m.page() * 4096 + 8 * r.below(r.once(3) ? 512 : 16);
      memory.writeWord(at, r.once(3) ? memory.readWord(at) ^ (1n << BigInt(r.below(64))) : r.word());
    }
  }
}

/** Writes `n` words, each followed by an access. @returns how many accesses arrived */
export function soakBytes(vendor: VendorName, r: Random, n: number, progress: (done: number) => void): number {
  let arrived = 0;
  let m = machines[vendor](r);
  for (let i = 0; i < n; i++) {
    if (i % EPISODE === EPISODE - 1) m = machines[vendor](r);
    // Otherwise all that is left after a while is wreckage.
    else if (r.once(200)) m.restore();
    scribble(r, m);
    if (m.use()) arrived++;
    progress(i + 1);
  }
  return arrived;
}
