/** Events of the trace system `iommu`, which every vendor's driver shares. Source: Linux include/trace/events/iommu.h. */

import type { Event, EventParser } from './reader.ts';

const hex = (digits: string): string => `0x${BigInt(`0x${digits}`).toString(16)}`;

const event = (fields: Event['fields'], explain: string, at: string): Event => ({
  vendor: 'linux',
  arch: 'iommu',
  fields,
  explain,
  at,
  complete: true,
});

const DEV = '(?:dev=(\\S{1,64})\\s+)?';
const MAP = new RegExp(
  `^IOMMU:\\s*${DEV}iova=0x([0-9a-f]{1,16})(?:\\s+-\\s+0x([0-9a-f]{1,16}))?\\s+paddr=0x([0-9a-f]{1,16})\\s+size=(\\d{1,20})`,
  'i',
);
const UNMAP = new RegExp(
  `^IOMMU:\\s*${DEV}iova=0x([0-9a-f]{1,16})(?:\\s+-\\s+0x([0-9a-f]{1,16}))?\\s+size=(\\d{1,20})\\s+unmapped_size=(\\d{1,20})`,
  'i',
);
const FAULT = /^IOMMU:\s*(\S{1,64})\s+(\S{1,64})\s+iova=0x([0-9a-f]{1,16})\s+flags=0x([0-9a-f]{1,8})/i;
const DEVICE = /^IOMMU:\s*(?:groupID=(\d{1,6})\s+)?device=(\S{1,64})/;

const bytes = (n: string): string => `${n} bytes`;

const map: EventParser = (text) => {
  const m = MAP.exec(text);
  if (!m) return null;
  const iova = hex(m[2] as string);
  const paddr = hex(m[4] as string);
  return event(
    {
      ...(m[1] ? { dev: m[1] } : {}),
      iova,
      ...(m[3] ? { end: hex(m[3]) } : {}),
      paddr,
      size: Number(m[5]),
    },
    `${m[1] ? `For ${m[1]}, ` : ''}${bytes(m[5] as string)} at ${iova} were mapped to physical address ${paddr}.`,
    'kernel.driver',
  );
};

const unmap: EventParser = (text) => {
  const m = UNMAP.exec(text);
  if (!m) return null;
  const iova = hex(m[2] as string);
  const short = m[4] !== m[5];
  return event(
    {
      ...(m[1] ? { dev: m[1] } : {}),
      iova,
      ...(m[3] ? { end: hex(m[3]) } : {}),
      size: Number(m[4]),
      unmapped_size: Number(m[5]),
    },
    `${m[1] ? `For ${m[1]}, ` : ''}${bytes(m[5] as string)} at ${iova} were unmapped${short ? `, of ${bytes(m[4] as string)} that were asked for` : ''}.`,
    'kernel.driver',
  );
};

const fault: EventParser = (text) => {
  const m = FAULT.exec(text);
  if (!m) return null;
  const flags = Number.parseInt(m[4] as string, 16);
  const access = flags & 1 ? 'write' : 'read';
  const iova = hex(m[3] as string);
  return event(
    { driver: m[1], device: m[2], iova, flags: hex(m[4] as string), access },
    `The IOMMU reported a fault to the driver: a ${access} ${access === 'read' ? 'of' : 'to'} ${iova} by ${m[2]} (${m[1]}).`,
    'kernel.driver',
  );
};

const device =
  (what: string): EventParser =>
  (text) => {
    const m = DEVICE.exec(text);
    if (!m) return null;
    return event(
      { ...(m[1] ? { group: Number(m[1]) } : {}), device: m[2] },
      `Device ${m[2]} ${what}${m[1] ? ` ${m[1]}` : ''}.`,
      'kernel.driver',
    );
  };

export const iommuEvents: Readonly<Record<string, EventParser>> = {
  map,
  unmap,
  io_page_fault: fault,
  add_device_to_group: device('joined IOMMU group'),
  remove_device_from_group: device('left IOMMU group'),
  attach_device_to_domain: device('was attached to a domain'),
  detach_device_from_domain: device('was detached from its domain'),
};
