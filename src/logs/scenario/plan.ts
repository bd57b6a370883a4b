/**
 * What a dump lets a device do: which STE and CD it takes, which address it sends, and what of the walk the text does not hold.
 */

import { fieldOf, getField, hexPlain } from '../../engine/bits/index.ts';
import { steLayout } from '../../engine/smmuv3/layout/index.ts';
import { type CdFound, type Dump, physicalOf, type SteFound, type TreeFound } from '../arm/link.ts';
import { type FoundLeaf, type Tree, type WalkEnd, walk } from '../arm/table-walk.ts';
import type { LogRecord } from '../record.ts';

/** A fault of the text that belongs to the dump. */
export interface Fault {
  readonly sid: number | null;
  readonly ssid: number | null;
  readonly address: bigint;
  readonly write: boolean;
  readonly name: string;
}

/** Bytes that the walk would read next. */
export interface Missing {
  readonly at: number;
  readonly bytes: number;
  readonly what: string;
}

export interface Plan {
  readonly ste: SteFound | null;
  readonly cd: CdFound | null;
  readonly address: bigint;
  readonly write: boolean;
  readonly pasid: number | null;
  readonly fault: Fault | null;
  /** Why this address. */
  readonly why: string;
  /** Where the walk of the pasted bytes arrives, null where it ends before. */
  readonly pa: number | null;
  readonly missing: readonly Missing[];
}

const ste = (s: SteFound, n: string): number => Number(getField(fieldOf(steLayout, n), s.words));
const big = (v: unknown): bigint | null => (typeof v === 'string' && /^0x[0-9a-f]+$/i.test(v) ? BigInt(v) : null);

/** Faults of the text with an address, in its order. */
export function faultsOf(records: readonly LogRecord[]): Fault[] {
  return records.flatMap((r) => {
    const address = big(r.input_addr ?? r.iova);
    if (address === null || (r.type !== 'smmuv3_event' && r.type !== 'smmuv3_event_line')) return [];
    const sid = big(r.sid);
    const ssid = big(r.ssid);
    return [
      {
        sid: sid === null ? null : Number(sid),
        ssid: ssid === null || (r.type === 'smmuv3_event_line' && ssid === 0n) ? null : Number(ssid),
        address,
        write: r.access === 'write',
        name: String(r.event ?? 'fault'),
      },
    ];
  });
}

/** Which STE: that of a fault of the text, else the first that translates. */
function pickSte(dump: Dump, faults: readonly Fault[]): { ste: SteFound | null; fault: Fault | null } {
  for (const fault of faults) {
    const found = dump.stes.find((s) => s.sid !== null && s.sid === fault.sid);
    if (found) return { ste: found, fault };
  }
  const unnamed = dump.stes.filter((s) => s.sid === null);
  const translates = (s: SteFound): boolean => ste(s, 'Config') >= 5;
  const best = unnamed.find(translates) ?? dump.stes.find(translates) ?? dump.stes[0] ?? null;
  const fault = best === null || best.sid === null ? (faults[0] ?? null) : null;
  return { ste: best, fault };
}

const accessible = (leaf: FoundLeaf): boolean => (leaf.word & 0x400n) !== 0n && (leaf.word & 0x40n) !== 0n;

const inputOf = (leaf: FoundLeaf): bigint => BigInt.asUintN(64, leaf.tree.offset + BigInt(leaf.input));

/** Tree and input without its offset for an address. */
function treeFor(trees: readonly TreeFound[], address: bigint): { tree: Tree; input: number } | null {
  for (const { tree } of trees) {
    const input = BigInt.asUintN(64, address) - tree.offset;
    if (input >= 0n && input < 1n << BigInt(tree.bits)) return { tree, input: Number(input) };
  }
  return null;
}

const level = (e: { stage: number; level: number }): string => `a stage-${e.stage} level-${e.level} descriptor`;

const missingOf = (end: WalkEnd, what: string): Missing[] =>
  end.kind === 'missing' ? [{ at: end.at, bytes: 8, what: `${level(end)}, read ${what}` }] : [];

/** Decides what the device does. */
export function plan(dump: Dump, records: readonly LogRecord[]): Plan {
  const faults = faultsOf(records);
  const { ste: entry, fault } = pickSte(dump, faults);
  const config = entry ? ste(entry, 'Config') : 5;
  const s1 = (config & 5) === 5;
  const s2 = (config & 6) === 6;
  const cds = dump.cds.filter((c) => c.ste === entry || c.ste === null);
  const wanted = fault?.ssid ?? null;
  const cd = !s1 ? null : ((wanted === null ? cds[0] : cds.find((c) => c.ssid === wanted)) ?? null);
  const substreams = entry !== null && ste(entry, 'S1CDMax') > 0;
  const byDefault = substreams && (cd?.ssid ?? 0) === 0 && ste(entry!, 'S1DSS') === 2;
  const pasid = wanted ?? (substreams && cd && !byDefault ? cd.ssid : null);
  const stage2 = entry ? dump.stage2.get(entry) : undefined;
  const trees = cd ? cd.trees : s2 && !s1 && stage2 ? [stage2] : [];
  const to = physicalOf(dump.image, entry?.words ?? null);
  const end2 = (out: number): WalkEnd => (s1 && s2 ? to(out) : { kind: 'mapped', out, word: 0n, shift: 64 });

  const leaves = trees.flatMap((t) => t.leaves);
  const arrives = (l: FoundLeaf): boolean => end2(l.out).kind === 'mapped';
  const leaf =
    leaves.find((l) => accessible(l) && arrives(l)) ?? leaves.find(arrives) ?? leaves.find(accessible) ?? leaves[0];
  const gap = trees.flatMap((t) => t.missing.map((m) => ({ ...m, tree: t.tree })))[0];
  const address = fault?.address ?? (leaf ? inputOf(leaf) : gap ? gap.tree.offset + BigInt(gap.input) : 0x1000n);
  const why = fault
    ? `the address of the ${fault.name} in the text`
    : leaf
      ? 'the first address that the tables map'
      : gap
        ? 'the first address whose table is not in the text'
        : 'any address: no table says which is mapped';

  const missing: Missing[] = [];
  let pa: number | null = null;
  if (entry && s1) {
    const at = Number(getField(fieldOf(steLayout, 'S1ContextPtr'), entry.words));
    missing.push(...missingOf(to(at), `to translate the IPA ${hexPlain(at)} of the context descriptor`));
    if (!cd)
      missing.push({
        at,
        bytes: 64,
        what: `the ${config === 7 ? 'IPA' : 'address'} of the ${substreams ? 'CD table' : 'context descriptor'}`,
      });
  }
  const start = treeFor(trees, address);
  if (start) {
    const lookup = guestOr(dump, entry, to);
    const end = walk(dump.image, start.tree, start.input, start.tree.stage === 1 ? lookup : undefined);
    missing.push(...missingOf(end, `to translate ${hexPlain(address)}`));
    if (end.kind === 'mapped') {
      const final = end2(end.out);
      missing.push(...missingOf(final, `to translate the IPA ${hexPlain(end.out)}`));
      if (final.kind === 'mapped') pa = final.out;
    }
  }
  return {
    ste: entry,
    cd,
    address: BigInt.asUintN(64, address),
    write: fault?.write ?? false,
    pasid,
    fault,
    why,
    pa,
    missing,
  };
}

/** Table addresses of stage 1: through stage 2, or as the text gives them. */
function guestOr(dump: Dump, entry: SteFound | null, to: (a: number) => WalkEnd): (a: number) => WalkEnd {
  if (!entry || ste(entry, 'Config') !== 7) return to;
  return (a) => {
    const end = to(a);
    const word = end.kind === 'mapped' ? dump.image.word(end.out - (end.out % 8)) : null;
    return word === null && dump.image.word(a - (a % 8)) !== null && end.kind === 'mapped'
      ? { kind: 'mapped', out: a, word: 0n, shift: 12, guest: true }
      : end;
  };
}
