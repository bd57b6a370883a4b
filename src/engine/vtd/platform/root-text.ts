import { hex } from '../../bits/index.ts';

const modes: Readonly<Record<number, string>> = { 0: 'legacy', 1: 'scalable', 3: 'abort' };

/** Where the root table lies and how it is read. */
export function rootLines(rtaddr: bigint): string[] {
  if (rtaddr === 0n) return ['none'];
  return [hex(rtaddr & ~0xfffn), modes[Number((rtaddr >> 10n) & 3n)] ?? 'reserved mode'];
}
