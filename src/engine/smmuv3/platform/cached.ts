import { A, ATTR, B, GLOBAL, LEVEL, SHIFT, type TranslationCache } from '../../cache/index.ts';
import { NO_PASID } from '../../pci/index.ts';
import { permText } from '../hardware/cache-text.ts';
import { EL2, inputOf, outputOf, sizeText } from '../hardware/index.ts';
import type { Parts, Unit } from './parts.ts';

type Entry = { readonly cache: string; readonly fields: Readonly<Record<string, bigint | string>> };

/** Fields of each cache's entries, for `cached` and `notCached` of a document. */
export const cachedFields: Readonly<Record<string, readonly string[]>> = {
  IOTLB: ['unit', 'vmid', 'asid', 'va', 'pa', 'size', 'perm'],
  'S1 walk': ['unit', 'vmid', 'asid', 'va', 'table', 'level'],
  'S2 TLB': ['unit', 'vmid', 'ipa', 'pa', 'size'],
  'S2 walk': ['unit', 'vmid', 'ipa', 'table', 'level'],
  STE: ['unit', 'sid', 'config', 'vmid'],
  CD: ['unit', 'sid', 'ssid', 'asid'],
  L1STD: ['unit', 'index'],
  L1CD: ['unit', 'sid', 'index'],
  ATC: ['unit', 'device', 'pasid', 'va', 'pa', 'size', 'perm'],
};

/** Every entry of every cache, by the fields above. */
export const cachedEntries = (p: Parts): Entry[] => p.units.flatMap(entriesOf);

function entriesOf({ name, iommu, devices }: Unit): Entry[] {
  const out: Entry[] = [];
  const add = (cache: string, fields: Entry['fields']): void => {
    out.push({ cache, fields: { unit: name, ...fields } });
  };
  const each = (c: TranslationCache, fields: (i: number) => Record<string, bigint | string>): void =>
    c.forEach((i) => {
      add(c.name, fields(i));
    });
  const { caches } = iommu;
  const vmid = (c: TranslationCache, i: number): bigint | string => (c.e[i + A] === EL2 ? 'EL2' : BigInt(c.e[i + A]!));
  const asid = (c: TranslationCache, i: number): bigint | string =>
    c.e[i + B] === GLOBAL ? 'any' : BigInt(c.e[i + B]!);
  const { iotlb, s1walk, s2tlb, s2walk } = caches;
  each(iotlb, (i) => ({
    vmid: vmid(iotlb, i),
    asid: asid(iotlb, i),
    va: inputOf(iotlb, i),
    pa: outputOf(iotlb, i),
    size: sizeText(iotlb.e[i + SHIFT]!),
    perm: permText(iotlb.e[i + ATTR]!),
  }));
  each(s1walk, (i) => ({
    vmid: vmid(s1walk, i),
    asid: asid(s1walk, i),
    va: inputOf(s1walk, i),
    table: outputOf(s1walk, i),
    level: BigInt(s1walk.e[i + LEVEL]!),
  }));
  each(s2tlb, (i) => ({
    vmid: vmid(s2tlb, i),
    ipa: inputOf(s2tlb, i),
    pa: outputOf(s2tlb, i),
    size: sizeText(s2tlb.e[i + SHIFT]!),
  }));
  each(s2walk, (i) => ({
    vmid: vmid(s2walk, i),
    ipa: inputOf(s2walk, i),
    table: outputOf(s2walk, i),
    level: BigInt(s2walk.e[i + LEVEL]!),
  }));
  for (const e of caches.ste.values())
    add('STE', { sid: BigInt(e.sid), config: BigInt(e.config), vmid: BigInt(e.vmid) });
  for (const of of caches.cd.values())
    for (const e of of.values()) add('CD', { sid: BigInt(e.sid), ssid: BigInt(e.ssid), asid: BigInt(e.asid) });
  for (const e of caches.l1std.values()) add('L1STD', { index: BigInt(e.key) });
  for (const e of caches.l1cd.values()) add('L1CD', { sid: BigInt(e.sid), index: BigInt(e.key % 16384) });
  for (const d of devices)
    each(d.atc, (i) => ({
      device: d.name,
      pasid: d.atc.e[i + B] === NO_PASID ? 'none' : BigInt(d.atc.e[i + B]!),
      va: inputOf(d.atc, i),
      pa: outputOf(d.atc, i),
      size: sizeText(d.atc.e[i + SHIFT]!),
      perm: `${d.atc.e[i + ATTR]! & 1 ? 'r' : '-'}${d.atc.e[i + ATTR]! & 2 ? 'w' : '-'}`,
    }));
  return out;
}
