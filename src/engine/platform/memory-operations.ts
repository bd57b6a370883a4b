import { bytesToWords, hexPlain } from '../bits/index.ts';
import { type Op, type OpResult, pause } from '../machine/index.ts';
import { PAGE_SIZE } from '../memory/index.ts';
import { type Guest, guestNamed, type Machine, unitNamed } from './machine.ts';
import { done, type Fields, refused } from './operation.ts';

/** What a document does to memory and registers by itself. */

/** @param placeOf scene id of a guest's table that holds the address; null: none is known */
export function* memoryWrite(
  p: Machine,
  op: Fields,
  placeOf: (g: Guest, address: number) => string | null = () => null,
): Op<OpResult> {
  const { space, at, bytes } = op as unknown as { space: 'host' | 'guest'; at: number; bytes: Uint8Array };
  const g = guestNamed(p, op.guest);
  const bus = space === 'host' ? p.memory : g.memory;
  if (!bus.contains(at, bytes.length))
    return refused(`${hexPlain(at)} to ${hexPlain(at + bytes.length - 1)} is not ${space} memory`, 'EFAULT');
  // One event a page: a large image is then still readable in the trace.
  for (let from = 0; from < bytes.length; ) {
    const n = Math.min(bytes.length - from, PAGE_SIZE - ((at + from) % PAGE_SIZE));
    bus.writeBytes(at + from, bytes.subarray(from, from + n));
    const first = at + from - ((at + from) % 8);
    const last = at + from + n;
    p.trace.listener?.({
      kind: 'table.write',
      actor: space === 'host' ? 'driver' : 'guest',
      at: space === 'host' ? p.drivers.sceneId() : (placeOf(g, first) ?? g.ends[0]!.queue),
      space,
      address: first,
      words: bytesToWords(bus.readBytes(first, Math.ceil((last - first) / 8) * 8)),
      layout: '',
      text: `${n} bytes at ${hexPlain(at + from)}`,
    });
    yield pause('any', 'memory.write');
    from += n;
  }
  return done(`${bytes.length} bytes written at ${space} ${hexPlain(at)}`);
}

export function memoryRead(p: Machine, op: Fields): OpResult {
  const { space, at, length } = op as unknown as { space: 'host' | 'guest'; at: number; length?: number };
  const bus = space === 'host' ? p.memory : guestNamed(p, op.guest).memory;
  const n = length ?? 8;
  if (!bus.contains(at, n)) return refused(`${hexPlain(at)} is not ${space} memory`, 'EFAULT');
  const bytes = bus.readBytes(at, n);
  return done(`${n} bytes read at ${space} ${hexPlain(at)}`, { out: { bytes }, main: bytesToWords(bytes)[0] ?? 0n });
}

/** The guest's end of a virtual unit and the VMM's. */
function virtualUnit(p: Machine, op: Fields) {
  const g = guestNamed(p, op.guest);
  const i = op.unit === undefined ? 0 : g.ends.findIndex((e) => e.name === op.unit);
  return { unit: g.vmm.units[i]!, end: g.ends[i]! };
}

/** @param isDoorbell tells the registers whose writes the unit itself says nothing about */
export function* registerWrite(p: Machine, op: Fields, isDoorbell: (reg: string) => boolean): Op<OpResult> {
  const { iommu, reg, value } = op as unknown as { iommu: 'physical' | 'virtual'; reg: string; value: bigint };
  const event = { kind: 'register.write', iommu, reg, value } as const;
  if (iommu === 'physical') {
    const u = unitNamed(p, op.unit);
    if (p.trace.listener && isDoorbell(reg))
      p.trace.listener({ ...event, actor: 'driver', at: u.driver.sceneId(), to: u.id });
    yield* u.iommu.writeRegister(reg, value);
  } else {
    const { unit, end } = virtualUnit(p, op);
    p.trace.listener?.({ ...event, actor: 'guest', at: end.queue, to: end.viommu });
    yield* unit.writeVirtual(reg, value);
  }
  return done(`${iommu} ${reg} = ${hexPlain(value)}`);
}

export function registerRead(p: Machine, op: Fields): OpResult {
  const { iommu, reg } = op as unknown as { iommu: 'physical' | 'virtual'; reg: string };
  const value =
    iommu === 'physical' ? unitNamed(p, op.unit).iommu.readRegister(reg) : virtualUnit(p, op).unit.readVirtual(reg);
  return done(`${iommu} ${reg} is ${hexPlain(value)}`, { out: { value }, main: value });
}
