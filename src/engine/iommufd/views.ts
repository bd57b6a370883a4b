import type { IommuDriver } from './driver.ts';
import {
  allObjects,
  type Context,
  type Device,
  type Hwpt,
  type IommufdObject,
  mustFind,
  NO_PASID,
  sceneId,
} from './objects.ts';

/** An object as a picture shows it. */
export interface ObjectView {
  /** Scene id: `kernel.obj.6`. */
  readonly id: string;
  /** The object's id in its file. */
  readonly object: number;
  readonly type: IommufdObject['type'];
  /** `HWPT_NESTED 6` */
  readonly title: string;
  readonly lines: readonly string[];
  /** The references that its users counts come from. */
  readonly refs: readonly { readonly to: string; readonly label: string }[];
  /** Physical device that it belongs to, for DEVICE, VDEVICE and the page table of a single device. */
  readonly device?: string;
}

export function objectViews(driver: IommuDriver, ctx: Context): ObjectView[] {
  const objects = allObjects(ctx);
  return objects.map((o) => {
    const device = deviceOf(ctx, o);
    return {
      id: sceneId(ctx, o.id),
      object: o.id,
      type: o.type,
      title: `${o.type} ${o.id}`,
      lines: lines(driver, ctx, o),
      refs: refs(ctx, o).map((r) => ({ to: sceneId(ctx, r.to), label: r.label })),
      ...(device === undefined ? {} : { device }),
    };
  });
}

function lines(driver: IommuDriver, ctx: Context, o: IommufdObject): readonly string[] {
  switch (o.type) {
    case 'IOAS': {
      const bytes = o.areas.reduce((n, x) => n + x.last - x.start + 1n, 0n);
      return [`${o.areas.length} area${o.areas.length === 1 ? '' : 's'}`, bytesText(bytes)];
    }
    case 'HWPT_PAGING':
    case 'HWPT_NESTED':
      return driver.domainLines(o.domain);
    case 'DEVICE': {
      const [rid, ...pasids] = attachesOf(ctx, o);
      const line = rid?.pasid === NO_PASID ? `attached to ${rid.hwpt}` : 'blocked';
      const others = rid?.pasid === NO_PASID ? pasids : [rid, ...pasids];
      return [o.device, line, ...others.flatMap((x) => (x ? [`pasid ${x.pasid} → ${x.hwpt}`] : []))];
    }
    case 'VIOMMU':
      return driver.viommuLines(o.key);
    case 'VDEVICE':
      return [`virt_id 0x${o.virtId.toString(16)}`, mustFind(ctx, o.device, 'DEVICE').device];
    case 'VEVENTQ':
      return [`depth ${o.depth}`, `${o.pending} waiting`];
    case 'FAULT':
      return [`${o.deliver.length} waiting`, `${o.response.size} to answer`];
  }
}

function refs(ctx: Context, o: IommufdObject): { to: number; label: string }[] {
  switch (o.type) {
    case 'IOAS':
      return [];
    case 'HWPT_PAGING':
      return [{ to: o.ioas, label: 'maps' }, ...faultRef(o)];
    case 'HWPT_NESTED':
      return [{ to: o.viommu ?? o.parent, label: o.viommu === null ? 'parent' : 'vIOMMU' }, ...faultRef(o)];
    case 'DEVICE': {
      return attachesOf(ctx, o).map((x) => ({
        to: x.hwpt,
        label: x.pasid === NO_PASID ? 'attached' : `pasid ${x.pasid}`,
      }));
    }
    case 'VIOMMU':
      return [{ to: o.parent, label: 'parent' }];
    case 'VDEVICE':
      return [
        { to: o.viommu, label: 'vIOMMU' },
        { to: o.device, label: 'device' },
      ];
    case 'VEVENTQ':
      return [{ to: o.viommu, label: 'events of' }];
    case 'FAULT':
      return [];
  }
}

const faultRef = (o: Hwpt): { to: number; label: string }[] =>
  o.fault === null ? [] : [{ to: o.fault, label: 'page faults' }];

/** Attachments of a device, its RID first. */
function attachesOf(ctx: Context, dev: Device): { pasid: number; hwpt: number }[] {
  const attaches = [...(ctx.groups.get(dev.group)?.attaches ?? [])];
  return attaches
    .filter(([, a]) => a.devices.includes(dev.id))
    .map(([pasid, a]) => ({ pasid, hwpt: a.hwpt }))
    .sort((a, b) => a.pasid - b.pasid);
}

function deviceOf(ctx: Context, o: IommufdObject): string | undefined {
  if (o.type === 'DEVICE') return o.device;
  if (o.type === 'VDEVICE') return mustFind(ctx, o.device, 'DEVICE').device;
  return undefined;
}

function bytesText(n: bigint): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n !== 0n && n % 1024n === 0n && i < units.length - 1) {
    n /= 1024n;
    i++;
  }
  return `${n} ${units[i]}`;
}
