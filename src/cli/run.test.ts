import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Io } from './io.ts';
import { runCommand } from './run.ts';

const folder = new URL('./fixtures/', import.meta.url);
const files = readdirSync(folder).filter((f) => f.startsWith('smmuv3_'));

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

type Doc = { steps: { expect?: { pa?: string } }[] };

describe('raw tables and registers of another program, on the modelled SMMUv3', () => {
  test('both documents are here', () => expect(files).toHaveLength(2));

  test.each(files)('%s: every expectation is met', async (file) => {
    const text = readFileSync(new URL(file, folder), 'utf8');
    const r = await run(text);
    expect(JSON.parse(r.out)).toMatchObject({ ok: true, failed: [], steps: (JSON.parse(text) as Doc).steps.length });
    expect(r.status).toBe(0);
    const trace = (await run(text, ['--trace', '-'])).out;
    expect(trace).toContain('"kind":"dma.done"');
    expect((await run(text, ['--trace', '-'])).out).toBe(trace);
  });

  test.each(files)('%s: each falsified expectation is found', async (file) => {
    const doc = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Doc;
    let n = 0;
    for (const [i, step] of doc.steps.entries()) {
      if (!step.expect?.pa) continue;
      const falsified = structuredClone(doc);
      falsified.steps[i]!.expect!.pa = `0x${(Number(step.expect.pa) + 1).toString(16)}`;
      const r = await run(JSON.stringify(falsified));
      expect(r.status).toBe(1);
      expect(JSON.parse(r.out)).toMatchObject({
        ok: false,
        failed: [{ step: i + 1, expected: `pa: ${falsified.steps[i]!.expect!.pa}`, actual: step.expect.pa }],
      });
      n++;
    }
    expect(n).toBeGreaterThan(0);
  });

  test('without what the tables need, the same document fails', async () => {
    for (const file of files) {
      const doc = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Doc;
      const first = { ...doc, steps: doc.steps.slice(1) };
      expect((await run(JSON.stringify(first))).status).toBe(1);
    }
  });
});
