import type {
  Hazard,
  InjectPoint,
  Inspection,
  Op,
  Operation,
  OpResult,
  Platform,
  Scene,
  TableMemory,
} from '../machine/index.ts';
import type { MemorySnapshot } from '../memory/index.ts';
import { interrupts } from './interrupts.ts';
import { guestAt, guestOfDevice, type Machine, unitAt } from './machine.ts';
import { type Handler, run } from './operation.ts';
import { probed } from './operations.ts';
import { MachineTables, type TableFormats } from './tables.ts';

type Pages = ReturnType<Machine['hostPages']['save']>;
type Part = { row?: number; index?: number };

interface Saved {
  readonly memory: MemorySnapshot;
  readonly units: readonly unknown[];
  readonly drivers: unknown;
  readonly iommufd: unknown;
  readonly guests: readonly { readonly vmm: unknown; readonly linux: unknown; readonly pages: Pages }[];
  readonly injector: unknown;
  readonly hostPages: Pages;
}

/** What a vendor's platform shows of its machine, and the operations on it. */
export interface Room<P extends Machine> {
  readonly handlers: Readonly<Record<string, Handler>>;
  readonly scene: (p: P, hazards: readonly Hazard[]) => Scene;
  readonly inspect: (p: P, id: string, part: Part | undefined) => Inspection | null;
  readonly hazards: (p: P) => Hazard[];
  readonly actionsFor: (
    p: P,
    id: string,
    part: Part | undefined,
  ) => { readonly title: string; readonly operation: Operation }[];
  readonly cached: (p: P) => ReturnType<Platform['cached']>;
  readonly tables: TableFormats<P>;
}

/** A vendor's machine behind the interface that the document plays on. */
export class MachinePlatform<P extends Machine> implements Platform {
  readonly parts: P;
  private readonly room: Room<P>;

  constructor(parts: P, room: Room<P>) {
    this.parts = parts;
    this.room = room;
  }

  *setup(): Op<OpResult> {
    const { parts } = this;
    const { setup } = parts.spec;
    if (setup === 'bare') return { ok: true, text: 'memory and registers as they are after reset' };
    yield* probed(parts);
    for (const g of parts.guests) {
      const started = yield* g.vmm.start();
      if (!started.ok) return started;
    }
    for (const d of parts.devices) {
      const r = yield* guestOfDevice(parts, d).vmm.plug(d.name);
      if (!r.ok) return r;
    }
    // The machine reset that ends cold-plugging puts every device where the virtual units' reset state says.
    for (const g of parts.guests) {
      const reset = yield* g.vmm.reset();
      if (!reset.ok) return reset;
    }
    yield* interrupts(parts);
    const n = parts.devices.length;
    const vmms = parts.guests.length > 1 ? `${parts.guests.length} VMMs run` : 'the VMM runs';
    const plugged = `${vmms}, ${n} device${n === 1 ? '' : 's'} plugged`;
    if (setup === 'plugged') return { ok: true, text: plugged };
    for (const g of parts.guests) {
      const booted = yield* g.linux.boot();
      yield* interrupts(parts);
      if (!booted.ok) return booted;
    }
    return { ok: true, text: `${plugged}, ${parts.guests.length > 1 ? 'the guests have' : 'the guest has'} booted` };
  }

  *operation(op: Operation): Op<OpResult> {
    const handler = this.room.handlers[op.do];
    if (!handler) throw new Error(`no operation ${op.do}`);
    const result = yield* run(handler(this.parts, op as never));
    yield* interrupts(this.parts);
    return result;
  }

  *deliver(held: readonly { readonly at: InjectPoint; readonly words: bigint[]; readonly where: string }[]): Op<void> {
    for (const h of held) {
      const g = guestAt(this.parts, h.where);
      const { iommu } = unitAt(this.parts, h.where);
      switch (h.at) {
        case 'guest.command':
          yield* g.linux.deliver(h.words, h.where);
          break;
        case 'vmm.forward':
          yield* g.vmm.deliver(h.words, g.vmm.units[g.ends.findIndex((e) => e.viommu === h.where)]);
          break;
        case 'host.command':
          iommu.executeLate(h.words);
          break;
        case 'event.record':
          iommu.deliverEvent(h.words);
          break;
        case 'atc.invalidation':
          iommu.deliverAtc(h.words);
          break;
      }
    }
    yield* interrupts(this.parts);
  }

  resolve(gpa: number, at: string): number {
    return guestAt(this.parts, at).memory.resolve(gpa);
  }

  scene(hazards: readonly Hazard[]): Scene {
    return this.room.scene(this.parts, hazards);
  }

  inspect(id: string, part?: Part): Inspection | null {
    const { guests } = this.parts;
    const shown = this.room.inspect(this.parts, id, part);
    if (!shown || guests.length < 2) return shown;
    const guest = guestAt(this.parts, id).name;
    return { ...shown, records: shown.records.map((r) => (r.space === 'guest' ? { guest, ...r } : r)) };
  }

  hazards(): Hazard[] {
    return this.room.hazards(this.parts);
  }

  actionsFor(id: string, part?: Part): { readonly title: string; readonly operation: Operation }[] {
    return this.room.actionsFor(this.parts, id, part);
  }

  cached(): ReturnType<Platform['cached']> {
    return this.room.cached(this.parts);
  }

  memoryState(): MemorySnapshot {
    return this.parts.memory.save();
  }

  tableMemory(before: MemorySnapshot | null): TableMemory {
    return new MachineTables(this.parts, this.room.tables, before);
  }

  save(): Saved {
    const p = this.parts;
    return {
      memory: p.memory.save(),
      units: p.units.map((u) => u.iommu.save()),
      drivers: p.drivers.save(),
      iommufd: p.iommufd.save(),
      guests: p.guests.map((g) => ({ vmm: g.vmm.save(), linux: g.linux.save(), pages: g.pages.save() })),
      injector: p.injector.save(),
      hostPages: p.hostPages.save(),
    };
  }

  load(state: unknown): void {
    const s = state as Saved;
    const p = this.parts;
    p.memory.load(s.memory);
    for (const [i, u] of p.units.entries()) u.iommu.load(s.units[i]);
    p.drivers.load(s.drivers);
    p.iommufd.load(s.iommufd);
    for (const [i, g] of p.guests.entries()) {
      g.vmm.load(s.guests[i]!.vmm);
      g.linux.load(s.guests[i]!.linux);
      g.pages.load(s.guests[i]!.pages);
    }
    p.injector.load(s.injector);
    p.hostPages.load(s.hostPages);
  }
}
