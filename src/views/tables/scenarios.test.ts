import { describe, expect, it } from 'vitest';
import { parseDocument } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import {
  findPath,
  type TableEntry,
  type TableMemory,
  type TablePath,
  type TableRef,
} from '../../engine/machine/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import type { Memory } from '../../engine/memory/index.ts';
import { scenarios } from '../../library/index.ts';
import { keysOf, rootKey, TableReader } from './reader.ts';
import { rowsOf } from './rows.ts';
import { rowText } from './say.ts';

await loadVendors();

/**
 * Tables are read from the bytes alone; the hardware's own walk of the same bytes is the second opinion. Only accesses that
 * walked are compared: what a cache answered may be older than memory.
 */
const open = async (load: () => Promise<unknown>): Promise<Session> => {
  const parsed = parseDocument(JSON.stringify(await load()));
  if (!parsed.ok) throw new Error(`${parsed.error.path}: ${parsed.error.message}`);
  const session = new Session(parsed.document);
  session.runAll();
  return session;
};

const entryAt =
  (t: TableMemory) =>
  (ref: TableRef, index: number): TableEntry | undefined =>
    t.entries(ref, index, 1)[0];

function pathOf(t: TableMemory, device: string, iova: bigint, pasid: number | undefined): TablePath | null {
  const root = t.roots().find((r) => r.ref.space === 'host' && r.devices?.some((d) => d.name === device));
  if (!root) return null;
  const goal = {
    device: root.devices!.find((d) => d.name === device)!.id,
    address: iova,
    ...(pasid === undefined ? {} : { PASID: BigInt(pasid) }),
  };
  return findPath(entryAt(t), root.ref, goal);
}

/** What comes out at the end of both stages. */
const outcome = (path: TablePath): bigint | null => (path.second ? path.second.output : path.output);

describe('tables of every scenario', () => {
  let walked = 0;
  let refused = 0;
  for (const s of scenarios)
    it(`${s.title} (${s.iommu}): the tree says of an address what the walk of hardware gives`, async () => {
      const session = await open(s.load);
      for (const [i, r] of session.steps.entries()) {
        const op = r.operation as { do: string; device: string; iova: bigint; pasid?: number; ats?: string };
        if (op.do !== 'device.dma' || op.ats === 'translated' || session.steps[i - 1]!.hazards.length > 0) continue;
        const { hit, ok, pa, fault } = r.result;
        const tables = session.platformAt(i).tableMemory!(null);
        const path = pathOf(tables, op.device, BigInt(op.iova), op.pasid);
        if (ok && hit === 'walk') {
          walked++;
          expect(path && outcome(path), `step ${i}: ${r.result.text}`).toBe(BigInt(pa!));
        }
        if (!ok && fault && /TRANSLATION|\.[12]$|_BAD_|SFS|SSS/.test(fault.name) && !/PERMISSION/.test(fault.name)) {
          refused++;
          if (path && /F_TRANSLATION|C_BAD_CD|C_BAD_SUBSTREAMID/.test(fault.name)) expect(outcome(path)).toBe(null);
        }
      }
    });
  it('has compared something', () => {
    expect(walked).toBeGreaterThan(60);
    expect(refused).toBeGreaterThan(3);
  });
});

describe('changes', () => {
  for (const s of scenarios.filter((x) => /map-unmap|sva|two-guests|host-unmaps/.test(x.id)))
    it(`${s.title} (${s.iommu}): marks are the difference of the bytes before and after`, async () => {
      const session = await open(s.load);
      const bytesOf = (i: number): Map<number, bigint> => {
        const saved = (session.platformAt(i).save() as { memory: Parameters<Memory['load']>[0] }).memory;
        const out = new Map<number, bigint>();
        // By slot, which is another way than by address.
        for (const [slot, page] of saved.pages.entries())
          for (let w = 0; page && w < 512; w++)
            out.set(slot * 512 + w, (BigInt(page[2 * w + 1]! >>> 0) << 32n) | BigInt(page[2 * w]! >>> 0));
        return out;
      };
      let some = 0;
      for (let i = 1; i < session.steps.length; i++) {
        const before = bytesOf(i - 1);
        const state = session.platformAt(i - 1).memoryState!();
        const after = bytesOf(i);
        let differing = 0;
        for (const [k, v] of after) if (v !== (before.get(k) ?? 0n)) differing++;
        for (const [k, v] of before) if (!after.has(k) && v !== 0n) differing++;
        const t = session.platformAt(i).tableMemory!(state);
        expect(t.changes().length, `step ${i}`).toBe(differing);
        for (const address of t.changes()) {
          some++;
          expect(t.changed({ space: 'host', address }, 8)).toBe(true);
          const now = t.read({ space: 'host', address }, 1)![0];
          expect(now).not.toBe(undefined);
        }
      }
      expect(some).toBeGreaterThan(10);
    });
});

describe('a million mapped pages', () => {
  it('are listed and searched within a bounded number of reads', () => {
    const parsed = parseDocument(
      JSON.stringify({
        format: 'iommuscope/1',
        title: 'many pages',
        platform: { iommu: 'smmuv3', memory: '8GiB', guest: { memory: '1GiB' } },
        devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
        steps: [{ do: 'guest.attach', device: 'nic0', domain: 'dma0' }],
      }),
    );
    if (!parsed.ok) throw new Error(parsed.error.message);
    const session = new Session(parsed.document);
    session.runAll();
    const platform = session.platformAt(1) as unknown as {
      parts: {
        guests: { memory: { writeWord(at: number, w: bigint): void; resolve(at: number): number } }[];
        memory: Memory;
      };
      tableMemory(before: null): TableMemory;
    };
    const { memory: guest } = platform.parts.guests[0]!;
    const root = platform
      .tableMemory(null)
      .roots()
      .find((r) => r.title === 'S1 tables dma0')!;
    // 4 GiB at 4 KiB: one level-1 table, four level-2 tables, 2048 leaves, by hand beside the allocator's zone.
    const table = (n: number): number => 0x6000_0000 + n * 4096;
    guest.writeWord(root.ref.address, BigInt(table(0)) | 3n);
    for (let l1 = 0; l1 < 4; l1++) {
      guest.writeWord(table(0) + 8 * l1, BigInt(table(1 + l1)) | 3n);
      for (let l2 = 0; l2 < 512; l2++) {
        const leaf = table(5 + l1 * 512 + l2);
        guest.writeWord(table(1 + l1) + 8 * l2, BigInt(leaf) | 3n);
        for (let i = 0; i < 512; i++)
          guest.writeWord(leaf + 8 * i, BigInt(0x4000_0000 + (((l1 * 512 + l2) * 512 + i) % 262144) * 4096) | 0xf47n);
      }
    }
    const { memory } = platform.parts;
    let reads = 0;
    const plain = memory.readWord.bind(memory);
    memory.readWord = (at) => {
      reads++;
      return plain(at);
    };
    const reader = new TableReader(platform.tableMemory(null));
    const key = rootKey(root);
    const state = { filter: 'valid', path: new Set<string>(), pins: new Set<string>() } as const;
    reads = 0;
    const closed = rowsOf(reader, { ...state, open: new Set() });
    expect(closed.length).toBeLessThan(20);
    const path = reader.path(root.ref, { address: 0xdead_b000n });
    expect(path.steps).toHaveLength(4);
    expect(path.output).toBe(0x4000_0000n + (0xdeadbn % 262144n) * 4096n);
    // One entry a level.
    expect(reads).toBe(4);
    const { open } = keysOf(key, path.steps);
    const rows = rowsOf(reader, { ...state, open: new Set(open) });
    // Four open tables of 512 entries each, and what the walk asks for.
    expect(reads).toBeLessThanOrEqual(4 + 4 * 512);
    const run = rows.find((r) => r.kind === 'run')!;
    expect(run.kind === 'run' && run.item.count).toBe(512);
    expect(rowText(run)).toMatch(/^0xdea0_0000–0xdebf_ffff → 0x5ea0_0000 … 0x5ebf_ffff, 512 × 4 KiB RW/);
    // Where an entry lies: through all tables above the leaves, never through the leaves.
    reads = 0;
    const found = reader.find({ space: 'guest', address: table(5 + 2000) + 8 * 7 });
    expect(found?.steps.at(-1)?.entry.index).toBe(7);
    expect(reads).toBeLessThan(40_000);
  });
});
