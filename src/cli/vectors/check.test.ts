import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkFolder, checkText } from './check.ts';
import { pgtableChecks } from './pgtable.ts';
import { smmuv3Checks } from './smmuv3.ts';
import { vtdChecks } from './vtd.ts';

const own = path.join(import.meta.dirname, '../fixtures/vectors');
const read = (folder: string): Record<string, unknown>[] =>
  JSON.parse(readFileSync(path.join(own, folder, 'vectors.json'), 'utf8')) as Record<string, unknown>[];

it('all vectors of the project hold', () => {
  const r = checkFolder(own);
  expect(r.failures).toEqual([]);
  expect(r.passed).toBe(225);
  expect(r.skipped).toEqual([
    'pgtable/vectors.json: 56 vectors of amdv1: AMD-Vi is not modelled yet',
    'pgtable/vectors.json: 26 vectors of amdv1-2k: AMD-Vi is not modelled yet',
  ]);
}, 30_000);

describe('a falsified expectation fails', () => {
  const falsify = (expect: unknown): unknown => {
    if (typeof expect === 'number') return expect + 1;
    if (typeof expect === 'boolean') return !expect;
    if (typeof expect === 'string') {
      if (expect === 'EIO') return 'EINVAL';
      const i = expect.length - 1;
      return expect.slice(0, i) + ((Number.parseInt(expect[i]!, 16) + 1) % 16).toString(16);
    }
    return expect;
  };
  /** Every leaf below `expect`, or the plain expectation fields, changed one at a time. */
  function* variants(v: unknown, at: (string | number)[] = []): Generator<(string | number)[]> {
    if (v !== null && typeof v === 'object')
      for (const [k, x] of Object.entries(v)) yield* variants(x, [...at, Array.isArray(v) ? Number(k) : k]);
    else yield at;
  }
  const checks = { ...smmuv3Checks, ...pgtableChecks, ...vtdChecks };
  for (const folder of ['smmu-kunit', 'rewrite-arm', 'pgtable', 'flush-vtd'])
    it(folder, () => {
      for (const vector of read(folder).filter((v) => !String(v['format']).startsWith('amdv1'))) {
        const places = [...variants(vector)].filter(
          (p) => ['expect', 'expectSyncs', 'hitless'].includes(String(p[0])) && p.at(-1) !== 'type',
        );
        // A batch lists many commands; a few of them will do.
        for (const place of places.filter((_, i) => i < 4 || i === places.length - 1)) {
          const copy = structuredClone(vector);
          let o = copy as Record<string | number, unknown>;
          for (const k of place.slice(0, -1)) o = o[k] as Record<string | number, unknown>;
          const key = place.at(-1)!;
          o[key] = falsify(o[key]);
          const r = checkText('x', JSON.stringify([copy]), checks[folder]!);
          expect(r.failures, `${String(vector['name'])} ${place.join('.')}`).toHaveLength(1);
        }
      }
    }, 30_000);
});

describe('files that are not as they should be', () => {
  const text = (json: string): string[] => checkText('f.json', json, smmuv3Checks['rewrite-arm']!).failures;
  it.each([
    ['{', 'f.json: not JSON'],
    ['{}', 'f.json: expected an array of vectors'],
    ['[]', 'f.json: the array is empty'],
    ['[1]', 'f.json [0]: vector: expected an object'],
    ['[{"kind":"command"}]', 'f.json [0]: name: expected text'],
    ['[{"name":"a","kind":"other"}]', 'f.json a: unknown kind "other"'],
    ['[{"name":"a","kind":"toString"}]', 'f.json a: unknown kind "toString"'],
    [
      '[{"name":"a","kind":"event","vsid":1,"evt":[0,0,0],"expect":{"evt":[0,0,0,0]}}]',
      'f.json a: evt: expected 4 words',
    ],
    ['[{"name":"a","kind":"event","vsid":1,"evt":[0,0,0,0],"expect":{}}]', 'f.json a: expect.evt: expected an array'],
    [
      '[{"name":"a","kind":"command","vmid":1,"vsids":{},"in":"zz","expect":{"errno":"EIO"}}]',
      'f.json a: in: expected hex digits',
    ],
  ])('%s', (json, message) => {
    expect(text(json)).toHaveLength(1);
    expect(text(json)[0]).toContain(message);
  });
});

it('names folders that it cannot check, and fails on those it does not know', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'iommuscope-vectors-'));
  try {
    expect(checkFolder(folder).failures).toHaveLength(1);
    mkdirSync(path.join(folder, 'flush-amd'));
    expect(checkFolder(folder)).toMatchObject({
      passed: 0,
      failures: [],
      skipped: ['flush-amd: AMD-Vi is not modelled yet'],
    });
    mkdirSync(path.join(folder, 'mystery'));
    expect(checkFolder(folder).failures[0]).toContain('mystery: unknown kind of vectors');
    mkdirSync(path.join(folder, 'rewrite-arm'));
    writeFileSync(path.join(folder, 'rewrite-arm', 'vectors.json'), JSON.stringify(read('rewrite-arm').slice(0, 2)));
    expect(checkFolder(folder).passed).toBe(2);
    expect(checkFolder(path.join(folder, 'nowhere')).failures[0]).toContain('no such folder');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
