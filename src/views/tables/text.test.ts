import { describe, expect, it } from 'vitest';
import { parseDocument } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import { rootKey, TableReader } from './reader.ts';
import { rowsOf } from './rows.ts';
import { changeText, rowText } from './say.ts';
import { tablesText } from './text.ts';

await loadVendors();

const session = (iommu: string): Session => {
  const parsed = parseDocument(
    JSON.stringify({
      format: 'iommuscope/1',
      title: 'text',
      platform: { iommu, memory: '2GiB', guest: { memory: '64MiB' } },
      devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
      steps: [
        { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
        { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000', size: '64KiB' },
        { do: 'guest.unmap', domain: 'dma0', iova: '0x12000', size: '4KiB' },
      ],
    }),
  );
  if (!parsed.ok) throw new Error(parsed.error.message);
  const s = new Session(parsed.document);
  s.runAll();
  return s;
};

const readerAt = (s: Session, step: number): TableReader => {
  const before = s.platformAt(step - 1).memoryState!();
  return new TableReader(s.platformAt(step).tableMemory!(before));
};

for (const iommu of ['smmuv3', 'vtd'])
  describe(`tables of ${iommu}`, () => {
    const s = session(iommu);

    it('read as text, with ranges folded and what the step did', () => {
      const mapped = tablesText(readerAt(s, 2), 'valid').find((x) => x.title.endsWith('tables dma0'))!;
      const last = mapped.lines.at(-1)!;
      expect(last.text).toMatch(/^0x1_0000–0x1_ffff → 0x4020_0000 … 0x4020_ffff, 16 × 4 KiB RW/);
      expect(last.change).toBe('new');
      const unmapped = tablesText(readerAt(s, 3), 'changed').find((x) => x.title.endsWith('tables dma0'))!;
      expect(unmapped.lines.at(-1)!.text).toMatch(/^0x1_2000–0x1_2fff → /);
      expect(unmapped.lines.at(-1)!.change).toMatch(/^was 0x4020_2000 · 4 KiB RW.*\(word 0: 0x4020_2\w\w\w → /);
    });

    it('list what has changed, opened down to it, each table once', () => {
      const reader = readerAt(s, 3);
      const none: ReadonlySet<string> = new Set();
      const rows = rowsOf(reader, { open: none, filter: 'changed', path: none, pins: none });
      const own = rows.filter((r) => changeText(r) !== '' && changeText(r) !== 'changes inside');
      // The words that differ are those of the marked entries, no more and no less.
      const words = own.flatMap((r) =>
        r.kind === 'entry' && r.before ? r.entry.words.filter((w, i) => w !== r.before!.words[i]).length : [],
      );
      const marked = words.reduce((a, b) => a + b, 0);
      const listed = reader.memory.changes().length;
      expect(marked).toBeGreaterThan(1);
      expect(marked).toBeLessThanOrEqual(listed);
      const leaf = own.find((r) => rowText(r).startsWith('0x1_2000–0x1_2fff'))!;
      expect(changeText(leaf)).toMatch(/^cleared, was 0x4020_2000 · 4 KiB RW/);
      expect(own.filter((r) => rowText(r) === rowText(leaf))).toHaveLength(1);
      expect(rowsOf(reader, { open: none, filter: 'all', path: none, pins: none }).length).toBe(reader.roots.length);
    });

    it('open a table and a folded range by their keys', () => {
      const reader = readerAt(s, 2);
      const root = reader.roots.find((r) => r.title.endsWith('tables dma0'))!;
      const open = new Set([rootKey(root)]);
      const state = { open, filter: 'valid', path: new Set<string>(), pins: new Set<string>() } as const;
      for (let i = 0; i < 6; i++)
        for (const r of rowsOf(reader, state)) if (r.key.startsWith(rootKey(root)) && r.expandable) open.add(r.key);
      const rows = rowsOf(reader, state);
      const run = rows.findIndex((r) => r.kind === 'run');
      expect(rows[run]!.open).toBe(true);
      const pages = rows.slice(run + 1).filter((r) => r.parent === rows[run]!.key);
      expect(pages.map((r) => r.kind === 'entry' && r.entry.output)).toEqual(
        Array.from({ length: 16 }, (_, i) => 0x4020_0000n + BigInt(i) * 4096n),
      );
      expect(pages.map((r) => r.pos)).toEqual(pages.map((_, i) => i + 1));
    });
  });
