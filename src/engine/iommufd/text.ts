/** One line for an ioctl: its name and the inputs that say what it is about. */

/** Input that names the object a call acts on. */
export const primaryObject: Readonly<Record<string, string>> = {
  IOMMU_DESTROY: 'id',
  IOMMU_IOAS_ALLOW_IOVAS: 'ioas_id',
  IOMMU_IOAS_IOVA_RANGES: 'ioas_id',
  IOMMU_IOAS_MAP: 'ioas_id',
  IOMMU_IOAS_UNMAP: 'ioas_id',
  IOMMU_HWPT_ALLOC: 'pt_id',
  IOMMU_GET_HW_INFO: 'dev_id',
  IOMMU_HWPT_SET_DIRTY_TRACKING: 'hwpt_id',
  IOMMU_HWPT_GET_DIRTY_BITMAP: 'hwpt_id',
  IOMMU_HWPT_INVALIDATE: 'hwpt_id',
  IOMMU_VIOMMU_ALLOC: 'hwpt_id',
  IOMMU_VDEVICE_ALLOC: 'viommu_id',
  IOMMU_VEVENTQ_ALLOC: 'viommu_id',
};

const hex = new Set(['user_va', 'length', 'iova', 'virt_id', 'flags', 'ste', 'page_size', 'pgtbl_addr', 'addr']);
const hidden = new Set(['data_len', 'entry_len', 'data_type', 'argsz', 'size']);

const ids = new Set(['id', 'ioas_id', 'pt_id', 'hwpt_id', 'viommu_id', 'dev_id', 'fault_id']);
const shortTypes: Readonly<Record<string, string>> = { HWPT_PAGING: 'hwpt', HWPT_NESTED: 'hwpt' };

/**
 * `IOMMU_HWPT_INVALIDATE viommu 3, 1 entry`
 * @param typeOf the type of the object with that id, to name an id by it
 */
export function ioctlText(
  call: string,
  input: Readonly<Record<string, unknown>> | null,
  typeOf: (id: number) => string | undefined,
): string {
  if (input === null) return `${call} with a NULL pointer`;
  const parts: string[] = [];
  for (const [name, v] of Object.entries(input)) {
    if (hidden.has(name) || v === undefined || (name === 'flags' && (v === 0 || v === 0n))) continue;
    if (name === 'entry_num') parts.push(`${v} ${Number(v) === 1 ? 'entry' : 'entries'}`);
    else if (ids.has(name) && (typeof v === 'number' || typeof v === 'bigint')) {
      const type = typeOf(Number(v));
      parts.push(`${type ? (shortTypes[type] ?? type.toLowerCase()) : name} ${v}`);
    } else if (Array.isArray(v)) {
      if (name !== 'entries') parts.push(`${name} [${v.length}]`);
    } else if (v !== null && typeof v === 'object') parts.push(...dataParts(v));
    else parts.push(`${name} ${numberText(name, v)}`);
  }
  return parts.length ? `${call} ${parts.join(', ')}` : call;
}

function dataParts(data: object): string[] {
  return Object.entries(data).map(([name, v]) =>
    Array.isArray(v) ? `${name} ${v.map((w) => numberText('ste', w)).join(' ')}` : `${name} ${numberText(name, v)}`,
  );
}

/** An input or output field's number as it is written in a line: addresses, lengths and flags in hex, counts in decimal. */
export function numberText(name: string, v: unknown): string {
  if (typeof v !== 'number' && typeof v !== 'bigint') return String(v);
  return hex.has(name) ? `0x${v.toString(16)}` : v.toString();
}
