import { hex } from '../bits/index.ts';
import { sizeText } from '../cache/index.ts';
import { type PciDevice, ridText } from '../pci/index.ts';
import { type GuestViews, guestOfDevice, type Machine } from './machine.ts';
import { type Fact, fact } from './scene-queue.ts';

/** Capabilities of a device on the bus, and the page requests that it waits for. */
export function deviceFacts(d: PciDevice): Fact[] {
  const pri = d.pri.enabled ? 'enabled' : d.pri.failed ? 'off after a failure' : 'off';
  return [
    fact('ATS', d.atsCapable ? (d.atsEnabled ? 'enabled' : 'capable, off') : 'not capable'),
    fact('ATC entries', String(d.atc.size)),
    fact('PASID bits', String(d.pasidBits), d.pasidBits > 0 ? (d.pasidEnabled ? 'enabled' : 'off') : undefined),
    ...(d.priCapable ? [fact('page requests', pri)] : []),
    ...d.pri
      .waiting()
      .map((g) =>
        fact(
          `page group ${g.group}`,
          `${g.pages} page${g.pages === 1 ? '' : 's'}`,
          g.closed ? 'waits for the answer' : 'not complete',
        ),
      ),
  ];
}

/**
 * What a device's guest has it attached to.
 * @param unit what its virtual unit is called
 * @param pasid a PASID as the vendor's specification writes it
 */
export function guestDeviceFacts(p: Machine, device: PciDevice, unit: string, pasid: (n: number) => string): Fact[] {
  const g = guestOfDevice(p, device);
  const d: GuestViews['devices'][number] | undefined = g.linux.views().devices.find((x) => x.name === device.name);
  return [
    fact('vRID', ridText(device.vrid)),
    ...(p.guests.length > 1 ? [fact('guest', g.name)] : []),
    ...(d && g.units.length > 1 ? [fact(unit, d.unit)] : []),
    fact('domain', d?.domain || 'none'),
    ...(d?.pasids ?? []).map((a) => fact(`PASID ${pasid(a.pasid)}`, a.name, a.kind)),
    fact('ATS', d?.atsEnabled ? 'on' : 'off'),
  ];
}

/** The mappings of a guest's page table. */
export const mapFacts = (maps: GuestViews['domains'][number]['mappings']): Fact[] =>
  maps.map((m) => {
    const shift = Math.log2(m.size);
    const size = Number.isInteger(shift) ? `${sizeText(shift)} ` : '';
    return fact(hex(m.iova), hex(m.gpa), `${size}${m.perm}`);
  });
