import type { DomainHandle, PageRequest } from './driver.ts';

/**
 * The objects of one iommufd file and their reference counts, as drivers/iommu/iommufd/iommufd_private.h has them. All of
 * it is plain data: references between objects are ids, driver state is behind handles.
 */

/** Inclusive range of IOVAs; 64 bits. */
export interface Range {
  readonly start: bigint;
  readonly last: bigint;
}

/** One mapping made by IOAS_MAP. */
export interface Area extends Range {
  /** First user address; the pages behind it are found when a domain needs them. */
  readonly uva: bigint;
  readonly prot: number;
  /** Process whose memory it is. */
  readonly process: number;
}

/** IOVAs that must stay unmapped, with who says so (`domain:3`, `device:nic0`). */
export interface Reserved extends Range {
  readonly owner: string;
}

interface Base {
  readonly id: number;
  /** 1 for the table itself plus one a use; DESTROY needs exactly 1. */
  users: number;
}

export interface Ioas extends Base {
  readonly type: 'IOAS';
  /** Ascending. */
  areas: Area[];
  reserved: Reserved[];
  allowed: Range[];
  alignment: number;
  /** HWPT_PAGING ids in the order in which they were added; the first one stores the pages. */
  hwpts: number[];
}

export interface HwptPaging extends Base {
  readonly type: 'HWPT_PAGING';
  readonly domain: DomainHandle;
  readonly ioas: number;
  readonly iommu: number;
  readonly nestParent: boolean;
  readonly pasidCompatible: boolean;
  /** FAULT object that gets its page requests. */
  fault: number | null;
  /** Made by attaching a device to an IOAS; goes with its last user. */
  readonly auto: boolean;
  readonly minPageSize: number;
  readonly aperture: Range;
}

export interface HwptNested extends Base {
  readonly type: 'HWPT_NESTED';
  readonly domain: DomainHandle;
  readonly iommu: number;
  /** The nesting parent. */
  readonly parent: number;
  readonly viommu: number | null;
  readonly pasidCompatible: boolean;
  /** Name of the device that dev_id meant. The kernel forgets it; a picture has a place for a page table nobody uses yet. */
  readonly madeFor: string;
  fault: number | null;
}

export interface Device extends Base {
  readonly type: 'DEVICE';
  readonly device: string;
  readonly group: number;
  vdevice: number | null;
}

export interface Viommu extends Base {
  readonly type: 'VIOMMU';
  /** The driver's name for it, unique over all files. */
  readonly key: number;
  readonly viommuType: number;
  readonly iommu: number;
  readonly parent: number;
  readonly vdevices: { readonly virtId: bigint; readonly vdevice: number }[];
  veventqs: number[];
}

export interface Vdevice extends Base {
  readonly type: 'VDEVICE';
  readonly viommu: number;
  readonly device: number;
  readonly virtId: bigint;
}

export interface VeventRecord {
  readonly flags: number;
  readonly sequence: number;
  /** null in the lost-events marker. */
  readonly data: Uint8Array | null;
}

export interface Veventq extends Base {
  readonly type: 'VEVENTQ';
  readonly viommu: number;
  readonly queueType: number;
  readonly depth: number;
  sequence: number;
  /** Normal records waiting; the marker does not count. */
  pending: number;
  records: VeventRecord[];
}

/** Page requests of one group on their way through a fault queue (struct iopf_group). */
export interface FaultGroup {
  /** The attachment that they belong to: DEVICE, and PASID of the attachment (0: its RID). */
  readonly device: number;
  readonly attachedAs: number;
  /** In order; the last one is answered for all. */
  readonly requests: readonly PageRequest[];
}

export interface Fault extends Base {
  readonly type: 'FAULT';
  /** Not yet read. */
  deliver: FaultGroup[];
  /** Read and not answered, by cookie. */
  response: Map<number, FaultGroup>;
}

export type IommufdObject = Ioas | HwptPaging | HwptNested | Device | Viommu | Vdevice | Veventq | Fault;
export type ObjectType = IommufdObject['type'];
export type Hwpt = HwptPaging | HwptNested;

/** IOMMU_NO_PASID: the attachment of the RID. */
export const NO_PASID = 0;

/** What a group has attached under one PASID: a page table, followed by all devices that attached to it. */
export interface Attach {
  hwpt: number;
  /** DEVICE ids in order of attachment. */
  devices: number[];
}

/** Attachment state of an IOMMU group within one file, by PASID. */
export interface Group {
  readonly group: number;
  readonly attaches: Map<number, Attach>;
}

/** struct iommufd_ctx: what one open of /dev/iommu holds. */
export interface Context {
  readonly index: number;
  /** Process that opened it. */
  readonly process: number;
  /** The file's own fds, bound devices, open event queue fds. At 0 everything is destroyed. */
  refs: number;
  /** A null is a tombstone: the id of a vDEVICE that went with its device, never used again. */
  readonly objects: Map<number, IommufdObject | null>;
  readonly groups: Map<number, Group>;
}

export function newContext(index: number, process: number): Context {
  return { index, process, refs: 1, objects: new Map(), groups: new Map() };
}

/** The lowest free id, from 1. */
export function nextId(ctx: Context): number {
  let id = 1;
  while (ctx.objects.has(id)) id++;
  return id;
}

export function find(ctx: Context, id: number): IommufdObject | null {
  return ctx.objects.get(id) ?? null;
}

/** The object of that id if it has the type, else null (the caller says ENOENT). */
export function findAs<T extends ObjectType>(
  ctx: Context,
  id: number,
  type: T,
): Extract<IommufdObject, { type: T }> | null {
  const o = ctx.objects.get(id);
  return o?.type === type ? (o as Extract<IommufdObject, { type: T }>) : null;
}

/** As `findAs` for a reference between objects, which always holds. @throws Error otherwise */
export function mustFind<T extends ObjectType>(ctx: Context, id: number, type: T): Extract<IommufdObject, { type: T }> {
  const o = findAs(ctx, id, type);
  if (!o) throw new Error(`iommufd object ${id} should be a ${type}`);
  return o;
}

/** In ascending order of id, the order in which the kernel walks its table. */
export function allObjects(ctx: Context): IommufdObject[] {
  return [...ctx.objects.values()].filter((o) => o !== null).sort((a, b) => a.id - b.id);
}

/** The page table that holds the mappings behind a HWPT: itself, or a nested one's parent. */
export function pagingOf(ctx: Context, hwpt: Hwpt): HwptPaging {
  return hwpt.type === 'HWPT_PAGING' ? hwpt : mustFind(ctx, hwpt.parent, 'HWPT_PAGING');
}

/** Scene object of an iommufd object. Files after the first one carry their number. */
export function sceneId(ctx: Context, id: number): string {
  return ctx.index === 0 ? `kernel.obj.${id}` : `kernel.obj.${ctx.index}.${id}`;
}
