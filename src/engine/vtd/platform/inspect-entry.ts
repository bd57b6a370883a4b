import { hex, hexPlain } from '../../bits/index.ts';
import type { InspectedRecord, Inspection } from '../../machine/index.ts';
import { ridText } from '../../pci/index.ts';
import { type Base, fact } from '../../platform/index.ts';
import { contextLayout, contextLegacyLayout, pasidDirLayout, pasidLayout } from '../layout/index.ts';
import type { DeviceInfo, Kernel } from '../linux/index.ts';
import { contextOf, pasidsOf } from './entries.ts';
import { contextText, pasidText } from './entry-text.ts';

/** The context entry of a device, none where it has no context table. */
export function contextRecord(k: Kernel, d: DeviceInfo, title: string): InspectedRecord[] {
  const context = contextOf(k, d);
  if (!context) return [];
  const layout = context.words.length === 4 ? contextLayout : contextLegacyLayout;
  return [{ title, layout, ...context, space: k.space }];
}

/** The root table of a unit of the host: with the context entries of the devices behind it. */
export const inspectRoot = (k: Kernel, unit: number, base: Base, registers: readonly InspectedRecord[]): Inspection => {
  const devices = k.state.devices.filter((d) => d.unit === unit);
  return {
    ...base,
    records: [
      ...registers,
      ...devices.flatMap((d) => contextRecord(k, d, `Context entry of ${ridText(d.sid)} (${d.name})`)),
    ],
    facts: devices.map((d) => fact(ridText(d.sid), d.name, contextText(contextOf(k, d)?.words ?? [0n, 0n, 0n, 0n]))),
  };
};

/** A guest's context entry, or a PASID entry of the host or of a guest. */
export function inspectEntry(k: Kernel, id: string, base: Base): Inspection {
  const { space } = k;
  for (const d of k.state.devices) {
    const { ids } = k.units[d.unit]!;
    const of = `${d.name} (${ridText(d.sid)})`;
    if (id === ids.context(d.sid)) {
      return {
        ...base,
        title: `${base.title} of ${of}`,
        records: contextRecord(k, d, 'Context entry'),
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
          ...contextRecord(k, d, 'Context entry'),
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
