/**
 * `npm run soak -- --runs N --seed S --iommu NAME`: of each vendor N random operations of whole machines, then N random words
 * in tables, queues and registers. Nothing may throw or hang, and memory must not grow.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { soakBytes, vendors } from './soak/bytes.ts';
import { soakOperations, type Tally } from './soak/operations.ts';
import { Random } from './soak/random.ts';

const EVERY = 50_000;
const MiB = 2 ** 20;

function option(args: readonly string[], name: string, fallback: number): number {
  const at = args.indexOf(name);
  const value = at < 0 ? fallback : Number(args[at + 1]);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} takes a whole number`);
  return value;
}

function main(args: readonly string[]): number {
  if (args.includes('--help')) {
    process.stdout.write('npm run soak -- [--runs N] [--seed S] [--iommu smmuv3|vtd]\n');
    return 0;
  }
  // Without a collection before each figure it would say more about the collector than about us.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const runs = option(args, '--runs', 1_000_000);
  const seed = option(args, '--seed', 1);
  const heaps: number[] = [];
  const start = performance.now();
  const line = (what: string, n: number, more = ''): void => {
    collect();
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
    heaps.push(heapUsed + arrayBuffers);
    const s = Math.round((performance.now() - start) / 1000);
    process.stdout.write(
      `${what} ${String(n).padStart(8)}  rss ${Math.round(rss / MiB)} MiB  heap ${Math.round(heapUsed / MiB)} MiB  buffers ${Math.round(arrayBuffers / MiB)} MiB  ${s} s${more}\n`,
    );
  };
  const at = args.indexOf('--iommu');
  const named = vendors.filter((v) => at < 0 || v === args[at + 1]);
  if (named.length === 0) throw new RangeError(`--iommu takes ${vendors.join(' or ')}`);
  const told = (t: Tally): string =>
    `  succeeded ${t.succeeded}  with something stale ${t.stale}  slowest ${Math.round(t.slowest)} ms`;
  let failed = false;
  for (const vendor of named) {
    process.stdout.write(`soak of ${vendor}: ${runs} runs, seed ${seed}\n`);
    heaps.splice(0);
    const t = soakOperations(
      vendor,
      new Random(seed),
      runs,
      () => performance.now(),
      (x) => {
        if (x.done % EVERY === 0) line('operations', x.done, told(x));
      },
    );
    if (runs % EVERY !== 0) line('operations', t.done, told(t));
    const steady = grown(heaps.splice(0));
    const arrived = soakBytes(vendor, new Random(seed + 1), runs, (n) => {
      if (n % EVERY === 0) line('words     ', n);
    });
    if (runs % EVERY !== 0) line('words     ', runs);
    process.stdout.write(`words: ${arrived} accesses arrived\n`);
    for (const c of t.crashes) process.stdout.write(`CRASH ${c}\n`);
    const leaks = [steady, grown(heaps)].filter((x) => x !== null);
    for (const l of leaks) process.stdout.write(`memory grows: ${l}\n`);
    failed ||= t.crashes.length > 0 || leaks.length > 0;
  }
  process.stdout.write(failed ? 'soak: failed\n' : 'soak: passed\n');
  return failed ? 1 : 0;
}

/** Compares what was in use early and late; null when it is steady. */
function grown(used: readonly number[]): string | null {
  if (used.length < 6) return null;
  const third = Math.floor(used.length / 3);
  const most = (list: readonly number[]): number => Math.max(...list);
  const early = most(used.slice(0, third));
  const late = most(used.slice(-third));
  return late > 1.5 * early + 64 * MiB
    ? `${Math.round(early / MiB)} MiB early, ${Math.round(late / MiB)} MiB late`
    : null;
}

process.exitCode = main(process.argv.slice(2));
