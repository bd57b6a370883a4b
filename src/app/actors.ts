import { type Actor, type Band, bandOf } from '../engine/trace/index.ts';
import type { Operation } from '../store/index.ts';

/** Colour classes of the four bands, written out so that the style sheet's build finds them. */
export const bandStyle: Readonly<Record<Band, { dot: string; ring: string; text: string; edge: string }>> = {
  guest: { dot: 'bg-guest', ring: 'border-guest', text: 'text-guest-ink', edge: 'border-l-guest' },
  vmm: { dot: 'bg-vmm', ring: 'border-vmm', text: 'text-vmm-ink', edge: 'border-l-vmm' },
  kernel: { dot: 'bg-kernel', ring: 'border-kernel', text: 'text-kernel-ink', edge: 'border-l-kernel' },
  hardware: { dot: 'bg-hardware', ring: 'border-hardware', text: 'text-hardware-ink', edge: 'border-l-hardware' },
};

export const bandName: Readonly<Record<Band, string>> = {
  guest: 'Guest',
  vmm: 'VMM',
  kernel: 'Host kernel',
  hardware: 'Hardware',
};

/** Who acts first in an operation: gives its step the colour. */
export function bandOfOperation(op: Operation | null): Band {
  const name = op?.do ?? 'setup';
  if (name.startsWith('guest.')) return 'guest';
  if (name.startsWith('device.')) return 'hardware';
  if (name.startsWith('vmm.') || name === 'ioctl' || name.startsWith('fd.')) return 'vmm';
  if (name === 'register.write' || name === 'register.read') return op?.iommu === 'virtual' ? 'guest' : 'kernel';
  if (name === 'memory.write' || name === 'memory.read') return op?.space === 'guest' ? 'guest' : 'kernel';
  if (name === 'inject') return 'hardware';
  return 'kernel';
}

export const bandOfActor = (actor: Actor): Band => bandOf[actor];
