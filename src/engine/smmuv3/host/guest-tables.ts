import { encode } from '../../bits/index.ts';
import { cdLayout } from '../layout/index.ts';
import { type Bed, MiB, RAM } from './testbed.ts';

/** For tests: what a guest has in its memory, written where the testbed's stage 2 puts it (1 GiB from IPA 0x4000_0000). */

/** Physical address behind an IPA: neighbouring 2 MiB pieces are swapped. */
export function physical(ipa: number): number {
  const offset = ipa - 0x40000000;
  const piece = Math.floor(offset / (2 * MiB)) ^ 1;
  return RAM + piece * 2 * MiB + (offset % (2 * MiB));
}

/**
 * A CD in slot `ssid` of the table at `cds` and a three-level stage-1 table of 39 bits at `root`, all IPAs; IOVA `iova` leads
 * to IPA `page`. Both lie in one 2 MiB piece each.
 */
export function guestStage1(
  b: Bed,
  g: { cds: number; ssid?: number; asid: number; root: number; iova: number; page: number; stalls?: boolean },
): void {
  const cd = encode(cdLayout, {
    T0SZ: 25,
    IR0: 1,
    OR0: 1,
    SH0: 3,
    EPD1: 1,
    V: 1,
    IPS: 5,
    AA64: 1,
    S: g.stalls ?? false,
    R: 1,
    A: 1,
    ASET: 1,
    ASID: g.asid,
    TTB0: BigInt(g.root),
    MAIR: 0xffn,
  });
  const put = (ipa: number, word: bigint): void => b.memory.writeWord(physical(ipa), word);
  cd.forEach((w, i) => {
    put(g.cds + (g.ssid ?? 0) * 64 + i * 8, w);
  });
  const index = (level: number): number => Math.floor(g.iova / 2 ** (39 - 9 * level)) % 512;
  put(g.root + index(1) * 8, BigInt(g.root + 0x1000) | 3n);
  put(g.root + 0x1000 + index(2) * 8, BigInt(g.root + 0x2000) | 3n);
  // Valid page: AF, inner shareable, EL0 read and write, attribute 0.
  put(g.root + 0x2000 + index(3) * 8, BigInt(g.page) | 0xf43n);
}

/** Takes the leaf away again. */
export function guestUnmap(b: Bed, root: number, iova: number): void {
  b.memory.writeWord(physical(root + 0x2000 + (Math.floor(iova / 4096) % 512) * 8), 0n);
}
