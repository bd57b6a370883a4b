/** Where the bytes of a dump go in the memory of a scenario, and what has to be made beside them. */

import { encode, fieldOf, getField } from '../../engine/bits/index.ts';
import { cdLayout, steLayout } from '../../engine/smmuv3/layout/index.ts';
import { type CdFound, type Dump, physicalOf, type Role, type TreeFound } from '../arm/link.ts';
import { freePages, Image } from '../image.ts';
import type { Plan } from './plan.ts';

export interface Placed {
  /** Physical memory of the scenario. */
  readonly image: Image;
  readonly sid: number;
  readonly steAt: number;
  /** STRTAB_BASE and STRTAB_BASE_CFG. */
  readonly base: number;
  readonly cfg: number;
  /** A page for the command queue and one for the event queue. */
  readonly queues: number;
  readonly notes: readonly string[];
  readonly labels: ReadonlyMap<number, string>;
}

const hex = (v: number | bigint): string => `0x${v.toString(16)}`;
const steGet = (w: readonly bigint[], n: string): bigint => getField(fieldOf(steLayout, n), w);

const guestRole = (r: Role | null): boolean =>
  r !== null && (r.kind === 'table' ? r.found.guest : r.kind === 'cd' || r.kind === 'l1cd' ? r.guest : false);

/** Copies the dump; what it gives under guest addresses goes where stage 2 puts it. */
function copy(dump: Dump, plan: Plan, notes: string[]): Image {
  const image = new Image();
  const to = physicalOf(dump.image, plan.ste?.words ?? null);
  let moved = 0;
  for (const run of dump.image.runs())
    for (let i = 0; i < run.words.length; i++) {
      const at = run.address + 8 * i;
      let target = at;
      if (guestRole(dump.roleAt(at))) {
        const end = to(at);
        if (end.kind === 'mapped' && end.out !== at) {
          target = end.out;
          moved++;
        }
      }
      image.add(target, [run.words[i]!]);
    }
  if (moved > 0)
    notes.push(
      `${8 * moved} bytes are given under guest physical addresses; they lie where the stage-2 tables put them.`,
    );
  return image;
}

/** A CD for tables that come without one. */
function madeCd(tree: TreeFound): bigint[] {
  const { granule, bits, root } = tree.tree;
  return encode(cdLayout, {
    T0SZ: 64 - bits,
    TG0: granule === 12 ? 0 : granule === 16 ? 1 : 2,
    EPD1: 1,
    V: 1,
    IPS: 5,
    AA64: 1,
    R: 1,
    A: 1,
    ASET: 1,
    ASID: 1,
    TTB0: BigInt(root),
    MAIR: 0xf404ff44n,
  });
}

/** Where an STE with this address can belong, and with which stream table. */
function table(
  image: Image,
  at: number,
  sid: number | null,
  notes: string[],
): { sid: number; base: number; cfg: number } {
  const slot = (bits: number): number => Math.floor(at / 64) % 2 ** bits;
  if (sid !== null) {
    for (let bits = Math.max(8, sid.toString(2).length); bits <= 16; bits++)
      if (slot(bits) === sid) return { sid, base: at - sid * 64, cfg: bits };
    if (slot(8) === sid % 256 && sid < 2 ** 16) {
      // A level-1 table of 256 entries, SPLIT 8.
      const l1 = freePages(image, 4096);
      image.add(l1 + Math.floor(sid / 256) * 8, [BigInt(at - slot(8) * 64) | 9n]);
      notes.push(`A level-1 stream table at ${hex(l1)} is made, since the text has none.`);
      return { sid, base: l1, cfg: 16 | (8 << 6) | (1 << 16) };
    }
    notes.push(
      `An STE at ${hex(at)} cannot belong to StreamID ${hex(sid)} in a stream table as Linux makes it; ${hex(slot(8))} stands for it.`,
    );
  }
  return { sid: slot(8), base: at - slot(8) * 64, cfg: 8 };
}

/** Lays everything out. */
export function place(dump: Dump, plan: Plan): Placed {
  const notes: string[] = [];
  const labels = new Map<number, string>();
  const image = copy(dump, plan, notes);
  const to = physicalOf(dump.image, plan.ste?.words ?? null);
  let entry: readonly bigint[] | null = plan.ste?.words ?? null;
  let cdAt = plan.cd?.address ?? null;
  const cd = plan.cd;
  if (cd && cdAt === null) {
    const pointer = entry ? Number(steGet(entry, 'S1ContextPtr')) + cd.ssid * 64 : 0;
    const end = to(pointer);
    const known = entry !== null && (steGet(entry, 'Config') & 5n) === 5n;
    cdAt = known && end.kind === 'mapped' ? end.out : known ? pointer : freePages(image, 4096);
    image.add(cdAt, cd.words);
    notes.push(
      known
        ? `The context descriptor has no address in the text; it lies where the STE points, at ${hex(cdAt)}.`
        : `The context descriptor has no address in the text; it lies at ${hex(cdAt)}.`,
    );
  }
  if (!entry && !cd) {
    const tree = dump.lone;
    if (tree) {
      cdAt = freePages(image, 4096);
      image.add(cdAt, madeCd(tree));
      labels.set(cdAt, 'Context descriptor, made for the tables of the text');
      notes.push('The text has neither an STE nor a CD; both are made for its tables.');
    }
  } else if (!entry) notes.push('The text has no STE; one is made that uses the CD for stage 1 alone.');
  if (!entry)
    entry = encode(steLayout, {
      V: 1,
      Config: cdAt === null ? 4 : 5,
      S1ContextPtr: BigInt(cdAt ?? 0),
      S1CIR: 1,
      S1COR: 1,
      S1CSH: 3,
    });
  let steAt = plan.ste?.address ?? null;
  if (steAt === null) {
    const sid = plan.ste?.sid ?? plan.fault?.sid ?? 8;
    steAt = freePages(image, 2 ** 14, 2 ** 14) + (sid % 256) * 64;
    image.add(steAt, entry);
    if (plan.ste) notes.push(`The STE has no address in the text; it lies at ${hex(steAt)}.`);
    labels.set(steAt, plan.ste ? 'STE' : 'STE, made for the tables of the text');
  }
  const at = table(image, steAt, plan.ste?.sid ?? plan.fault?.sid ?? null, notes);
  if (plan.ste?.address != null && plan.ste.sid === null && plan.fault?.sid == null)
    notes.push(`The text does not name the StreamID; the place of the STE allows ${hex(at.sid)}.`);
  labels.set(steAt, labels.get(steAt) ?? `STE of StreamID ${hex(at.sid)}`);
  for (const c of dump.cds) if (c.address !== null) labels.set(c.address, cdLabel(c));
  const queues = freePages(image, 8192, 8192);
  return { image, ...at, steAt, queues, notes, labels };
}

const cdLabel = (c: CdFound): string => `Context descriptor${c.ssid > 0 ? ` of PASID ${c.ssid}` : ''}`;
