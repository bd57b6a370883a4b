import { Injector, type Op, runToEnd } from '../../machine/index.ts';
import { Memory, PageAllocator } from '../../memory/index.ts';
import { type DmaOutcome, type DmaRequest, PciDevice } from '../../pci/index.ts';
import { Trace } from '../../trace/index.ts';
import { staleNames } from '../hardware/fixtures/stale.ts';
import { physicalFeatures, VtdUnit } from '../hardware/index.ts';
import {
  createKernel,
  type DeviceInfo,
  type Domain,
  deviceOf,
  enableTranslation,
  finalizeDevice,
  type Kernel,
  type LinuxPciDevice,
  linuxRulesWith,
  newDomain,
  probeDevice,
  startUnits,
} from './index.ts';

/** A kernel on a unit with all its caches, and one device; tables are made by hand. For tests. */

export const IOVA = 0x7f0012345000n;
export const PAGE = 0x2000_0000;
export const OTHER = 0x2100_0000;

export interface Machine {
  readonly memory: Memory;
  readonly unit: VtdUnit;
  readonly pci: PciDevice;
  readonly injector: Injector;
  k: Kernel;
  /** Answers on the bus. */
  present: boolean;
  readonly d: DeviceInfo;
  run<T>(op: Op<T>): T;
  /** A kernel starts on the unit as it is; the device's ATS is on only after `finalizeDevice`. */
  boot(): void;
  page(): number;
  /** Four levels of tables down to one leaf, with those bits. Gives the leaf's address. */
  map(root: number, address: bigint, pa: number, tableBits: bigint, leafBits: bigint): number;
  /** A first-stage domain that maps IOVA. */
  first(pa?: number, more?: { readonly faults?: boolean }): { domain: Domain; leaf: number; root: number };
  /** A nested domain whose parent maps its tables and `PAGE` one to one. */
  nested(): { parent: Domain; child: Domain; last: number };
  dma(q?: Partial<DmaRequest>): DmaOutcome;
  ats(pasid?: number, iova?: bigint): DmaOutcome;
  ask(pasid: number, group: number): void;
  stale(): string[];
}

const IDS = {
  driver: 'kernel.driver',
  unit: 'hw.unit',
  queue: 'hw.iq',
  prq: 'hw.prq',
  frcd: 'hw.frcd',
  root: 'hw.root',
  context: () => 'hw.root',
  pasid: () => 'hw.root',
};

/** @param late the device's PASIDs, ATS and PRI are left off */
export function machine(
  deviations: readonly string[] = [],
  features: Record<string, boolean | number> = {},
  late = false,
): Machine {
  const memory = new Memory(2 ** 30);
  const trace = new Trace();
  const injector = new Injector(trace);
  const pci = new PciDevice({ name: 'nic0', rid: 0x3b00, vrid: 0, pasidBits: 20, ats: true, pri: true });
  const unit = new VtdUnit(memory, physicalFeatures({ DIT: false, ...features }), [pci], trace, injector);
  const pages = new PageAllocator(0x1000_0000, 0x2000_0000);
  const kernel = (): Kernel =>
    createKernel({
      actor: 'driver',
      bus: memory,
      pages,
      trace,
      injector,
      rules: linuxRulesWith('driver', deviations),
      units: [{ name: 'dmar0', port: unit, ids: IDS }],
      devices: [{ unit: 0, pci: view(pci, () => m.present) }],
    });
  const m: Machine = {
    memory,
    unit,
    pci,
    injector,
    present: true,
    k: undefined as unknown as Kernel,
    get d() {
      return deviceOf(m.k, 'nic0');
    },
    run: runToEnd,
    boot() {
      m.k = kernel();
      runToEnd(startUnits(m.k));
      runToEnd(probeDevice(m.k, 'nic0'));
    },
    page: () => pages.alloc(4096),
    map(root, address, pa, tableBits, leafBits) {
      let at = root;
      for (let level = 4; level > 1; level--) {
        const slot = at + Number((address >> BigInt(3 + 9 * level)) & 511n) * 8;
        if (memory.readWord(slot) === 0n) memory.writeWord(slot, BigInt(m.page()) | tableBits);
        at = Number(memory.readWord(slot) & 0xffffffffff000n);
      }
      const leaf = at + Number((address >> 12n) & 511n) * 8;
      memory.writeWord(leaf, BigInt(pa) | leafBits);
      return leaf;
    },
    first(pa = PAGE, more = {}) {
      const root = m.page();
      const leaf = m.map(root, IOVA, pa, 0x27n, 0x67n);
      return { domain: newDomain(m.k, { kind: 'fs', root: BigInt(root), ...more }), leaf, root };
    },
    nested() {
      const fs = m.page();
      m.map(fs, IOVA, PAGE, 0x27n, 0x67n);
      const ss = m.page();
      for (let at = fs; at < ss; at += 4096) m.map(ss, BigInt(at), at, 3n, 3n);
      const last = m.map(ss, BigInt(PAGE), PAGE, 3n, 3n);
      const parent = newDomain(m.k, { kind: 'ss', root: BigInt(ss), nestParent: true, coherent: true, dirtyOps: true });
      return { parent, child: newDomain(m.k, { kind: 'nested', parent: parent.handle, root: BigInt(fs) }), last };
    },
    dma: (q = {}) => runToEnd(unit.dma({ device: pci, pasid: -1, iova: IOVA, write: false, translated: false, ...q })),
    ats: (pasid = -1, iova = IOVA) => runToEnd(unit.ats(pci, pasid, iova, false)),
    ask: (pasid, group) => void runToEnd(unit.pri(pci, pasid, 0x5000n, { read: true, write: false }, group, true)),
    stale: () => staleNames([unit], [pci]),
  };
  m.boot();
  if (late) return m;
  runToEnd(finalizeDevice(m.k, 'nic0'));
  runToEnd(enableTranslation(m.k));
  return m;
}

/** The function's enable bits, as the kernel reaches them. */
function view(pci: PciDevice, present: () => boolean): LinuxPciDevice {
  return {
    name: pci.name,
    rid: pci.rid,
    pasidBits: pci.pasidBits,
    atsCapable: true,
    priCapable: true,
    get present() {
      return present();
    },
    get atsEnabled() {
      return pci.atsEnabled;
    },
    set atsEnabled(on) {
      pci.atsEnabled = on;
    },
    get pasidEnabled() {
      return pci.pasidEnabled;
    },
    set pasidEnabled(on) {
      pci.pasidEnabled = on;
    },
    get priEnabled() {
      return pci.priEnabled;
    },
    set priEnabled(on) {
      pci.priEnabled = on;
    },
  };
}
