import { describe, expect, it } from 'vitest';
import { parseDocument } from '../engine/document/authoring.ts';
import { Session } from '../engine/document/index.ts';
import { findPath, type TableEntry, type TableMemory, type TablePath, type TableRef } from '../engine/machine/index.ts';
import { loadVendors } from '../engine/machine/vendors.ts';
import type { Memory } from '../engine/memory/index.ts';
import { scenarios } from './index.ts';

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
          const raw: TableRef = {
            space: 'host',
            address,
            format: 'cmdq',
            args: [],
            title: '',
            entries: 1,
            bytes: 8,
            input: 'slot',
            inputName: '',
            base: 0n,
            span: 1n,
          };
          void raw;
          expect(now).not.toBe(undefined);
        }
      }
      expect(some).toBeGreaterThan(10);
    });
});
