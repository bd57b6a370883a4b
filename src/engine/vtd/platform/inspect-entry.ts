import { hex, hexPlain } from '../../bits/index.ts';
import type { Inspection } from '../../machine/index.ts';
import { ridText } from '../../pci/index.ts';
import { type Base, fact } from '../../platform/index.ts';
import { contextLayout, contextLegacyLayout, pasidDirLayout, pasidLayout } from '../layout/index.ts';
import type { Kernel } from '../linux/index.ts';
import { contextOf, pasidsOf } from './entries.ts';
import { contextText, pasidText } from './entry-text.ts';

/** A context entry or a PASID entry of the host or of a guest. */
export function inspectEntry(k: Kernel, id: string, base: Base): Inspection {
  const { space } = k;
  for (const d of k.state.devices) {
    const { ids } = k.units[d.unit]!;
    const context = contextOf(k, d);
    const of = `${d.name} (${ridText(d.sid)})`;
    if (id === ids.context(d.sid)) {
      if (!context) return base;
      const layout = context.words.length === 4 ? contextLayout : contextLegacyLayout;
      return {
        ...base,
        title: `${base.title} of ${of}`,
        subtitle: contextText(context.words),
        records: [{ title: 'Context entry', layout, ...context, space }],
        facts: pasidsOf(k, d).map((e) => fact(`PASID ${hexPlain(e.pasid)}`, pasidText(e.words).text)),
      };
    }
    for (const e of pasidsOf(k, d)) {
      if (id !== ids.pasid(d.sid, e.pasid)) continue;
      const text = pasidText(e.words);
      const title = `${base.title} of ${of}`;
      if (e.address < 0) return { ...base, title, subtitle: 'its PASID table does not exist yet' };
      const directory = d.pasidTable!.directory + Math.floor(e.pasid / 64) * 8;
      return {
        ...base,
        title,
        subtitle: text.text,
        records: [
          {
            title: `PASID table entry ${hexPlain(e.pasid)}`,
            layout: pasidLayout,
            words: e.words,
            address: e.address,
            space,
          },
          {
            title: 'PASID directory entry',
            layout: pasidDirLayout,
            words: [k.bus.readWord(directory)],
            address: directory,
            space,
          },
        ],
        facts: [
          ...(text.present ? [fact('DID', String(text.did))] : []),
          ...(text.present && (text.type === 1 || text.type === 3)
            ? [fact('first stage', hex(text.fs), text.type === 3 ? 'a guest physical address' : undefined)]
            : []),
          ...(text.present && (text.type === 2 || text.type === 3) ? [fact('second stage', hex(text.ss))] : []),
        ],
      };
    }
  }
  return base;
}
