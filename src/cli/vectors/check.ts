import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { pgtableChecks } from './pgtable.ts';
import { smmuv3Checks } from './smmuv3.ts';
import { type Check, Malformed, NotModelled, record, text } from './value.ts';
import { vtdChecks } from './vtd.ts';

/** Folders of array vectors that are checked, with what checks a vector of each kind; '' stands for no kind. */
const checked: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  ...smmuv3Checks,
  ...pgtableChecks,
  ...vtdChecks,
};

/** Folders that are known but not checked here, and why. */
const notChecked: Readonly<Record<string, string>> = {
  'flush-amd': 'AMD-Vi is not modelled yet',
  selftest: 'documents, for the run command',
  'qemu-qtest': 'documents, for the run command',
};

export interface VectorReport {
  readonly passed: number;
  /** `rewrite-arm/two: what was expected and what came out` */
  readonly failures: readonly string[];
  /** `flush-amd: AMD-Vi is not modelled yet`, `pgtable/vectors.json: 56 vectors of amdv1: AMD-Vi is not modelled yet` */
  readonly skipped: readonly string[];
}

/** Checks every vector file in a folder. Kinds of vectors whose folder is not there are left out silently. */
export function checkFolder(folder: string): VectorReport {
  const failures: string[] = [];
  const skipped: string[] = [];
  let passed = 0;
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    return { passed, failures: [`${folder}: no such folder`], skipped };
  const names = readdirSync(folder, { withFileTypes: true })
    .filter((x) => x.isDirectory())
    .map((x) => x.name)
    .sort();
  for (const name of names) {
    if (notChecked[name] !== undefined) {
      skipped.push(`${name}: ${notChecked[name]}`);
      continue;
    }
    const kinds = checked[name];
    if (!kinds) {
      failures.push(
        `${name}: unknown kind of vectors; known: ${[...Object.keys(checked), ...Object.keys(notChecked)].join(', ')}`,
      );
      continue;
    }
    const files = readdirSync(path.join(folder, name))
      .filter((f) => f.endsWith('.json'))
      .sort();
    if (files.length === 0) failures.push(`${name}: the folder holds no .json file`);
    for (const file of files) {
      const where = `${name}/${file}`;
      const report = checkText(where, readFileSync(path.join(folder, name, file), 'utf8'), kinds);
      passed += report.passed;
      failures.push(...report.failures);
      skipped.push(...report.skipped);
    }
  }
  if (passed === 0 && failures.length === 0 && skipped.length === 0) failures.push(`${folder}: no vectors in it`);
  return { passed, failures, skipped };
}

/** Checks the vectors of one file's text; `where` names the file in messages. */
export function checkText(
  where: string,
  json: string,
  kinds: Readonly<Record<string, Check>>,
): { passed: number; failures: string[]; skipped: string[] } {
  let vectors: unknown;
  try {
    vectors = JSON.parse(json);
  } catch (e) {
    return { passed: 0, failures: [`${where}: not JSON: ${(e as Error).message}`], skipped: [] };
  }
  if (!Array.isArray(vectors)) return { passed: 0, failures: [`${where}: expected an array of vectors`], skipped: [] };
  if (vectors.length === 0) return { passed: 0, failures: [`${where}: the array is empty`], skipped: [] };
  const failures: string[] = [];
  const left = new Map<string, number>();
  let passed = 0;
  vectors.forEach((v: unknown, i) => {
    let name = `[${i}]`;
    try {
      const vector = record(v, 'vector');
      name = text(vector['name'], 'name');
      const kind = Object.hasOwn(kinds, '') ? '' : text(vector['kind'], 'kind');
      const check = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
      if (!check) throw new Malformed(`unknown kind ${JSON.stringify(kind)}; known: ${Object.keys(kinds).join(', ')}`);
      const failure = check(vector);
      if (failure === null) passed++;
      else failures.push(`${where} ${name}: ${failure}`);
    } catch (e) {
      if (e instanceof NotModelled) {
        const why = `${e.what}: ${e.message}`;
        left.set(why, (left.get(why) ?? 0) + 1);
        return;
      }
      if (!(e instanceof Malformed)) throw e;
      failures.push(`${where} ${name}: ${e.message}`);
    }
  });
  return { passed, failures, skipped: [...left].map(([why, n]) => `${where}: ${n} vectors of ${why}`) };
}
