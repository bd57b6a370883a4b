import { hexPlain } from '../../bits/index.ts';
import type { Injector, Op, OpResult } from '../../machine/index.ts';
import type { Bus, PageAllocator } from '../../memory/index.ts';
import { sizeText, Vmsav8Table } from '../../pagetable/vmsav8-table.ts';
import type { Trace } from '../../trace/index.ts';
import { attachStage1, attachWithoutTable, ownTable } from './attach.ts';
import type { Command } from './commands.ts';
import { guestRulesWith } from './deviations.ts';
import { interrupt } from './events.ts';
import { type FlushMode, flushQueue, map, unmap } from './mapping.ts';
import { probe } from './probe.ts';
import { deliver, submit } from './queue.ts';
import type { GuestRules } from './rules.ts';
import {
  type Domain,
  freshState,
  type Guest,
  type GuestDevice,
  type GuestState,
  isPaging,
  type Master,
  type Perm,
  type VirtualSmmu,
} from './state.ts';
import { addMaster, cdTableBytes } from './stream-table.ts';
import { type GuestViews, viewsOf } from './views.ts';

export interface GuestParts {
  /** Guest physical memory. */
  readonly memory: Bus;
  /** Pages for the guest kernel's tables and queues, in guest physical space. */
  readonly pages: PageAllocator;
  readonly smmu: VirtualSmmu;
  readonly devices: readonly GuestDevice[];
  /** Whether the VMM has put the device into the guest; without it all are there. */
  readonly present?: (name: string) => boolean;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly deviations?: readonly string[];
}

/** Input addresses are numbers up to 2^53, larger ones bigints. */
type Address = number | bigint;

/**
 * What a Linux guest does with its SMMU: the arm-smmu-v3 driver, the IOMMU core and the DMA layer above it. Tables, queues
 * and descriptors lie in guest memory; registers are reached through the VMM. Source: arm-smmuv3.md 7.
 */
export class GuestDriver implements Guest {
  readonly memory: Bus;
  readonly pages: PageAllocator;
  readonly smmu: VirtualSmmu;
  readonly devices: readonly GuestDevice[];
  readonly present: (name: string) => boolean;
  readonly trace: Trace;
  readonly injector: Injector;
  readonly rules: GuestRules;
  state: GuestState = freshState();
  private readonly tables = new Map<string, Vmsav8Table>();

  /** @throws Error when `deviations` names a `guest.` rule that does not exist */
  constructor(p: GuestParts) {
    this.memory = p.memory;
    this.pages = p.pages;
    this.smmu = p.smmu;
    this.devices = p.devices;
    this.present = p.present ?? (() => true);
    this.trace = p.trace;
    this.injector = p.injector;
    this.rules = guestRulesWith(p.deviations ?? []);
  }

  /** Probe of the SMMU, then of every device that is plugged in; each starts with an abort STE. */
  *boot(): Op<OpResult> {
    return yield* withMemory(this.bootNow());
  }

  private *bootNow(): Op<OpResult> {
    if (this.state.booted) return refused('the guest has booted already');
    this.begin();
    const error = yield* probe(this);
    if (error) return { ok: false, errno: 'ENXIO', text: `the guest's SMMU driver gives up: ${error}` };
    for (const d of this.devices) if (this.present(d.name)) yield* addMaster(this, d);
    this.state.booted = true;
    const n = this.state.masters.length;
    return this.result(`the guest has booted: ${n} device${n === 1 ? '' : 's'} behind its SMMU`);
  }

  /**
   * Moves a device to a domain: `bypass`, `blocked`, or the name of a DMA domain, made at its first use.
   * `cdTable` names another device whose CD table this one shall use (Linux never does so); changes of a shared CD reach all.
   */
  *attach(o: { device: string; domain: string; cdTable?: string }): Op<OpResult> {
    return yield* withMemory(this.attachNow(o));
  }

  private *attachNow(o: { device: string; domain: string; cdTable?: string }): Op<OpResult> {
    const m = yield* this.master(o.device);
    if (typeof m === 'string') return refused(m);
    this.begin();
    if (!isPaging(o.domain)) {
      if (o.domain !== 'bypass' && o.domain !== 'blocked') return refused('a domain needs a name');
      if (m.domain !== o.domain) yield* attachWithoutTable(this, m, o.domain);
      return this.result(`${m.name} is ${o.domain === 'bypass' ? 'in bypass' : 'blocked'}`);
    }
    const owner = o.cdTable === undefined || o.cdTable === m.name ? m : this.find(o.cdTable);
    const table = owner === m ? ownTable(this, m) : (owner?.cdTable ?? null);
    if (!table) return refused(`${o.cdTable} has no CD table: attach it to a DMA domain first`);
    const domain = this.domain(o.domain);
    if (m.domain !== domain.name || m.cdTable?.address !== table.address) yield* attachStage1(this, m, domain, table);
    return this.result(`${m.name} is attached to ${domain.name} (ASID ${domain.asid})`);
  }

  /** The kernel's way to take a device off its domain: it ends up blocked. */
  *detach(o: { device: string }): Op<OpResult> {
    return yield* this.attach({ device: o.device, domain: 'blocked' });
  }

  /** The device is about to be unplugged (iommu_release_device): blocked, then forgotten. Call it before the VMM takes it. */
  *remove(o: { device: string }): Op<OpResult> {
    const m = this.find(o.device);
    if (!m) return refused(`the guest knows no device ${o.device}`);
    this.begin();
    if (m.domain !== '' && m.domain !== 'blocked') yield* attachWithoutTable(this, m, 'blocked');
    this.state.masters = this.state.masters.filter((x) => x !== m);
    if (m.ownTable && !this.state.masters.some((x) => x.cdTable?.address === m.ownTable?.address))
      this.pages.release(m.ownTable.address, cdTableBytes(m.ownTable));
    return this.result(`the guest has let go of ${m.name}`);
  }

  /** Maps guest physical memory for DMA. `gpa` may be any address; whether stage 2 has it shows at the access. */
  *map(o: { domain: string; iova: Address; gpa: Address; size: number; perm?: Perm }): Op<OpResult> {
    return yield* withMemory(this.mapNow(o));
  }

  private *mapNow(o: { domain: string; iova: Address; gpa: Address; size: number; perm?: Perm }): Op<OpResult> {
    const domain = this.pagingDomain(o.domain);
    if (typeof domain === 'string') return refused(domain, 'ENODEV');
    this.begin();
    const iova = Number(o.iova);
    const errno = yield* map(this, domain, { iova, gpa: Number(o.gpa), size: o.size, perm: o.perm ?? 'rw' });
    const text = `${sizeText(o.size)} at ${hexPlain(o.iova)}`;
    if (errno !== '0') return { ok: false, errno, text: `map of ${text} fails: ${errno}` };
    return this.result(`${domain.name}: ${text} → ${hexPlain(o.gpa)}`);
  }

  /** Unmaps. `flush`: `strict` invalidates before it returns, `queued` leaves it to `flush`, `none` sends nothing at all. */
  *unmap(o: { domain: string; iova: Address; size: number; flush?: FlushMode }): Op<OpResult> {
    const domain = this.pagingDomain(o.domain);
    if (typeof domain === 'string') return refused(domain, 'ENODEV');
    this.begin();
    const done = yield* unmap(this, domain, Number(o.iova), o.size, o.flush ?? 'strict');
    const text = `${domain.name}: ${sizeText(done)} at ${hexPlain(o.iova)} unmapped`;
    const r = this.result(done === o.size ? text : `${text}, ${sizeText(o.size)} asked`);
    return { ...r, ok: r.ok && done === o.size, out: { unmapped: done } };
  }

  /** Empties the flush queue of one domain, or of all that have something in it. */
  *flush(o: { domain?: string } = {}): Op<OpResult> {
    this.begin();
    const chosen = this.state.domains.filter((d) => (o.domain === undefined ? d.queued > 0 : d.name === o.domain));
    if (o.domain !== undefined && chosen.length === 0) return refused(`no DMA domain is named ${o.domain}`, 'ENODEV');
    for (const d of chosen) yield* flushQueue(this, d);
    const names = chosen.map((d) => d.name).join(', ');
    return this.result(names ? `flush queue of ${names} emptied` : 'nothing waits in a flush queue');
  }

  /** One raw command and a CMD_SYNC on the guest's own queue. */
  *invalidate(words: Command): Op<OpResult> {
    if (!this.state.cmdq) return refused('the guest has no command queue before it boots');
    this.begin();
    yield* submit(this, [[words[0] ?? 0n, words[1] ?? 0n]]);
    return this.result('command sent');
  }

  /** A held-back message of the injection point `guest.command` arrives. */
  *deliver(words: Command): Op<void> {
    yield* deliver(this, words);
  }

  /** Serves the vSMMU's interrupt lines. Call it after whatever may have raised one. */
  *interrupt(): Op<void> {
    yield* interrupt(this);
  }

  /** What the scene shows of the guest. */
  views(): GuestViews {
    return viewsOf(this);
  }

  table(d: Domain): Vmsav8Table {
    const known = this.tables.get(d.name);
    if (known?.root === d.root) return known;
    const t = new Vmsav8Table(this.memory, this.pages, tableConfig(this.state), d.root);
    this.tables.set(d.name, t);
    return t;
  }

  save(): unknown {
    return structuredClone(this.state);
  }

  load(s: unknown): void {
    this.state = structuredClone(s) as GuestState;
    this.tables.clear();
  }

  private begin(): void {
    this.state.errors = [];
  }

  private result(text: string): OpResult {
    const { errors } = this.state;
    return errors.length ? { ok: false, text: `${text}; ${errors.join('; ')}` } : { ok: true, text };
  }

  private find(device: string): Master | undefined {
    return this.state.masters.find((m) => m.name === device);
  }

  /** The device's entry; a device that was plugged in after boot is probed here. */
  private *master(device: string): Op<Master | string> {
    if (!this.state.booted) return 'the guest has not booted';
    const d = this.devices.find((x) => x.name === device);
    if (!d) return `no device is named ${device}`;
    if (!this.present(device)) return `${device} is not plugged into the guest`;
    return this.find(device) ?? (yield* addMaster(this, d));
  }

  private pagingDomain(name: string): Domain | string {
    if (!this.state.booted) return 'the guest has not booted';
    return isPaging(name) ? this.domain(name) : `${name} has no page table`;
  }

  /** arm_smmu_domain_finalise at first use: a table and the lowest ASID that was never used. */
  private domain(name: string): Domain {
    const known = this.state.domains.find((d) => d.name === name);
    if (known) return known;
    const t = new Vmsav8Table(this.memory, this.pages, tableConfig(this.state));
    const d: Domain = { name, asid: this.state.nextAsid++, root: t.root, mappings: [], queued: 0 };
    this.tables.set(name, t);
    this.state.domains.push(d);
    return d;
  }
}

const tableConfig = (s: GuestState) => ({ stage: 1, inputBits: 48, outputBits: s.features?.oas ?? 44 }) as const;

/** A guest without free pages fails with ENOMEM, as its kernel would. */
function* withMemory(op: Op<OpResult>): Op<OpResult> {
  try {
    return yield* op;
  } catch (e) {
    if (e instanceof RangeError && e.message.startsWith('no free pages'))
      return refused(`the guest has ${e.message}`, 'ENOMEM');
    throw e;
  }
}

const refused = (text: string, errno?: string): OpResult => ({ ok: false, text, ...(errno ? { errno } : {}) });
