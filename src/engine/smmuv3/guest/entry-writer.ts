import { type Op, pause } from '../../machine/index.ts';
import { writeEntry as changes, readEntry, wordsText } from '../host/entry.ts';
import { cdLayout, steLayout } from '../layout/index.ts';
import type { Command } from './commands.ts';
import { submit } from './queue.ts';
import type { Unit } from './state.ts';

/** One STE or CD that is to become `target`. `sync` gives the commands after each group of words. */
export interface EntryChange {
  readonly kind: 'ste' | 'cd';
  readonly at: string;
  readonly address: number;
  readonly target: readonly bigint[];
  readonly title: string;
  sync(): Command[];
}

/** arm_smmu_write_entry: in groups that hardware may see one by one, each followed by its invalidation (arm-smmuv3.md 6.1). */
export function* writeEntry(u: Unit, c: EntryChange): Op<void> {
  const { memory, rules, trace } = u.kernel;
  const steps = rules.entrySteps(c.kind, readEntry(memory, c.address), c.target);
  for (const changed of changes(memory, c.address, steps)) {
    trace.listener?.({
      kind: 'table.write',
      actor: 'guest',
      at: c.at,
      space: 'guest',
      address: c.address,
      words: readEntry(memory, c.address),
      layout: c.kind === 'ste' ? steLayout.id : cdLayout.id,
      text: `${c.title}: ${wordsText(changed)} written`,
    });
    yield pause('guest', 'table.write');
    yield* submit(u, c.sync());
  }
}
