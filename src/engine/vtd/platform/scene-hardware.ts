import type { TranslationCache } from '../../cache/index.ts';
import type { Hazard, SceneCache, SceneObject } from '../../machine/index.ts';
import { cacheOf, type Draft, deviceObject, entries, queueView, staleIn } from '../../platform/index.ts';
import type { ConfigCacheName } from '../hardware/cache-text.ts';
import { cacheColumns, configCells, deviceId, translationCells } from '../hardware/index.ts';
import { pasidObjects, pasidRefs } from './entries.ts';
import { frcdObject } from './faults.ts';
import type { Parts, Unit } from './parts.ts';
import { invalidationRing, queueError, type Ring, requestQueue, ringText } from './rings.ts';
import { rootLines } from './root-text.ts';

const TES = 1n << 31n;
const QIES = 1n << 26n;
/** What is to be seen of one physical unit and the devices behind it. */
export function hardwareObjects(p: Parts, u: Unit, hazards: readonly Hazard[]): SceneObject[] {
  const { ids, caches } = u.iommu;
  const reg = (n: string): bigint => u.iommu.readRegister(n);
  const out: SceneObject[] = [];
  const section = p.units.length > 1 ? { section: u.name } : {};
  const add = (o: Draft): void => {
    out.push({ band: 'hardware', refs: [], ...section, ...o });
  };
  const on = (reg('GSTS_REG') & TES) !== 0n;
  add({
    id: ids.unit,
    type: 'VT-d unit',
    title: 'VT-d unit',
    lines: [on ? 'enabled' : 'disabled', `MGAW ${u.iommu.features.mgaw}`],
    refs: on ? [{ to: ids.root }] : [],
  });
  const ring = (id: string, type: string, r: Ring, error = ''): Draft => ({
    id,
    type,
    title: type,
    lines: [ringText(r, error)],
    ...(p.memory.contains(r.base, r.size * r.kind.words * 8)
      ? { queue: queueView(p.memory, r.kind, r, error === 'IQE') }
      : {}),
  });
  if (reg('GSTS_REG') & QIES) add(ring(ids.iq, 'IQ', invalidationRing(reg), queueError(reg)));
  else add({ id: ids.iq, type: 'IQ', title: 'IQ', lines: ['off'] });
  // Without a device that sends page requests the queue stays empty for ever.
  if (u.devices.some((d) => d.priCapable) || reg('PQT_REG') !== 0n)
    add(
      reg('PQA_REG') === 0n
        ? { id: ids.prq, type: 'PRQ', title: 'PRQ', lines: ['off'] }
        : ring(ids.prq, 'PRQ', requestQueue(reg), reg('PRS_REG') & 2n ? 'PRO' : ''),
    );
  add(frcdObject(ids.frcd, 'FRCD', reg));
  add({ id: ids.root, type: 'Root table', title: 'Root table', lines: rootLines(reg('RTADDR_REG')) });
  const { kernel } = p.drivers;
  const index = p.units.indexOf(u);
  if (u.probed())
    for (const d of kernel.state.devices)
      if (d.unit === index) for (const o of pasidObjects(kernel, d, '', () => [])) add(o);

  const config = (id: string, name: ConfigCacheName, of: Iterable<Parameters<typeof configCells>[1]>): void => {
    const stale = staleIn(hazards, id);
    const rows = [...of].map((e) => ({ id: e.uid, cells: configCells(name, e), stale: stale.has(e.uid) }));
    const title = `${name} cache`;
    add({ id, type: title, title, lines: entries(rows.length), cache: { columns: cacheColumns[name]!, rows } });
  };
  const rows = (c: TranslationCache, at: string): SceneCache =>
    cacheOf(c, cacheColumns[c.name]!, (i) => translationCells(c, i), staleIn(hazards, at));
  const cache = (id: string, title: string, c: TranslationCache): void =>
    add({ id, type: c.name, title, lines: entries(c.size), cache: rows(c, id) });
  cache(ids.iotlb, 'IOTLB', caches.iotlb);
  config(ids.context, 'Context', caches.context.values());
  config(
    ids.pasid,
    'PASID',
    [...caches.pasid.values()].flatMap((of) => [...of.values()]),
  );
  cache(ids.fswalk, 'FS walk cache', caches.fswalk);
  cache(ids.sswalk, 'SS walk cache', caches.sswalk);
  for (const d of u.devices) {
    const known = u.probed() ? kernel.state.devices.find((x) => x.name === d.name) : undefined;
    const refs = known ? pasidRefs(kernel, known) : [];
    add(deviceObject(d, '', refs, rows(d.atc, deviceId(d))));
  }
  return out;
}
