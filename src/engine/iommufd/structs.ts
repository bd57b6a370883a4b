import type { Errno } from './errno.ts';

/**
 * The ioctl structures by their uAPI names (include/uapi/linux/iommufd.h, vfio.h), and what is checked of any of them
 * before the command itself looks (drivers/iommu/iommufd/main.c iommufd_fops_ioctl).
 */

export interface StructField {
  readonly name: string;
  readonly offset: number;
  readonly bytes: 1 | 2 | 4 | 8;
  /** Written back on success. */
  readonly out?: true;
  /** A user pointer whose target stands inline in the input under this name. */
  readonly inline?: string;
}

export interface IoctlStruct {
  readonly call: string;
  /** Command number without the type byte. */
  readonly nr: number;
  readonly size: number;
  readonly minSize: number;
  readonly fields: readonly StructField[];
}

const f = (name: string, offset: number, bytes: 1 | 2 | 4 | 8 = 4): StructField => ({ name, offset, bytes });
const out = (name: string, offset: number, bytes: 1 | 4 | 8 = 4): StructField => ({ name, offset, bytes, out: true });
const ptr = (name: string, offset: number, inline: string): StructField => ({ name, offset, bytes: 8, inline });

function struct(call: string, nr: number, size: number, minSize: number, fields: readonly StructField[]): IoctlStruct {
  return { call, nr, size, minSize, fields };
}

export const ioctlStructs: readonly IoctlStruct[] = [
  struct('IOMMU_DESTROY', 0x80, 8, 8, [f('id', 4)]),
  struct('IOMMU_IOAS_ALLOC', 0x81, 12, 12, [f('flags', 4), out('out_ioas_id', 8)]),
  struct('IOMMU_IOAS_ALLOW_IOVAS', 0x82, 24, 24, [
    f('ioas_id', 4),
    f('num_iovas', 8),
    f('__reserved', 12),
    ptr('allowed_iovas', 16, 'allowed_iovas'),
  ]),
  struct('IOMMU_IOAS_IOVA_RANGES', 0x84, 32, 32, [
    f('ioas_id', 4),
    out('num_iovas', 8),
    f('__reserved', 12),
    ptr('allowed_iovas', 16, 'allowed_iovas'),
    out('out_iova_alignment', 24, 8),
  ]),
  struct('IOMMU_IOAS_MAP', 0x85, 40, 40, [
    f('flags', 4),
    f('ioas_id', 8),
    f('__reserved', 12),
    f('user_va', 16, 8),
    f('length', 24, 8),
    out('iova', 32, 8),
  ]),
  struct('IOMMU_IOAS_UNMAP', 0x86, 24, 24, [f('ioas_id', 4), f('iova', 8, 8), out('length', 16, 8)]),
  struct('IOMMU_HWPT_ALLOC', 0x89, 48, 24, [
    f('flags', 4),
    f('dev_id', 8),
    f('pt_id', 12),
    out('out_hwpt_id', 16),
    f('__reserved', 20),
    f('data_type', 24),
    f('data_len', 28),
    ptr('data_uptr', 32, 'data'),
    f('fault_id', 40),
    f('__reserved2', 44),
  ]),
  struct('IOMMU_GET_HW_INFO', 0x8a, 40, 32, [
    f('flags', 4),
    f('dev_id', 8),
    out('data_len', 12),
    ptr('data_uptr', 16, 'data'),
    f('in_data_type', 24),
    out('out_data_type', 24),
    out('out_max_pasid_log2', 28, 1),
    f('__reserved', 29, 1),
    out('out_capabilities', 32, 8),
  ]),
  struct('IOMMU_HWPT_SET_DIRTY_TRACKING', 0x8b, 16, 16, [f('flags', 4), f('hwpt_id', 8), f('__reserved', 12)]),
  struct('IOMMU_HWPT_GET_DIRTY_BITMAP', 0x8c, 48, 48, [
    f('hwpt_id', 4),
    f('flags', 8),
    f('__reserved', 12),
    f('iova', 16, 8),
    f('length', 24, 8),
    f('page_size', 32, 8),
    ptr('data', 40, 'bitmap'),
  ]),
  struct('IOMMU_HWPT_INVALIDATE', 0x8d, 32, 32, [
    f('hwpt_id', 4),
    ptr('data_uptr', 8, 'entries'),
    f('data_type', 16),
    f('entry_len', 20),
    out('entry_num', 24),
    f('__reserved', 28),
  ]),
  struct('IOMMU_FAULT_QUEUE_ALLOC', 0x8e, 16, 16, [f('flags', 4), out('out_fault_id', 8), out('out_fault_fd', 12)]),
  struct('IOMMU_VIOMMU_ALLOC', 0x90, 40, 24, [
    f('flags', 4),
    f('type', 8),
    f('dev_id', 12),
    f('hwpt_id', 16),
    out('out_viommu_id', 20),
    f('data_len', 24),
    f('__reserved', 28),
    ptr('data_uptr', 32, 'data'),
  ]),
  struct('IOMMU_VDEVICE_ALLOC', 0x91, 24, 24, [
    f('viommu_id', 4),
    f('dev_id', 8),
    out('out_vdevice_id', 12),
    f('virt_id', 16, 8),
  ]),
  struct('IOMMU_VEVENTQ_ALLOC', 0x93, 32, 28, [
    f('flags', 4),
    f('viommu_id', 8),
    f('type', 12),
    f('veventq_depth', 16),
    out('out_veventq_id', 20),
    out('out_veventq_fd', 24),
    f('__reserved', 28),
  ]),
  struct('VFIO_DEVICE_BIND_IOMMUFD', 0x76, 24, 16, [
    f('flags', 4),
    f('iommufd', 8),
    out('out_devid', 12),
    f('token_uuid_ptr', 16, 8),
  ]),
  struct('VFIO_DEVICE_ATTACH_IOMMUFD_PT', 0x77, 16, 12, [f('flags', 4), out('pt_id', 8), f('pasid', 12)]),
  struct('VFIO_DEVICE_DETACH_IOMMUFD_PT', 0x78, 12, 8, [f('flags', 4), f('pasid', 8)]),
];

const byCall = new Map(ioctlStructs.map((s) => [s.call, s]));

export const ioctlStruct = (call: string): IoctlStruct | undefined => byCall.get(call);

/** A call's input after the copy from user space: missing fields are zero. */
export class IoctlArgs {
  readonly struct: IoctlStruct;
  /** Bytes of the structure that the caller passed. */
  readonly size: number;
  private readonly values = new Map<string, bigint>();
  private readonly inlined = new Map<string, unknown>();

  constructor(s: IoctlStruct, input: Readonly<Record<string, unknown>>, size: number) {
    this.struct = s;
    this.size = size;
    for (const field of s.fields) {
      if (field.offset + field.bytes > size) continue;
      const inline = field.inline === undefined ? undefined : input[field.inline];
      if (field.inline !== undefined && inline !== null && typeof inline === 'object') {
        this.values.set(field.name, 1n);
        this.inlined.set(field.name, inline);
      } else if (input[field.name] !== undefined) {
        this.values.set(field.name, BigInt.asUintN(field.bytes * 8, toBigInt(input[field.name])));
      }
    }
  }

  num(name: string): number {
    return Number(this.values.get(name) ?? 0n);
  }

  big(name: string): bigint {
    return this.values.get(name) ?? 0n;
  }

  /** What a pointer field points at, when it stands inline; null for any other pointer. */
  target(name: string): unknown {
    return this.inlined.get(name) ?? null;
  }

  /** True when the caller wrote a zero into the pointer; a pointer left out stands for a buffer of the caller's. */
  nullPointer(name: string): boolean {
    return this.values.get(name) === 0n;
  }

  /** Keeps the outputs that lie inside the caller's structure. */
  response(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const kept: Record<string, unknown> = {};
    for (const [name, v] of Object.entries(values)) {
      const field = this.struct.fields.find((x) => x.name === name);
      if (!field || field.offset + field.bytes <= this.size) kept[name] = v;
    }
    return kept;
  }
}

/**
 * The checks common to all commands, in order: readable argument (EFAULT), smallest size ever (EINVAL), zeros beyond the
 * known structure (E2BIG).
 * @param size the `size` (VFIO: `argsz`) that the caller passes; the structure's own when left out
 * @param tail hex bytes after the structure, inside `size`
 */
export function copyStruct(
  s: IoctlStruct,
  input: Readonly<Record<string, unknown>> | null,
  size: number | undefined,
  tail: string | undefined,
): { errno: '0'; args: IoctlArgs } | { errno: Errno } {
  if (input === null) return { errno: 'EFAULT' };
  const bytes = size ?? s.size + (tail?.length ?? 0) / 2;
  if (bytes < s.minSize) return { errno: 'EINVAL' };
  if (bytes > s.size && tail !== undefined && /[1-9a-f]/i.test(tail.slice(0, (bytes - s.size) * 2)))
    return { errno: 'E2BIG' };
  return { errno: '0', args: new IoctlArgs(s, input, Math.min(bytes, s.size)) };
}

/**
 * What is wrong with a person's input of a call, in words: a field that the structure has not, or no whole number in one.
 * Calls that do not exist are the kernel's to refuse.
 */
export function inputProblem(call: string, input: Readonly<Record<string, unknown>> | null): string | null {
  const s = ioctlStruct(call);
  if (!s || input === null) return null;
  const names = ['size', 'argsz', ...s.fields.flatMap((x) => (x.inline ? [x.name, x.inline] : [x.name]))];
  for (const [name, v] of Object.entries(input)) {
    if (!names.includes(name))
      return `${call} has no field "${name}": ${s.fields.map((x) => x.inline ?? x.name).join(', ')}`;
    if (s.fields.some((x) => x.inline === name)) continue;
    try {
      toBigInt(v);
    } catch {
      return `${call}: ${name} needs a whole number, found ${JSON.stringify(v)}`;
    }
  }
  return null;
}

/** Numbers, bigints and the document's numeric strings. @throws Error for anything else */
export function toBigInt(v: unknown): bigint {
  if (typeof v === 'bigint') return v;
  if (typeof v === 'number' && Number.isInteger(v)) return BigInt(v);
  if (typeof v === 'boolean') return v ? 1n : 0n;
  if (typeof v === 'string' && /^-?(0x[0-9a-f]+|\d+)$/i.test(v))
    return v.startsWith('-') ? -BigInt(v.slice(1)) : BigInt(v);
  throw new Error(`a structure field needs a whole number, found ${JSON.stringify(v)}`);
}
