import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { explain, fieldOf, getField } from '../../engine/bits/index.ts';
import { loadedVendors, loadVendors } from '../../engine/machine/vendors.ts';
import { createChecks } from '../../store/checks.ts';
import { createEngine } from '../../store/session.ts';
import {
  draftOf,
  fieldChanges,
  fieldKey,
  isSound,
  readNumber,
  stepOf,
  typeField,
  typeWord,
  wordKey,
} from './edit-record.ts';

await loadVendors();
const layouts = loadedVendors().flatMap((v) => v.layouts);
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const some = fc
  .constantFrom(...layouts)
  .chain((layout) =>
    fc.tuple(fc.constant(layout), fc.array(u64, { minLength: layout.words, maxLength: layout.words })),
  );

describe('editing a record', () => {
  it('typing what a field shows changes nothing; another value changes its bits alone', () => {
    fc.assert(
      fc.property(some, fc.nat(), u64, ([layout, words], at, value) => {
        const shown = explain(layout, words);
        const f = shown[at % shown.length]!;
        expect(typeField(draftOf(layout, words), f.field, f.text).words).toEqual(words);
        const { hi, lo, word, format } = f.field;
        const width = BigInt(hi - lo + 1);
        const bits = value & ((1n << width) - 1n);
        const typed = format === 'addr' ? bits << BigInt(lo) : bits;
        const d = typeField(draftOf(layout, words), f.field, `0x${typed.toString(16)}`);
        expect(isSound(d)).toBe(true);
        // What the field says afterwards, and every bit beside it as it was.
        expect(getField(f.field, d.words)).toBe(typed);
        const mask = ((1n << width) - 1n) << BigInt(lo);
        for (const [i, w] of d.words.entries())
          expect(w & ~(i === word ? mask : 0n)).toBe(words[i]! & ~(i === word ? mask : 0n));
      }),
    );
  });

  it('refuses what does not fit and keeps what was typed', () => {
    const layout = layouts.find((l) => l.id === 'smmuv3.ste')!;
    const d = draftOf(layout, new Array<bigint>(8).fill(0n));
    const f = fieldOf(layout, 'S2VMID');
    for (const [text, problem] of [
      ['65536', 'At most 65535 in 16 bits.'],
      ['-1', 'Not a number: write 0x10 or 16.'],
      ['', 'Not a number: write 0x10 or 16.'],
    ] as const) {
      const bad = typeField(d, f, text);
      expect(bad.errors[fieldKey(f)]).toBe(problem);
      expect(bad.typed[fieldKey(f)]).toBe(text);
      expect(bad.words).toEqual(d.words);
    }
    expect(typeField(d, fieldOf(layout, 'S1ContextPtr'), '0x1001').errors).not.toEqual({});
    const word = typeWord(d, 1, '1_0000_0000_0000_0000');
    expect(word.errors[wordKey(1)]).toBe('More than 64 bits.');
    expect(isSound(typeWord(word, 1, 'ff'))).toBe(true);
    expect(typeWord(d, 1, 'ff').words[1]).toBe(255n);
  });

  it('says which fields would change', () => {
    const layout = layouts.find((l) => l.id === 'vmsav8.s1.page')!;
    const d = typeField(draftOf(layout, [0x4020_0f47n]), fieldOf(layout, 'AP'), '3');
    expect(fieldChanges(d)).toEqual([{ name: 'AP', from: '1 (read and write)', to: '3 (read)' }]);
    expect(readNumber('0x4_0000')).toBe(0x40000n);
  });

  it('the step is a legal one, and memory holds the words after it', async () => {
    const checks = createChecks();
    const engine = createEngine();
    const parsed = checks.parse(
      JSON.stringify({
        format: 'iommuscope/1',
        title: 'edit',
        platform: { iommu: 'smmuv3', memory: '2GiB', guest: { memory: '64MiB' } },
        devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
        steps: [
          { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
          { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000' },
          { do: 'device.dma', device: 'nic0', iova: '0x10000' },
        ],
      }),
    );
    if (!parsed.ok) throw new Error(parsed.problem.text);
    const simulation = engine.start(parsed.document);
    const place = { step: 3, event: 1e9 };
    const root = simulation.tables(place).find((r) => r.title.startsWith('Stream table'))!;
    const leaf = simulation.tableEntries(place, root.ref, 1, 1)[0]!.children[0]!;
    const ste = simulation.tableEntries(place, leaf, 0, 1)[0]!;
    let d = draftOf(ste.layout, ste.words);
    d = typeField(d, fieldOf(ste.layout, 'Config'), '0');
    d = typeField(d, fieldOf(ste.layout, 'S2VMID'), '9');
    const step = stepOf(d, { space: 'host', address: ste.address }, false);
    const checked = checks.check(parsed.document, 3, step);
    if (!checked.ok) throw new Error(checked.problem.text);
    expect(simulation.show({ ...parsed.document, steps: [...parsed.document.steps, checked.step] })).toBe(true);
    const after = { step: 4, event: 1e9 };
    const record = simulation.record(after, { space: 'host', address: ste.address, layout: 'smmuv3.ste' })!;
    expect(record.words).toEqual(d.words);
    // What the STE's cached copy and what was made from it say is older now.
    expect(simulation.hazards(after).length).toBeGreaterThan(simulation.hazards(place).length);
    const memory = simulation.tableMemory(after);
    expect(memory.changes()).toEqual([ste.address, ste.address + 16]);
    expect(memory.before(leaf, 0, 1)[0]!.words).toEqual(ste.words);
  });
});
