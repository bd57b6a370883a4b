import { hexPlain } from '../../bits/index.ts';
import { A, B, GLOBAL, SHIFT } from '../../cache/index.ts';
import type { Operation } from '../../machine/index.ts';
import { NO_PASID } from '../../pci/index.ts';
import { inputOf } from '../hardware/index.ts';
import type { Parts } from './parts.ts';

interface Action {
  readonly title: string;
  readonly operation: Operation;
}

const invalidate = (name: string, fields: Record<string, number | bigint>): Operation => ({
  do: 'guest.invalidate',
  command: { name, ...Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, hexPlain(v)])) },
});

/** Next free 4 KiB input address of a domain and next unused guest page, for the map that a person most likely wants. */
function freshPage(p: Parts, domain: string): { iova: string; gpa: string } {
  const maps = p.guest.views().domains.flatMap((d) => d.mappings.map((m) => ({ ...m, domain: d.name })));
  const top = (of: number[], first: number): number => of.reduce((a, b) => Math.max(a, b), first);
  const iova = top(
    maps.filter((m) => m.domain === domain).map((m) => m.iova + m.size),
    0x10000,
  );
  const gpa = top(
    maps.map((m) => m.gpa + m.size),
    p.spec.guest.base + 0x200000,
  );
  return { iova: hexPlain(iova), gpa: hexPlain(gpa) };
}

/** What a person may want to do with an object, with all fields filled in. */
export function actionsFor(p: Parts, id: string, part?: { row?: number }): Action[] {
  const [band, kind, name] = id.split('.') as [string, string, string | undefined];
  const v = p.guest.views();
  if (band === 'guest' && kind === 's1' && name) return domainActions(p, name);
  if (kind === 'device' && name) return deviceActions(p, name, part);
  if (band === 'guest' && kind === 'ste') {
    const d = v.devices.find((x) => hexPlain(x.vsid) === name);
    return d
      ? [
          { title: 'Send CFGI_STE for it', operation: invalidate('CFGI_STE', { SID: d.vsid, Leaf: 1 }) },
          ...attachActions(p, d.name),
        ]
      : [];
  }
  if (band === 'guest' && kind === 'cdtable' && name) {
    const d = v.devices.find((x) => x.name === name);
    return d ? [{ title: 'Send CFGI_CD for it', operation: invalidate('CFGI_CD', { SID: d.vsid, Leaf: 1 }) }] : [];
  }
  if (id === 'guest.cmdq')
    return [
      { title: 'Send CMD_SYNC', operation: invalidate('SYNC', { CS: 2 }) },
      { title: 'Send TLBI_NSNH_ALL', operation: invalidate('TLBI_NSNH_ALL', {}) },
    ];
  if (id === 'hw.iotlb') return iotlbActions(p, part);
  if (id === 'kernel.driver' || id === 'vmm.devices')
    return [
      {
        title: 'Add guest memory',
        operation: {
          do: 'vmm.map',
          gpa: hexPlain(p.spec.guest.base + p.spec.guest.memory + 0x1000_0000),
          size: '2MiB',
        },
      },
    ];
  if (id.startsWith('kernel.obj.'))
    return [{ title: 'IOMMU_DESTROY', operation: { do: 'ioctl', call: 'IOMMU_DESTROY', in: { id: Number(name) } } }];
  return [];
}

function domainActions(p: Parts, domain: string): Action[] {
  const s = p.guest.views().domains.find((x) => x.name === domain);
  if (!s) return [];
  const out: Action[] = [
    { title: 'Map a page here', operation: { do: 'guest.map', domain, ...freshPage(p, domain), size: '4KiB' } },
  ];
  for (const m of s.mappings.slice(-4))
    out.push({
      title: `Unmap ${hexPlain(m.iova)}`,
      operation: { do: 'guest.unmap', domain, iova: hexPlain(m.iova), size: hexPlain(m.size) },
    });
  out.push({ title: 'Send TLBI_NH_ASID', operation: invalidate('TLBI_NH_ASID', { ASID: s.asid }) });
  if (s.queued > 0) out.push({ title: 'Flush the queue', operation: { do: 'guest.flush', domain } });
  return out;
}

function attachActions(p: Parts, device: string): Action[] {
  const now = p.guest.views().devices.find((d) => d.name === device)?.domain;
  return ['dma0', 'bypass', 'blocked']
    .filter((d) => d !== now)
    .map((domain) => ({ title: `Attach to ${domain}`, operation: { do: 'guest.attach', device, domain } }));
}

function deviceActions(p: Parts, device: string, part?: { row?: number }): Action[] {
  const d = p.devices.find((x) => x.name === device);
  const g = p.guest.views().devices.find((x) => x.name === device);
  if (!d) return [];
  const out: Action[] = [];
  const row = part?.row === undefined ? -1 : d.atc.indexOf(part.row);
  if (row >= 0) {
    const pasid = d.atc.e[row + B] === NO_PASID ? {} : { SSV: 1, SSID: d.atc.e[row + B]! };
    out.push({
      title: 'Send ATC_INV for it',
      operation: invalidate('ATC_INV', {
        SID: d.vrid,
        ...(pasid as Record<string, number>),
        Size: d.atc.e[row + SHIFT]! - 12,
        Address: inputOf(d.atc, row),
      }),
    });
  }
  const map = p.guest
    .views()
    .domains.find((x) => x.name === g?.domain)
    ?.mappings.at(-1);
  const iova = hexPlain(map?.iova ?? 0x10000);
  const ats = d.atsEnabled ? { ats: 'translated' } : {};
  out.push(
    { title: `Read ${iova}`, operation: { do: 'device.dma', device, iova, access: 'read', ...ats } },
    { title: `Write ${iova}`, operation: { do: 'device.dma', device, iova, access: 'write', ...ats } },
  );
  if (d.atsEnabled)
    out.push({ title: `Ask for a translation of ${iova}`, operation: { do: 'device.ats', device, iova } });
  if (d.atc.size > 0)
    out.push({ title: 'Send ATC_INV for all', operation: invalidate('ATC_INV', { SID: d.vrid, Size: 52 }) });
  return [...out, ...attachActions(p, device)];
}

function iotlbActions(p: Parts, part?: { row?: number }): Action[] {
  const c = p.smmu.caches.iotlb;
  const i = part?.row === undefined ? -1 : c.indexOf(part.row);
  if (i < 0) return [{ title: 'Send TLBI_NSNH_ALL', operation: invalidate('TLBI_NSNH_ALL', {}) }];
  const address = inputOf(c, i);
  if (c.e[i + A] === 0x10000) return [];
  const asid = c.e[i + B]!;
  const one: Action =
    asid === GLOBAL
      ? { title: 'Send TLBI_NH_VAA for it', operation: invalidate('TLBI_NH_VAA', { Address: address, Leaf: 1 }) }
      : {
          title: 'Send TLBI_NH_VA for it',
          operation: invalidate('TLBI_NH_VA', { ASID: asid, Address: address, Leaf: 1 }),
        };
  return asid === GLOBAL
    ? [one]
    : [one, { title: `Send TLBI_NH_ASID ${asid}`, operation: invalidate('TLBI_NH_ASID', { ASID: asid }) }];
}
