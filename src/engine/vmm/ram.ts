import type { Op, OpResult } from '../machine/index.ts';
import type { MemorySlot } from '../memory/index.ts';
import { sizeText } from '../pagetable/page-sizes.ts';
import { machineIoctl, refused, type VmmContext } from './context.ts';

/** FIXED_IOVA, WRITEABLE, READABLE. */
const MAP_FLAGS = 7;
const PAGE = 4096;
/** User addresses of memory that is added later start here, far from the RAM that the process starts with. */
const ADDED_UVA = 2 ** 45;
/** Guest physical addresses that a guest can use. */
const GPA_END = 2 ** 44;

const nameOf = (o: { gpa: number; size: number }): string =>
  `guest memory 0x${o.gpa.toString(16)}, ${sizeText(o.size)}`;

/** IOMMU_IOAS_MAP of a slot at its guest physical address. @returns the errno */
export function* mapSlot(m: VmmContext, slot: MemorySlot): Op<string> {
  const r = yield* machineIoctl(m, 'IOMMU_IOAS_MAP', {
    flags: MAP_FLAGS,
    ioas_id: m.state.ioas,
    user_va: BigInt(slot.uva),
    length: BigInt(slot.size),
    iova: BigInt(slot.gpa),
  });
  return r.errno;
}

/**
 * Adds guest memory at `gpa`: host pages, a memory slot, and its mapping in the IOAS.
 * @param chunk size of a physically contiguous piece
 */
export function* addRam(m: VmmContext, o: { gpa: number; size: number }, chunk: number): Op<OpResult> {
  const text = nameOf(o);
  if (!(o.size > 0) || o.gpa % PAGE || o.size % PAGE || o.gpa < 0 || o.gpa + o.size > GPA_END)
    return refused(`${text}: address and size must be multiples of 4 KiB below 16 TiB`, 'EINVAL');
  if (m.memory.slots.some((s) => o.gpa < s.gpa + s.size && s.gpa < o.gpa + o.size))
    return refused(`${text} overlaps memory that is there`, 'EEXIST');
  let base: number;
  try {
    base = m.hostPages.alloc(o.size);
  } catch (e) {
    if (e instanceof RangeError) return refused(`${text}: the host has no free pages`, 'ENOMEM');
    throw e;
  }
  const added = m.process.backings.filter((b) => b.uva >= ADDED_UVA && b.uva < 2 * ADDED_UVA);
  const slot = { ...o, uva: Math.max(ADDED_UVA, ...added.map((b) => b.uva + b.size)) };
  m.process.add({ uva: slot.uva, size: o.size, base, chunk: Math.min(chunk, o.size) });
  m.memory.addSlot(slot);
  const errno = yield* mapSlot(m, slot);
  if (errno === '0') return { ok: true, text: `${text} added` };
  m.memory.slots.splice(m.memory.slots.indexOf(slot), 1);
  return refused(`IOMMU_IOAS_MAP of ${text}: ${errno}`, errno);
}

/** Takes memory out of the IOAS, and out of the guest when the range is a slot. The kernel cuts no area: ENOENT then. */
export function* removeRam(m: VmmContext, o: { gpa: number; size: number }): Op<OpResult> {
  const r = yield* machineIoctl(m, 'IOMMU_IOAS_UNMAP', {
    ioas_id: m.state.ioas,
    iova: BigInt(o.gpa),
    length: BigInt(o.size),
  });
  if (r.errno !== '0') return refused(`IOMMU_IOAS_UNMAP of ${nameOf(o)}: ${r.errno}`, r.errno);
  const { slots } = m.memory;
  for (const s of slots.filter((x) => x.gpa >= o.gpa && x.gpa + x.size <= o.gpa + o.size))
    slots.splice(slots.indexOf(s), 1);
  return { ok: true, text: `${nameOf(o)} removed`, out: { length: r.out['length'] } };
}
