/** `npm run bench`: prints one line a benchmark; with --json as JSON. Timings never decide a test. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { documentBenchmarks } from './bench/document.ts';
import { smmuv3Benchmarks } from './bench/smmuv3.ts';
import { vtdBenchmarks } from './bench/vtd.ts';
import { walkInC } from './bench/walk-in-c.ts';

export interface Benchmark {
  readonly name: string;
  /** Prepares the state and returns what is measured: it does `n` operations and returns something that depends on them. */
  readonly prepare: () => { readonly n: number; readonly run: () => number; readonly reset?: () => void };
}

/** One that measures by itself. */
export interface MeasuredBenchmark {
  readonly name: string;
  /** @returns how many operations, and ns an operation */
  readonly measured: () => { readonly n: number; readonly ns: number };
}

/** Best of several runs, after warming up: the machine is shared, so the minimum says most. @returns ns an operation */
export function measure(run: () => number, n: number, reset: () => void = () => {}): number {
  let sink = 0;
  for (let i = 0; i < 5; i++) {
    sink += run();
    reset();
  }
  let best = Number.POSITIVE_INFINITY;
  const end = process.hrtime.bigint() + 1_000_000_000n;
  for (let i = 0; i < 15 || (process.hrtime.bigint() < end && i < 400); i++) {
    const t = process.hrtime.bigint();
    sink += run();
    best = Math.min(best, Number(process.hrtime.bigint() - t) / n);
    reset();
  }
  if (sink === Math.PI) process.stderr.write('');
  return best;
}

/** Compiles and runs the bare C walk; null without a compiler. */
function walkC(): { n: number; ns: number } | null {
  const dir = mkdtempSync(join(tmpdir(), 'iommuscope-bench-'));
  try {
    writeFileSync(join(dir, 'walk.c'), walkInC);
    execFileSync(process.env.CC ?? 'cc', ['-O2', '-o', join(dir, 'walk'), join(dir, 'walk.c')], { stdio: 'ignore' });
    return JSON.parse(execFileSync(join(dir, 'walk'), { encoding: 'utf8' })) as { n: number; ns: number };
  } catch {
    return null;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function main(args: readonly string[]): number {
  const json = args.includes('--json');
  const at = args.indexOf('--filter');
  const prefix = at >= 0 ? (args[at + 1] ?? '') : '';
  const print = (name: string, n: number, ns: number): void => {
    const rounded = Math.round(ns * 10) / 10;
    process.stdout.write(
      json
        ? `${JSON.stringify({ name, n, ns: rounded })}\n`
        : `${name.padEnd(36)} ${String(rounded).padStart(10)} ns  (n = ${n})\n`,
    );
  };
  if (args.includes('--help')) {
    process.stdout.write('npm run bench -- [--json] [--filter PREFIX]\n');
    return 0;
  }
  for (const b of [...smmuv3Benchmarks, ...vtdBenchmarks]) {
    if (!b.name.startsWith(prefix)) continue;
    const { n, run, reset } = b.prepare();
    print(b.name, n, measure(run, n, reset));
  }
  for (const b of documentBenchmarks) {
    if (!b.name.startsWith(prefix)) continue;
    const { n, ns } = b.measured();
    print(b.name, n, ns);
  }
  // The same reads whatever the entries' format.
  const references = ['smmuv3.walk.nested.cold.c', 'vtd.walk.nested.cold.c'].filter((r) => r.startsWith(prefix));
  if (references.length > 0) {
    const c = walkC();
    if (c) for (const r of references) print(r, c.n, c.ns);
    else process.stderr.write('no C compiler: the bare C walk is left out\n');
  }
  return 0;
}

process.exitCode = main(process.argv.slice(2));
