import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Io } from './io.ts';
import { runCommand } from './run.ts';

const folder = new URL('./fixtures/', import.meta.url);
const files = readdirSync(folder).filter((f) => /^(?:smmuv3|vtd)_/.test(f));

async function run(text: string, args: string[] = ['--summary', '-']) {
  let out = '';
  let err = '';
  const io: Io = {
    readFile: async () => text,
    stdin: async () => text,
    out: (s) => {
      out += s;
    },
    err: (s) => {
      err += s;
    },
    flush: async () => true,
  };
  return { status: await runCommand(args, io), out, err };
}

type Expect = { pa?: string; value?: string; mask?: string; u64?: string[] };
type Doc = { steps: { do: string; expect?: Expect }[] };

/** The same expectation with its lowest compared bit flipped. */
function falsify(e: Expect): { expected: string; actual: string } {
  const flip = (v: string, bit = 1n): string => `0x${(BigInt(v) ^ bit).toString(16)}`;
  if (e.pa !== undefined) {
    const actual = e.pa;
    e.pa = flip(actual);
    return { expected: `pa: ${e.pa}`, actual };
  }
  if (e.u64 !== undefined) {
    const actual = e.u64[0]!;
    e.u64[0] = flip(actual);
    return { expected: `u64[0]: ${e.u64[0]}`, actual };
  }
  const mask = BigInt(e.mask!);
  const actual = e.value!;
  e.value = flip(actual, mask & -mask);
  return { expected: `value: ${e.value} in the bits ${e.mask}`, actual };
}

describe('raw tables and registers of another program, on the modelled hardware', () => {
  test('all documents are here', () => expect(files).toHaveLength(15));

  test.each(files)('%s: every expectation is met', async (file) => {
    const text = readFileSync(new URL(file, folder), 'utf8');
    const r = await run(text);
    expect(JSON.parse(r.out)).toMatchObject({ ok: true, failed: [], steps: (JSON.parse(text) as Doc).steps.length });
    expect(r.status).toBe(0);
    const trace = (await run(text, ['--trace', '-'])).out;
    expect(trace).toContain(`"kind":"${text.includes('device.dma') ? 'dma.done' : 'register.write'}"`);
    expect((await run(text, ['--trace', '-'])).out).toBe(trace);
  });

  test.each(files)('%s: each falsified expectation is found', async (file) => {
    const doc = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Doc;
    let n = 0;
    for (const [i, step] of doc.steps.entries()) {
      if (!step.expect) continue;
      const falsified = structuredClone(doc);
      const { expected, actual } = falsify(falsified.steps[i]!.expect!);
      const r = await run(JSON.stringify(falsified));
      expect(r.status).toBe(1);
      expect(JSON.parse(r.out)).toMatchObject({
        ok: false,
        failed: [{ step: i + 1, expected, actual: expect.stringContaining(actual) }],
      });
      n++;
    }
    expect(n).toBeGreaterThan(0);
  });

  test('without what the tables need, the same document fails', async () => {
    for (const file of files) {
      const doc = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Doc;
      if (doc.steps[0]!.do !== 'memory.write') continue;
      const first = { ...doc, steps: doc.steps.slice(1) };
      expect((await run(JSON.stringify(first))).status).toBe(1);
    }
  });
});
