import { checkScenario, validateOperation } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import { findVendor, loadVendors } from '../../engine/machine/vendors.ts';
import { type VendorName, vendors } from './bytes.ts';
import type { Random } from './random.ts';
import { bytes, hex, type VendorParts, vendorParts } from './vendor-parts.ts';

await loadVendors([...vendors]);

/** Random operations of whole machines through the session, correct ones and others. */

/** Steps of one machine before another is made. */
const EPISODE = 250;

export interface Tally {
  done: number;
  succeeded: number;
  /** Steps that the document's checks refused: they never reached the machine. */
  refused: number;
  stale: number;
  /** Longest step in ms. */
  slowest: number;
  /** Broken promises of the engine, each with how to get there. */
  readonly crashes: string[];
}

interface Machine {
  readonly parts: VendorParts;
  readonly devices: readonly { readonly name: string; readonly guest?: string }[];
  readonly session: Session;
  readonly about: string;
}

function machine(r: Random, vendor: VendorName, deviations: readonly string[]): Machine {
  const parts = vendorParts[vendor];
  const guests = r.once(3) ? ['vm0', 'vm1'] : null;
  const iommus = r.once(3) ? parts.units : null;
  const devices = [0, 1, 2, 3].map((i) => {
    const ats = !r.once(3);
    const pri = r.once(2);
    // A device whose accesses can wait does not ask for translations.
    const stall = parts.stalls && r.once(3) && !ats;
    return {
      name: `d${i}`,
      rid: hex(0x100 + i * 8),
      ats,
      pri,
      ...(parts.stalls ? { stall } : {}),
      pasidBits: r.pick([0, 4, 16]),
      ...(guests ? { guest: guests[i % 2]! } : {}),
      ...(iommus ? { iommu: iommus[(i >> 1) % 2]! } : {}),
    };
  });
  const broken = r.once(2) ? [r.pick(deviations)] : [];
  const features = parts.features(r);
  const memory = { memory: '64MiB', backing: r.pick(['4KiB', '2MiB']) };
  const scenario = {
    format: 'iommuscope/1',
    title: 'soak',
    platform: {
      iommu: vendor,
      memory: '2GiB',
      features,
      deviations: broken,
      policy: { batch: r.pick([1, 1, 4]), ...(r.once(3) ? { pageFaults: 'forwarded' } : {}) },
      ...(guests ? { guests: guests.map((name) => ({ name, ...memory })) } : { guest: memory }),
      ...(iommus ? { iommus } : {}),
    },
    devices,
    setup: r.pick(['booted', 'booted', 'booted', 'plugged', 'bare']),
    steps: [],
  };
  const checked = checkScenario(scenario);
  if (!checked.ok) throw new Error(`${checked.error.path}: ${checked.error.message}`);
  const session = new Session(checked.document, undefined, { checkpoints: 8, events: 2000 });
  return { parts, devices, session, about: JSON.stringify(scenario) };
}

/** One step, as a person or a fuzzer would write it. */
function step(r: Random, m: Machine): object {
  const d = r.pick(m.devices);
  const g = d.guest ? { guest: d.guest } : {};
  const device = d.name;
  const iova = hex(r.once(8) ? r.u64() : r.pick([0x10000, 0x11000, 0x12000, 0x20_0000, 0x20_3000, 0x4020_0000]));
  const gpa = hex(r.pick([0x4020_0000, 0x4020_1000, 0x9000_0000, 0x4100_0000, 0x4200_0000]));
  const size = r.pick(['4KiB', '4KiB', '8KiB', '64KiB', '2MiB']);
  const domain = r.pick(['dma0', 'dma0', 'dma1']);
  const process = r.pick(['app0', 'app1']);
  const pasid = r.below(4);
  const with_ = r.once(3) ? { pasid } : {};
  const access = r.pick(['read', 'write']);
  switch (r.below(30)) {
    case 0:
    case 1:
      return {
        do: 'guest.attach',
        device,
        domain: r.pick(['dma0', 'dma0', 'dma1', 'bypass', 'blocked']),
        ...with_,
        ...g,
      };
    case 2:
      return { do: 'guest.detach', device, ...with_, ...g };
    case 3:
    case 4:
    case 5:
      return { do: 'guest.map', domain: r.once(3) ? process : domain, iova, gpa, size, ...g };
    case 6:
    case 7:
      return {
        do: 'guest.unmap',
        domain: r.once(3) ? process : domain,
        iova,
        size,
        flush: r.pick(['strict', 'strict', 'queued', 'none']),
        ...g,
      };
    case 8:
      return { do: 'guest.flush', ...g };
    case 9:
      return { do: 'guest.bind', device, process, ...g };
    case 10:
      return { do: 'guest.unbind', device, process, ...g };
    case 11:
      return { do: 'guest.exit', process, ...g };
    case 12:
      return { do: 'guest.invalidate', bytes: bytes(r, m.parts.commandBytes), ...g };
    case 13:
      return { do: r.pick(['vmm.map', 'vmm.unmap']), gpa: '0x90000000', size: '2MiB', ...g };
    case 14:
      return r.once(2) ? { do: r.pick(['vmm.plug', 'vmm.unplug']), device, ...g } : { do: 'vmm.start', ...g };
    case 15:
      return {
        do: 'memory.write',
        space: r.pick(['guest', 'host']),
        at: hex(r.pick([0x4100_0000, 0x4101_0000, 0x1000_0000, 0x1001_0000]) + 8 * r.below(4096)),
        hex: bytes(r, 8),
        ...g,
      };
    case 16:
      return r.once(4)
        ? {
            do: 'register.write',
            iommu: r.pick(['physical', 'virtual']),
            reg: r.pick(m.parts.writable),
            value: hex(r.word() & 0xffff_ffffn),
          }
        : {
            do: 'register.read',
            iommu: r.pick(['physical', 'virtual']),
            reg: r.pick(m.parts.readable),
          };
    case 17:
      return {
        do: 'inject',
        at: r.pick(['guest.command', 'vmm.forward', 'host.command', 'atc.invalidation', 'event.record']),
        action: r.pick(['drop', 'delay', 'reorder', 'corrupt']),
      };
    case 18:
      return { do: 'device.pri', device, ...with_, iova, access, group: r.below(3), last: r.once(2) };
    case 19:
      return { do: 'device.reset', device };
    case 20:
      return { do: 'guest.boot', ...g };
    case 21:
      return { do: 'device.ats', device, ...with_, iova, access };
    case 22:
      return {
        do: 'ioctl',
        ...r.pick<object>([
          m.parts.invalidate(r),
          { call: 'IOMMU_DESTROY', in: { id: r.below(12) } },
          { call: 'IOMMU_IOAS_ALLOC' },
          {
            call: 'IOMMU_IOAS_UNMAP',
            in: { ioas_id: r.below(4), iova: hex(0x4000_0000 + 4096 * r.below(64)), length: hex(4096 * r.below(9)) },
          },
          m.parts.allocate(r),
        ]),
      };
    default:
      return { do: 'device.dma', device, ...with_, iova, access, ats: r.pick(['translated', 'untranslated']) };
  }
}

/** What gives the rest something to work on. */
function beginning(m: Machine): object[] {
  return m.devices.flatMap(({ name: device, guest }) => {
    const g = guest ? { guest } : {};
    return [
      { do: 'guest.attach', device, domain: 'dma0', ...g },
      { do: 'vmm.map', gpa: '0x90000000', size: '2MiB', ...g },
      { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000', size: '64KiB', ...g },
      { do: 'guest.map', domain: 'dma0', iova: '0x200000', gpa: '0x90000000', size: '2MiB', ...g },
    ];
  });
}

/** Runs `n` operations; machines are made anew now and then. `now` is a clock in ms. */
export function soakOperations(
  vendor: VendorName,
  r: Random,
  n: number,
  now: () => number,
  progress: (t: Tally) => void,
): Tally {
  const deviations = findVendor(vendor)!.deviations.map((d) => d.name);
  const t: Tally = { done: 0, succeeded: 0, refused: 0, stale: 0, slowest: 0, crashes: [] };
  while (t.done < n) {
    const m = machine(r, vendor, deviations);
    m.session.runAll();
    const seen: object[] = [];
    if (m.session.steps[0]!.crash !== undefined) t.crashes.push(`setup: ${m.session.steps[0]!.crash} in ${m.about}`);
    const first = beginning(m);
    for (let i = 0; i < EPISODE && t.done < n; ) {
      const s = first.shift() ?? step(r, m);
      const checked = validateOperation(s, { document: m.session.document });
      if (!checked.ok) {
        t.refused++;
        continue;
      }
      const start = now();
      seen.push(s);
      const record = m.session.append(checked.step);
      t.slowest = Math.max(t.slowest, now() - start);
      if (record.crash !== undefined && t.crashes.length < 20)
        t.crashes.push(`${record.crash} at ${JSON.stringify(s)}, step ${seen.length} of ${m.about}`);
      if (record.result.ok) t.succeeded++;
      if (record.hazards.length > 0) t.stale++;
      t.done++;
      i++;
      progress(t);
      // A look into the past: the replay must come back to where it was.
      if (r.once(100)) {
        const at = r.below(m.session.steps.length);
        m.session.platformAt(at, r.below(m.session.steps[at]!.eventCount + 1)).hazards();
      }
    }
  }
  return t;
}
