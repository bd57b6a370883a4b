/** A pasted dump of VT-d's tables as a document: which device sends what, and the access to walk. */

import { hexPlain } from '../../engine/bits/index.ts';
import { ridText, type ScenarioDocument } from '../../engine/document/index.ts';
import {
  contextLayout,
  contextLegacyLayout,
  deviceText,
  pasidDirLayout,
  pasidLayout,
} from '../../engine/vtd/layout/index.ts';
import type { Role } from '../intel/link.ts';
import { requesterId } from '../intel/records.ts';
import type { VtdDump } from '../intel/tables.ts';
import { field, identity, type ToPhysical, type Tree, treesOf, type WalkEnd, walk } from '../intel/walk.ts';
import type { DecodedLog } from '../record.ts';
import type { Scenario } from './index.ts';
import { withOutcome } from './outcome.ts';
import type { Missing } from './plan.ts';
import { aboutText, accessText, memoryUpTo, tooHigh } from './text.ts';
import { pasidOf, placeVtd, type VtdPlaced } from './vtd-memory.ts';
import { MOST_STEPS, type Step, writes } from './writes.ts';

const MASK = 0x000f_ffff_ffff_f000n;

interface Access {
  readonly rid: number;
  readonly pasid: number | null;
  readonly address: bigint;
  readonly write: boolean;
  /** Why this address. */
  readonly why: string;
}

const big = (v: unknown): bigint | null => (typeof v === 'string' && /^0x[0-9a-f]+$/.test(v) ? BigInt(v) : null);

/** Faults of the text with a device and an address. */
function faultsOf(log: DecodedLog): Access[] {
  return log.records.flatMap((r) => {
    if (r.type !== 'dma_fault' && r.type !== 'vtd_fault_record') return [];
    const device = r['device'];
    const rid = typeof device === 'string' ? requesterId(device) : null;
    const address = big(r['addr']);
    if (rid === null || address === null) return [];
    const pasid = big(r['pasid']);
    return [
      {
        rid,
        pasid: pasid === null ? null : Number(pasid),
        address,
        write: r['access'] === 'write',
        why: `the address of the fault in the text (${r['condition'] ?? 'no reason given'})`,
      },
    ];
  });
}

function accessOf(log: DecodedLog, dump: VtdDump, placed: VtdPlaced): Access | null {
  const faults = faultsOf(log);
  const fault = faults.find((f) => placed.rids.includes(f.rid));
  if (fault) return fault;
  const walked = dump.walks.find((w) => typeof w.draft.iova === 'string');
  if (walked) {
    const rid = typeof walked.draft.device === 'string' ? requesterId(walked.draft.device) : null;
    return {
      rid: rid ?? placed.rids[0] ?? 8,
      pasid: pasidOf(walked) === 0 ? null : pasidOf(walked),
      address: BigInt(walked.draft.iova as string),
      write: false,
      why: 'the address that Linux walked the tables for',
    };
  }
  const mapped =
    placed.links.pasids.find((p) => p.leaves.length > 0 && p.rid !== null) ??
    placed.links.pasids.find((p) => p.rid !== null);
  if (mapped && mapped.rid !== null)
    return {
      rid: mapped.rid,
      pasid: mapped.pasid === null || mapped.pasid === ridPasid(placed, mapped.rid) ? null : mapped.pasid,
      address: mapped.leaves[0]?.input ?? 0x1000n,
      write: false,
      why:
        mapped.leaves.length > 0
          ? 'the first address that the tables map'
          : 'any address: no table says which is mapped',
    };
  for (const [rid, leaves] of placed.links.legacyLeaves)
    if (rid !== null && leaves[0])
      return { rid, pasid: null, address: leaves[0].input, write: false, why: 'the first address that the tables map' };
  const rid = placed.rids[0] ?? placed.links.contexts.find((c) => c.rid !== null)?.rid ?? null;
  return rid === null || rid === undefined
    ? null
    : { rid, pasid: null, address: 0x1000n, write: false, why: 'any address: no table says which is mapped' };
}

/** PASID of requests without one. */
function ridPasid(placed: VtdPlaced, rid: number): number {
  const c = placed.links.contexts.find((x) => x.rid === rid);
  return c?.scalable ? Number(field(contextLayout, 'RID_PASID', c.words)) : 0;
}

/** Follows an access through the bytes: what they do not hold, where it arrives, and how deep its second stage is. */
function follow(placed: VtdPlaced, a: Access): { missing: Missing[]; pa: number | null; levels: number } {
  const { image, root, scalable } = placed;
  const none = (at: number, bytes: number, what: string) => ({ missing: [{ at, bytes, what }], pa: null, levels: 0 });
  const nothing = { missing: [], pa: null, levels: 0 };
  const upper = scalable && (a.rid & 0x80) !== 0;
  const rootAt = root + (a.rid >> 8) * 16 + (upper ? 8 : 0);
  const rootWord = image.word(rootAt);
  if (rootWord === null) return none(rootAt, 8, `the root entry of bus ${hexPlain(a.rid >> 8)}`);
  if ((rootWord & 1n) === 0n) return nothing;
  const contextAt = Number(rootWord & MASK) + (scalable ? (a.rid & 0x7f) * 32 : (a.rid & 0xff) * 16);
  const context = image.words(contextAt, scalable ? 4 : 2);
  if (!context) return none(contextAt, scalable ? 32 : 16, `the context entry of ${deviceText(a.rid)}`);
  const layout = scalable ? contextLayout : contextLegacyLayout;
  if (field(layout, 'P', context) === 0n) return nothing;
  let first: Tree | null = null;
  let second: Tree | null = null;
  if (!scalable) {
    const aw = Number(field(layout, 'AW', context));
    if (field(layout, 'TT', context) === 2n) return { missing: [], pa: Number(a.address), levels: 0 };
    second = { stage: 2, root: Number(field(layout, 'SSPTPTR', context) & MASK), levels: aw + 2 };
  } else {
    const pasid = a.pasid ?? Number(field(layout, 'RID_PASID', context));
    const slot = Number(field(layout, 'PASIDDIRPTR', context) & MASK) + (pasid >> 6) * 8;
    const directory = image.word(slot);
    if (directory === null) return none(slot, 8, `the PASID directory entry of PASID ${hexPlain(pasid)}`);
    if (field(pasidDirLayout, 'P', [directory]) === 0n) return nothing;
    const at = Number(directory & MASK) + (pasid & 63) * 64;
    const entry = image.words(at, 8);
    if (!entry) return none(at, 64, `the PASID entry of PASID ${hexPlain(pasid)}`);
    if (field(pasidLayout, 'P', entry) === 0n) return nothing;
    if (field(pasidLayout, 'PGTT', entry) === 4n) return { missing: [], pa: Number(a.address), levels: 0 };
    ({ first, second } = treesOf(entry));
  }
  const levels = second?.levels ?? 0;
  const stage = second;
  const to: ToPhysical = stage ? (x) => walk(image, stage, BigInt(x)) : identity;
  const lacks = (end: WalkEnd): Missing[] =>
    end.kind === 'missing'
      ? [
          {
            at: end.at,
            bytes: 8,
            what: `a ${end.stage === 1 ? 'first' : 'second'}-stage level-${end.level} entry, read to translate ${hexPlain(a.address)}`,
          },
        ]
      : [];
  const end = first ? walk(image, first, a.address, to) : second ? walk(image, second, a.address) : null;
  if (!end) return { ...nothing, levels };
  if (end.kind !== 'mapped' || !first || !second)
    return { missing: lacks(end), pa: end.kind === 'mapped' ? end.out : null, levels };
  const final = to(end.out);
  return { missing: lacks(final), pa: final.kind === 'mapped' ? final.out : null, levels };
}

function roleText(role: Role | null): string | null {
  switch (role?.kind) {
    case 'root':
      return 'Root entries';
    case 'context':
      return role.rid === null ? 'Context entry' : `Context entry of ${deviceText(role.rid)}`;
    case 'directory':
      return 'PASID directory entries';
    case 'pasid':
      return role.rid === null ? 'PASID entries' : `PASID entries of ${deviceText(role.rid)}`;
    case 'table':
      return `${role.found.tree.stage === 1 ? 'First' : 'Second'}-stage level-${role.found.level} table`;
    default:
      return null;
  }
}

/** Builds the document of a text with VT-d tables in it. */
export function vtdScenario(log: DecodedLog, dump: VtdDump): Scenario {
  const placed = placeVtd(dump);
  const access = accessOf(log, dump, placed);
  if (!access)
    return {
      ok: false,
      why: 'The text holds no root, context or PASID entry and no page table to walk. Paste them with their addresses (`xp /512gx`, `rd -p`, `x/8gx`, `hexdump -C`), the walk that Linux prints after a fault, or dmar_translation_struct of debugfs.',
    };
  const { missing, pa, levels } = follow(placed, access);
  const top = Math.max(placed.image.end, (pa ?? 0) + 65536);
  const high = tooHigh(top);
  if (high) return { ok: false, why: high };
  const steps: Step[] = writes(placed.image, placed.labels, (at) => roleText(placed.links.roleAt(at)));
  if (steps.length > MOST_STEPS)
    return { ok: false, why: `The dump is too large for a scenario: ${steps.length} pieces, at most ${MOST_STEPS}.` };
  const write = (reg: string, value: number): void => {
    steps.push({ do: 'register.write', iommu: 'physical', reg, value: hexPlain(value) } as Step);
  };
  write('RTADDR_REG', placed.root + (placed.scalable ? 0x400 : 0));
  write('GCMD_REG', 0x40000000);
  write('GCMD_REG', 0x80000000);
  const verb = access.write ? 'write to' : 'read of';
  steps.push({
    do: 'device.dma',
    device: 'dev0',
    ...(access.pasid === null ? {} : { pasid: access.pasid }),
    iova: hexPlain(access.address),
    access: access.write ? 'write' : 'read',
    length: 4,
    say: accessText(access.why, missing),
  } as unknown as Step);
  const document = {
    format: 'iommuscope/1',
    title: `A pasted dump: ${verb} ${hexPlain(access.address)}`,
    about: aboutText(`The device ${deviceText(access.rid)}`, access.why, placed.notes, missing),
    platform: {
      iommu: 'vtd',
      memory: memoryUpTo(top),
      // The default machine has no three-level second stage.
      ...(levels === 3 ? { features: { SAGAW: 14 } } : {}),
    },
    devices: [{ name: 'dev0', rid: ridText(access.rid), pasidBits: 20, ats: false }],
    setup: 'bare',
    steps,
  } as unknown as ScenarioDocument;
  return { ok: true, document: withOutcome(document), notes: placed.notes, missing };
}
