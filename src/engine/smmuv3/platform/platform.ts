import type { Hazard, InjectPoint, Inspection, Op, Operation, OpResult, Platform, Scene } from '../../machine/index.ts';
import type { MemorySnapshot } from '../../memory/index.ts';
import { actionsFor } from './actions.ts';
import { cachedEntries } from './cached.ts';
import { hazardsOf } from './hazards.ts';
import { inspect } from './inspect.ts';
import { handlers, isProbed, probed, run } from './operations.ts';
import type { Parts } from './parts.ts';
import { sceneOf } from './scene.ts';

interface Saved {
  readonly memory: MemorySnapshot;
  readonly smmu: unknown;
  readonly driver: unknown;
  readonly iommufd: unknown;
  readonly vmm: unknown;
  readonly guest: unknown;
  readonly injector: unknown;
  readonly hostPages: ReturnType<Parts['hostPages']['save']>;
  readonly guestPages: ReturnType<Parts['guestPages']['save']>;
}

/** Interrupt rounds after an operation; an event that causes another ends here at the latest. */
const ROUNDS = 8;

/** The SMMUv3 machine behind the interface that every vendor has. */
export class Smmuv3Platform implements Platform {
  readonly parts: Parts;

  constructor(parts: Parts) {
    this.parts = parts;
  }

  *setup(): Op<OpResult> {
    const { setup } = this.parts.spec;
    if (setup === 'bare') return { ok: true, text: 'memory and registers as they are after reset' };
    yield* probed(this.parts);
    const started = yield* this.parts.vmm.start();
    if (!started.ok) return started;
    for (const d of this.parts.devices) {
      const r = yield* this.parts.vmm.plug(d.name);
      if (!r.ok) return r;
    }
    // The machine reset that ends cold-plugging puts every device where GBPA says.
    const reset = yield* this.parts.vmm.reset();
    if (!reset.ok) return reset;
    yield* this.interrupts();
    const n = this.parts.devices.length;
    const plugged = `${n} device${n === 1 ? '' : 's'} plugged`;
    if (setup === 'plugged') return { ok: true, text: `the VMM runs, ${plugged}` };
    const booted = yield* this.parts.guest.boot();
    yield* this.interrupts();
    return booted.ok ? { ok: true, text: `the VMM runs, ${plugged}, the guest has booted` } : booted;
  }

  *operation(op: Operation): Op<OpResult> {
    const handler = handlers[op.do];
    if (!handler) throw new Error(`no operation ${op.do}`);
    const result = yield* run(handler(this.parts, op as never));
    yield* this.interrupts();
    return result;
  }

  /** Host driver, VMM and guest serve what is pending, in this order, until nothing is. */
  private *interrupts(): Op<void> {
    const { smmu, driver, vmm, guest } = this.parts;
    for (let i = 0; i < ROUNDS; i++) {
      const physical = smmu.irq.evtq || smmu.irq.gerror;
      if (physical && isProbed(this.parts)) yield* driver.interrupt();
      yield* vmm.pollEvents();
      const virtual = vmm.irq.evtq || vmm.irq.gerror;
      if (virtual) yield* guest.interrupt();
      if (!virtual && !(physical && isProbed(this.parts))) return;
    }
  }

  *deliver(held: readonly { readonly at: InjectPoint; readonly words: bigint[] }[]): Op<void> {
    for (const h of held) {
      switch (h.at) {
        case 'guest.command':
          yield* this.parts.guest.deliver([h.words[0] ?? 0n, h.words[1] ?? 0n]);
          break;
        case 'vmm.forward':
          yield* this.parts.vmm.deliver(h.words);
          break;
        case 'host.command':
          this.parts.smmu.executeLate(h.words);
          break;
        case 'event.record':
          this.parts.smmu.deliverEvent(h.words);
          break;
        case 'atc.invalidation':
          this.parts.smmu.deliverAtc(h.words);
          break;
      }
    }
    yield* this.interrupts();
  }

  resolve(gpa: number): number {
    return this.parts.guestMemory.resolve(gpa);
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
      smmu: p.smmu.save(),
      driver: p.driver.save(),
      iommufd: p.iommufd.save(),
      vmm: p.vmm.save(),
      guest: p.guest.save(),
      injector: p.injector.save(),
      hostPages: p.hostPages.save(),
      guestPages: p.guestPages.save(),
    };
  }

  load(state: unknown): void {
    const s = state as Saved;
    const p = this.parts;
    p.memory.load(s.memory);
    p.smmu.load(s.smmu);
    p.driver.load(s.driver);
    p.iommufd.load(s.iommufd);
    p.vmm.load(s.vmm);
    p.guest.load(s.guest);
    p.injector.load(s.injector);
    p.hostPages.load(s.hostPages);
    p.guestPages.load(s.guestPages);
  }
}
