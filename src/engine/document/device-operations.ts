import { choice, device, flag, number, optional, size, withDefault } from './field.ts';
import { operation } from './operation.ts';
import { iova, pasid } from './shared-fields.ts';

/** What a device does by itself. */
export const deviceOperations = [
  operation('device.dma', 'device', 'DMA', 'A device reads or writes memory.', {
    device: device('Device that accesses memory.'),
    pasid: optional(pasid()),
    iova: iova(),
    access: withDefault(choice('Direction.', ['read', 'write']), 'read'),
    length: withDefault(size('Bytes, at most 64 KiB.', { max: 65536n }), 4),
    ats: withDefault(
      choice('Whether the device sends the address as it is, or translated by its own cache.', [
        'untranslated',
        'translated',
      ]),
      'untranslated',
    ),
  }),
  operation(
    'device.ats',
    'device',
    'ATS translation request',
    'The device asks for a translation and keeps it in its cache (ATC).',
    {
      device: device('Device that asks.'),
      pasid: optional(pasid()),
      iova: iova(),
      access: withDefault(choice('Permission that the device asks for.', ['read', 'write']), 'read'),
      length: withDefault(size('Bytes of the range it asks for.', { max: 1n << 30n }), '4KiB'),
    },
  ),
  operation('device.pri', 'device', 'Page request', 'The device asks software to make a page present.', {
    device: device('Device that asks.'),
    pasid: optional(pasid()),
    iova: iova(),
    access: withDefault(choice('Access that the page is needed for.', ['read', 'write', 'read-write']), 'read'),
    group: withDefault(number('Page request group index.', { max: 511n }), 0),
    last: withDefault(flag('Whether this is the last request of its group.'), true),
  }),
  operation('device.reset', 'device', 'Function-level reset', 'The device is reset: its cache is empty, ATS is off.', {
    device: device('Device to reset.'),
  }),
] as const;
