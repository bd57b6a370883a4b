import { address, device, number, size, withDefault } from './field.ts';
import { operation } from './operation.ts';
import { ram, whichGuest } from './shared-fields.ts';

/** What a VMM does: each is a sequence of ioctls, visible in the trace as such. */
export const vmmOperations = [
  operation(
    'vmm.start',
    'vmm',
    'Start the VMM',
    'Opens iommufd, makes the address space and maps the guest’s memory.',
    { guest: whichGuest() },
  ),
  operation('vmm.plug', 'vmm', 'Plug a device', 'Binds a device, makes its vIOMMU objects and attaches it.', {
    guest: whichGuest(),
    device: device('Device to plug.'),
  }),
  operation('vmm.unplug', 'vmm', 'Unplug a device', 'Detaches a device and destroys its objects.', {
    guest: whichGuest(),
    device: device('Device to unplug.'),
  }),
  operation(
    'vmm.map',
    'vmm',
    'Map guest memory in stage 2',
    'Maps a piece of guest memory into the parent address space.',
    {
      guest: whichGuest(),
      gpa: address(`${ram}.`),
      size: withDefault(size('Bytes to map.'), '2MiB'),
    },
  ),
  operation(
    'vmm.unmap',
    'vmm',
    'Unmap guest memory in stage 2',
    'Unmaps pieces of guest memory from the parent address space under a running guest.',
    {
      guest: whichGuest(),
      gpa: address(`${ram}.`),
      size: withDefault(size('Bytes to unmap.'), '2MiB'),
    },
  ),
  operation(
    'vmm.queue',
    'vmm',
    'Give the guest a hardware queue',
    'Hands a command queue of the physical IOMMU to the guest.',
    {
      guest: whichGuest(),
      index: withDefault(number('Index of the queue.', { max: 127n }), 0),
      gpa: address(`${ram} of the queue’s ring.`),
      size: withDefault(size('Bytes of the ring.', { min: 32n, max: 1n << 24n }), '4KiB'),
    },
  ),
] as const;
