import type { ProcessMemory } from '../memory/index.ts';
import type { Trace } from '../trace/index.ts';
import type { IommuDriver } from './driver.ts';
import type { Errno } from './errno.ts';
import { type Context, type IommufdObject, sceneId } from './objects.ts';

/** What every command works with. */
export interface Kernel {
  readonly driver: IommuDriver;
  /** Address space of a process, for pinning. */
  memoryOf(process: number): ProcessMemory;
  readonly trace: Trace;
  /** PAGE_SIZE in bytes. */
  readonly page: bigint;
  /** Makes a number that no other vIOMMU has had. */
  newViommuKey(): number;
  /** Opens a new fd on an event or fault queue of the context. */
  openQueue(ctx: Context, kind: 'veventq' | 'fault', id: number): number;
}

/** What an ioctl gives back. Outputs are written on an error only where the kernel does so. */
export interface IoctlResult {
  readonly errno: Errno;
  readonly out: Record<string, unknown>;
  /** The main output, usually the id of a new object. */
  readonly main?: number;
  /** Outputs are copied back although the call failed. */
  readonly writesBack?: boolean;
}

export const failed = (errno: Errno): IoctlResult => ({ errno, out: {} });

/** Adds a finished object to the table and says so. */
export function finalize(k: Kernel, ctx: Context, o: IommufdObject, text: string): void {
  ctx.objects.set(o.id, o);
  k.trace.listener?.({
    kind: 'object.create',
    actor: 'iommufd',
    at: sceneId(ctx, o.id),
    type: o.type,
    id: o.id,
    text: `${o.type} ${o.id}: ${text}`,
  });
}

/** Takes an object out of the table (or leaves a tombstone) and says so. */
export function remove(k: Kernel, ctx: Context, o: IommufdObject, tombstone = false): void {
  if (tombstone) ctx.objects.set(o.id, null);
  else ctx.objects.delete(o.id);
  k.trace.listener?.({
    kind: 'object.destroy',
    actor: 'iommufd',
    at: sceneId(ctx, o.id),
    type: o.type,
    id: o.id,
    text: tombstone ? `${o.type} ${o.id} destroyed with its device, the id stays taken` : `${o.type} ${o.id} destroyed`,
  });
}
