import type { Band } from '../../engine/trace/index.ts';
import type { Tone } from './message.ts';

/**
 * The colours of the diagram: names that the page's style sheet defines for light and dark. The values behind them are
 * for a page that doesn't, and for an exported drawing.
 */
export const colours = {
  panel: 'var(--panel, #ffffff)',
  sunken: 'var(--sunken, #f2f4f7)',
  line: 'var(--line, #e3e6eb)',
  lineStrong: 'var(--line-strong, #c6cdd8)',
  ink: 'var(--ink, #1b2330)',
  ink2: 'var(--ink-2, #4d586b)',
  ink3: 'var(--ink-3, #5f6b80)',
  accent: 'var(--accent, #2563eb)',
  accentSoft: 'var(--accent-soft, #eef4ff)',
  filled: 'var(--filled, #16a34a)',
  filledInk: 'var(--filled-ink, #166b36)',
  filledSoft: 'var(--filled-soft, #ecfaf1)',
  hit: 'var(--hit, #0284c7)',
  hitInk: 'var(--hit-ink, #075985)',
  hitSoft: 'var(--hit-soft, #e9f6fd)',
  removed: 'var(--removed, #dc2626)',
  removedInk: 'var(--removed-ink, #b01c1c)',
  removedSoft: 'var(--removed-soft, #fdecec)',
  wasted: 'var(--wasted, #be185d)',
  wastedInk: 'var(--wasted-ink, #9d174d)',
  wastedSoft: 'var(--wasted-soft, #fdeef5)',
  stale: 'var(--stale, #d97706)',
  staleInk: 'var(--stale-ink, #8a4a06)',
  staleSoft: 'var(--stale-soft, #fff8e6)',
} as const;

interface Shade {
  readonly line: string;
  readonly ink: string;
  readonly soft: string;
}

export const bandShades: Readonly<Record<Band, Shade>> = {
  guest: { line: 'var(--guest, #0b7f75)', ink: 'var(--guest-ink, #0b6b63)', soft: 'var(--guest-soft, #ebf4f3)' },
  vmm: { line: 'var(--vmm, #7c3aed)', ink: 'var(--vmm-ink, #6d28d9)', soft: 'var(--vmm-soft, #f2effb)' },
  kernel: { line: 'var(--kernel, #2563eb)', ink: 'var(--kernel-ink, #1d4ed8)', soft: 'var(--kernel-soft, #eef2fd)' },
  hardware: {
    line: 'var(--hardware, #b45309)',
    ink: 'var(--hardware-ink, #94430a)',
    soft: 'var(--hardware-soft, #f6f1ec)',
  },
};

const removed: Shade = { line: colours.removed, ink: colours.removedInk, soft: colours.removedSoft };

export const toneShades: Readonly<Record<Tone, Shade>> = {
  guest: bandShades.guest,
  vmm: bandShades.vmm,
  iommufd: bandShades.kernel,
  driver: bandShades.kernel,
  iommu: bandShades.hardware,
  device: bandShades.hardware,
  removed,
  fault: removed,
  wasted: { line: colours.wasted, ink: colours.wastedInk, soft: colours.wastedSoft },
};

export const fateShades: Readonly<Record<'filled' | 'hit' | 'removed' | 'wasted' | 'stale', Shade>> = {
  filled: { line: colours.filled, ink: colours.filledInk, soft: colours.filledSoft },
  hit: { line: colours.hit, ink: colours.hitInk, soft: colours.hitSoft },
  removed,
  wasted: toneShades.wasted,
  stale: { line: colours.stale, ink: colours.staleInk, soft: colours.staleSoft },
};

export const sansFont = "'Inter Variable', Inter, system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
export const monoFont =
  "ui-monospace, 'SF Mono', 'Cascadia Mono', 'JetBrains Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace";
