import { A, ATTR, B, inputOf, LEVEL, outputOf, SHIFT, sizeText, type TranslationCache } from '../../cache/index.ts';
import { NO_PASID } from '../../pci/index.ts';
import { permText, pgttNames } from '../hardware/cache-text.ts';
import { PGTT_SHIFT } from '../hardware/iotlb-tags.ts';
import type { Parts, Unit } from './parts.ts';

type Entry = { readonly cache: string; readonly fields: Readonly<Record<string, bigint | string>> };

/** Fields of each cache's entries, for `cached` and `notCached` of a document. */
export const cachedFields: Readonly<Record<string, readonly string[]>> = {
  IOTLB: ['unit', 'did', 'pasid', 'type', 'addr', 'pa', 'size', 'perm'],
  'FS walk': ['unit', 'did', 'pasid', 'addr', 'table', 'level'],
  'SS walk': ['unit', 'did', 'pasid', 'gpa', 'table', 'level'],
  Context: ['unit', 'rid', 'did'],
  PASID: ['unit', 'rid', 'pasid', 'did', 'type'],
  ATC: ['unit', 'device', 'pasid', 'addr', 'pa', 'size', 'perm'],
};

/** Every entry of every cache, by the fields above. */
export const cachedEntries = (p: Parts): Entry[] => p.units.flatMap(entriesOf);

function entriesOf({ name, iommu, devices }: Unit): Entry[] {
  const out: Entry[] = [];
  const add = (cache: string, fields: Entry['fields']): void => {
    out.push({ cache, fields: { unit: name, ...fields } });
  };
  const each = (c: TranslationCache, fields: (i: number) => Entry['fields']): void =>
    c.forEach((i) => {
      add(c.name, fields(i));
    });
  const { context, pasid, iotlb, fswalk, sswalk } = iommu.caches;
  const tags = (c: TranslationCache, i: number) => ({ did: BigInt(c.e[i + A]!), pasid: BigInt(c.e[i + B]!) });
  const table = (c: TranslationCache, i: number) => ({ table: outputOf(c, i), level: BigInt(c.e[i + LEVEL]!) });
  const page = (c: TranslationCache, i: number) => ({
    addr: inputOf(c, i),
    pa: outputOf(c, i),
    size: sizeText(c.e[i + SHIFT]!),
  });
  each(iotlb, (i) => ({
    ...tags(iotlb, i),
    ...page(iotlb, i),
    type: pgttNames[iotlb.e[i + ATTR]! >> PGTT_SHIFT]!,
    perm: permText(iotlb.e[i + ATTR]!),
  }));
  each(fswalk, (i) => ({ ...tags(fswalk, i), addr: inputOf(fswalk, i), ...table(fswalk, i) }));
  each(sswalk, (i) => ({ ...tags(sswalk, i), gpa: inputOf(sswalk, i), ...table(sswalk, i) }));
  for (const e of context.values()) add('Context', { rid: BigInt(e.rid), did: BigInt(e.did) });
  for (const of of pasid.values())
    for (const e of of.values())
      add('PASID', {
        rid: BigInt(e.rid),
        pasid: BigInt(e.pasid),
        did: BigInt(e.did),
        type: pgttNames[e.pgtt] ?? 'illegal',
      });
  for (const d of devices)
    each(d.atc, (i) => ({
      ...page(d.atc, i),
      device: d.name,
      pasid: d.atc.e[i + B] === NO_PASID ? 'none' : BigInt(d.atc.e[i + B]!),
      perm: `${d.atc.e[i + ATTR]! & 1 ? 'r' : '-'}${d.atc.e[i + ATTR]! & 2 ? 'w' : '-'}`,
    }));
  return out;
}
