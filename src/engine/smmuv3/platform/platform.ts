import type { Hazard, InjectPoint, Inspection, Op, Operation, OpResult, Platform, Scene } from '../../machine/index.ts';
import type { MemorySnapshot } from '../../memory/index.ts';
import { actionsFor } from './actions.ts';
import { cachedEntries } from './cached.ts';
import { hazardsOf } from './hazards.ts';
import { inspect } from './inspect.ts';
import { interrupts } from './interrupts.ts';
import { handlers, probed, run } from './operations.ts';
import { guestAt, guestOfDevice, type Parts, unitAt } from './parts.ts';
import { sceneOf } from './scene.ts';

type Pages = ReturnType<Parts['hostPages']['save']>;

interface Saved {
  readonly memory: MemorySnapshot;
  readonly smmus: readonly unknown[];
  readonly drivers: unknown;
  readonly iommufd: unknown;
  readonly guests: readonly { readonly vmm: unknown; readonly linux: unknown; readonly pages: Pages }[];
  readonly injector: unknown;
  readonly hostPages: Pages;
}

/** The machine with SMMUv3s behind the interface that every vendor has. */
export class Smmuv3Platform implements Platform {
  readonly parts: Parts;

  constructor(parts: Parts) {
    this.parts = parts;
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
    // The machine reset that ends cold-plugging puts every device where GBPA says.
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
    const handler = handlers[op.do];
    if (!handler) throw new Error(`no operation ${op.do}`);
    const result = yield* run(handler(this.parts, op as never));
    yield* interrupts(this.parts);
    return result;
  }

  *deliver(held: readonly { readonly at: InjectPoint; readonly words: bigint[]; readonly where: string }[]): Op<void> {
    for (const h of held) {
      const g = guestAt(this.parts, h.where);
      const { smmu } = unitAt(this.parts, h.where);
      switch (h.at) {
        case 'guest.command':
          yield* g.linux.deliver([h.words[0] ?? 0n, h.words[1] ?? 0n], h.where);
          break;
        case 'vmm.forward':
          yield* g.vmm.deliver(
            h.words,
            g.vmm.units.find((u) => u.ids.vsmmu === h.where),
          );
          break;
        case 'host.command':
          smmu.executeLate(h.words);
          break;
        case 'event.record':
          smmu.deliverEvent(h.words);
          break;
        case 'atc.invalidation':
          smmu.deliverAtc(h.words);
          break;
      }
    }
    yield* interrupts(this.parts);
  }

  resolve(gpa: number, at: string): number {
    return guestAt(this.parts, at).memory.resolve(gpa);
  }

  scene(hazards: readonly Hazard[]): Scene {
    return sceneOf(this.parts, hazards);
  }

  inspect(id: string, part?: { row?: number; index?: number }): Inspection | null {
    return inspect(this.parts, id, part);
  }

  hazards(): Hazard[] {
    return hazardsOf(this.parts);
  }

  actionsFor(
    id: string,
    part?: { row?: number; index?: number },
  ): { readonly title: string; readonly operation: Operation }[] {
    return actionsFor(this.parts, id, part);
  }

  cached(): { readonly cache: string; readonly fields: Readonly<Record<string, bigint | string>> }[] {
    return cachedEntries(this.parts);
  }

  save(): Saved {
    const p = this.parts;
    return {
      memory: p.memory.save(),
      smmus: p.units.map((u) => u.smmu.save()),
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
    for (const [i, u] of p.units.entries()) u.smmu.load(s.smmus[i]);
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
