import * as z from 'zod/mini';
import {
  address,
  amount,
  choice,
  device,
  flag,
  hex,
  json,
  optional,
  patterned,
  size,
  U64,
  withDefault,
} from './field.ts';
import { exactlyOne, operation } from './operation.ts';
import { domain, iova, pasid, process, ram, realDomain, whichGuest, whichVirtual } from './shared-fields.ts';

const command = () =>
  z.catchall(
    z.object(
      { name: patterned(/^[A-Z][A-Z0-9_]*$/, 'the name of a command') },
      { error: () => 'a command: an object with "name" and fields' },
    ),
    amount(0n, U64, true),
  );

/** A guest command after parsing. */
export interface CommandFields {
  /** As the vendor's layout spells it. */
  readonly name: string;
  readonly fields: Readonly<Record<string, bigint>>;
}

export const guestOperations = [
  operation(
    'guest.attach',
    'guest',
    'Attach a device to a domain',
    'The guest’s driver points the device’s table entry at a domain.',
    {
      guest: whichGuest(),
      device: device('Device to attach.'),
      domain: domain('Domain: a name of your choice makes one with a page table; bypass and blocked are special.', [
        'dma0',
        'bypass',
        'blocked',
      ]),
      pasid: optional(pasid('PASID that the domain gets; without it the domain takes the device’s ordinary accesses.')),
      cdTable: optional(device('Device whose context-descriptor table this one shares.')),
    },
  ),
  operation('guest.detach', 'guest', 'Detach a device', 'The guest’s driver takes the device out of its domain.', {
    guest: whichGuest(),
    device: device('Device to detach.'),
    pasid: optional(pasid('PASID to empty; without it the device leaves the domain of its ordinary accesses.')),
  }),
  operation(
    'guest.bind',
    'guest',
    'Bind a device to a process (SVA)',
    'The process’s own page table becomes the table of a PASID of the device.',
    {
      guest: whichGuest(),
      device: device('Device that shares the address space.'),
      process: process('Process: a name of your choice makes one.'),
      pasid: optional(pasid('PASID of the process; without it the lowest free one from 1 on.')),
    },
  ),
  operation(
    'guest.unbind',
    'guest',
    'Unbind a device from a process',
    'The PASID of the process stops translating for the device.',
    {
      guest: whichGuest(),
      device: device('Device that shares the address space.'),
      process: process('Process that it is bound to.'),
    },
  ),
  operation(
    'guest.exit',
    'guest',
    'End a process',
    'The process’s address space is torn down under the devices that share it.',
    {
      guest: whichGuest(),
      process: process('Process that ends.'),
    },
  ),
  operation('guest.map', 'guest', 'Map guest memory for devices', 'The guest’s driver writes page-table entries.', {
    guest: whichGuest(),
    domain: withDefault(realDomain('Domain, or process bound to a device, whose page table changes.'), 'dma0'),
    iova: iova('First input address to map.'),
    gpa: address(`${ram} that the range is mapped to.`),
    size: withDefault(size('Bytes to map.'), '4KiB'),
    perm: withDefault(choice('Access that the mapping allows.', ['r', 'w', 'rw']), 'rw'),
    present: withDefault(
      flag('For a process: whether the pages are there at once; else each is made at its first fault.'),
      true,
    ),
  }),
  operation(
    'guest.unmap',
    'guest',
    'Unmap guest memory',
    'The guest’s driver clears page-table entries and invalidates what may be cached.',
    {
      guest: whichGuest(),
      domain: withDefault(realDomain('Domain, or process bound to a device, whose page table changes.'), 'dma0'),
      iova: iova('First input address to unmap.'),
      size: withDefault(size('Bytes to unmap.'), '4KiB'),
      flush: withDefault(
        choice('Invalidate at once, put it off to the next flush, or forget it.', ['strict', 'queued', 'none']),
        'strict',
      ),
    },
  ),
  operation(
    'guest.flush',
    'guest',
    'Flush the queued unmaps',
    'The guest’s driver sends the invalidations that queued unmaps have put off.',
    {
      guest: whichGuest(),
      domain: optional(realDomain('Only this domain; without it all.')),
    },
  ),
  operation(
    'guest.invalidate',
    'guest',
    'Send one command on the guest’s queue',
    'One command exactly as given, then the doorbell.',
    {
      guest: whichGuest(),
      unit: whichVirtual(),
      command: optional(
        json<ReturnType<typeof command>, CommandFields>(
          'Command by name, with fields by the vendor’s names.',
          command(),
          'command',
        ),
      ),
      bytes: optional(hex('The command’s bytes in memory order, instead of `command`.', 256)),
    },
    exactlyOne('command', 'bytes'),
  ),
  operation(
    'guest.boot',
    'guest',
    'Boot the guest',
    'The guest’s driver probes the virtual IOMMU and switches it on.',
    { guest: whichGuest() },
  ),
] as const;
