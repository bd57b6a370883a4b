import * as z from 'zod/mini';
import { anything, device, hexText, json, number, optional, text, withDefault, word } from './field.ts';
import { exactlyOne, operation } from './operation.ts';
import { fd, whichProcess } from './shared-fields.ts';

/** Names to offer; any other is the kernel's to refuse. */
const calls = [
  [
    'IOMMU_',
    'DESTROY IOAS_ALLOC IOAS_ALLOW_IOVAS IOAS_COPY IOAS_IOVA_RANGES IOAS_MAP IOAS_UNMAP OPTION VFIO_IOAS HWPT_ALLOC',
  ],
  [
    'IOMMU_',
    'GET_HW_INFO HWPT_SET_DIRTY_TRACKING HWPT_GET_DIRTY_BITMAP HWPT_INVALIDATE FAULT_QUEUE_ALLOC IOAS_MAP_FILE',
  ],
  ['IOMMU_', 'VIOMMU_ALLOC VDEVICE_ALLOC IOAS_CHANGE_PROCESS VEVENTQ_ALLOC HW_QUEUE_ALLOC TEST_CMD'],
  ['VFIO_DEVICE_', 'BIND_IOMMUFD ATTACH_IOMMUFD_PT DETACH_IOMMUFD_PT'],
].flatMap(([prefix, names]) => names!.split(' ').map((n) => prefix! + n));

const input = (): z.ZodMiniNullable<ReturnType<typeof anything>> =>
  z.nullable(anything('an object of struct fields by their uAPI names, or null'));
const record = () => anything('an object of struct fields by their uAPI names');

/** Files and ioctls: what a process can ask of the kernel. */
export const kernelOperations = [
  operation('ioctl', 'any', 'ioctl', 'One ioctl with exactly these inputs.', {
    guest: whichProcess(),
    call: text('Name of the ioctl.', /^(?:IOMMU|VFIO)_[A-Z0-9_]+$/, 'the name of an iommufd or VFIO ioctl', calls),
    fd: withDefault(fd(), 0),
    in: optional(
      json<ReturnType<typeof input>, Readonly<Record<string, unknown>> | null>(
        'Struct fields by their uAPI names. null passes a NULL pointer; left out, all fields are zero.',
        input(),
        'tree',
      ),
    ),
    size: optional(number('Value of the struct’s size field, when a wrong one is wanted.')),
    tail: optional(hexText('Bytes that follow the struct inside `size`.', 65536)),
  }),
  operation(
    'fd.open',
    'any',
    'Open a file',
    'Opens /dev/iommu as fd 0 again, or a device’s VFIO file under a new fd.',
    {
      guest: whichProcess(),
      fd: optional(fd('0 opens /dev/iommu again after it was closed.')),
      device: optional(device('Device whose VFIO file to open; `as` binds the new fd.')),
    },
    exactlyOne('fd', 'device'),
  ),
  operation('fd.close', 'any', 'Close a file', 'Closes a file descriptor.', { guest: whichProcess(), fd: fd() }),
  operation('fd.read', 'any', 'Read records from a file', 'Reads records of an event or fault queue.', {
    guest: whichProcess(),
    fd: fd(),
    count: number('Bytes of the caller’s buffer.'),
  }),
  operation('fd.write', 'any', 'Write records to a file', 'Writes responses to a fault queue.', {
    guest: whichProcess(),
    fd: fd(),
    records: json<z.ZodMiniArray<ReturnType<typeof record>>, readonly Readonly<Record<string, unknown>>[]>(
      'Records, each with the fields of its uAPI structure.',
      z.array(record(), { error: () => 'an array of records' }),
      'tree',
    ),
  }),
  operation('fd.mmap', 'any', 'Map a file', 'Maps a region of a file; `as` binds the area.', {
    guest: whichProcess(),
    fd: fd(),
    offset: word('Offset of the region in the file.'),
    length: word('Bytes to map.'),
  }),
  operation('fd.munmap', 'any', 'Unmap a file', 'Unmaps an area that fd.mmap gave.', {
    guest: whichProcess(),
    area: word('The area, as bound by fd.mmap.'),
  }),
] as const;
