import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { cacheDir, ensureInstalled, root, tool } from './install.mjs';

const minute = 60_000;
const reports = path.join(cacheDir, 'reports');
// Not every runner sees for itself that it writes to a file.
const plain = process.stdout.isTTY ? {} : { NO_COLOR: '1', FORCE_COLOR: undefined };
const script = (name) => path.join(root, 'scripts', name);

/** Runs a Node program. Resolves to `{ status, output }`; what it prints is shown, unless it is captured. */
function node(args, { capture = false, env = {}, limit = 15 * minute } = {}) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...plain, ...env },
      stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
    });
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (data) => {
      output += data;
    });
    const timer = setTimeout(() => {
      console.error(`still running after ${limit / minute} minutes: ended`);
      child.kill('SIGKILL');
    }, limit);
    child.on('error', (error) => {
      console.error(error.message);
      clearTimeout(timer);
      resolve({ status: -1, output });
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ status: code ?? -1, output });
    });
  });
}

const check = async (args) => ((await node(args)).status === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 });

/** A runner that fails without naming a failed test, or that ran none, has failed all the same. */
function counted(status, passed, failed) {
  if (passed + failed === 0) console.error('no test was run');
  return { passed, failed: failed || (status !== 0 || passed === 0 ? 1 : 0) };
}

function report(file) {
  const full = path.join(reports, file);
  return existsSync(full) ? JSON.parse(readFileSync(full, 'utf8')) : undefined;
}

async function unit() {
  const outputFile = path.join(reports, 'unit.json');
  const { status } = await node(
    [tool.vitest, 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${outputFile}`],
    { limit: 30 * minute },
  );
  const result = report('unit.json');
  if (!result) return { passed: 0, failed: 1 };
  // A file that can't be loaded has no failed test in it.
  const broken = result.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  return counted(status, result.numPassedTests, result.numFailedTests + broken);
}

async function vectors() {
  const { status, output } = await node([script('vectors.mjs')], { capture: true });
  const lines = output.trimEnd().split('\n');
  const closing = /^(\d+) passed, (\d+) failed/.exec(lines.at(-1) ?? '');
  // Its closing line would be taken for that of the whole run.
  for (const line of closing ? lines.slice(0, -1) : lines) if (line) console.log(line);
  if (!closing) {
    console.error('the vectors ended without a count');
    return { passed: 0, failed: 1 };
  }
  return counted(status, Number(closing[1]), Number(closing[2]));
}

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function endToEnd() {
  const { ensureBrowser } = await import('./ensure-browser.mjs');
  try {
    const { source, version } = await ensureBrowser();
    console.log(`browser: ${source}, Chromium ${version}`);
  } catch (error) {
    console.error(error.message);
    return { passed: 0, failed: 1 };
  }
  const port = process.env.IOMMUSCOPE_E2E_PORT ?? String(await freePort());
  const { status } = await node([tool.playwright, 'test'], {
    env: { IOMMUSCOPE_E2E_PORT: port },
    limit: 30 * minute,
  });
  const result = report('e2e.json');
  if (!result) return { passed: 0, failed: 1 };
  const { expected, unexpected, flaky } = result.stats;
  return counted(status, expected + flaky, unexpected);
}

const stages = [
  { name: 'types', run: () => check([tool.tsc, '--noEmit']) },
  { name: 'lint', run: () => check([tool.biome, 'ci', ...(process.stdout.isTTY ? [] : ['--colors=off']), '.']) },
  { name: 'imports', run: () => check([script('check-imports.mjs')]) },
  { name: 'lock', run: () => check([script('check-lock.mjs')]) },
  { name: 'unit', run: unit },
  { name: 'vectors', run: vectors },
  { name: 'build', run: () => check([tool.vite, 'build', '--logLevel', 'warn']) },
  { name: 'size', needs: 'build', run: () => check([script('check-size.mjs')]) },
  { name: 'e2e', needs: 'build', run: endToEnd },
];

const { values } = parseArgs({ options: { only: { type: 'string' } } });
const only = values.only?.split(',');
const unknown = only?.filter((name) => !stages.some((stage) => stage.name === name)) ?? [];
if (unknown.length) {
  console.error(`--only: no stage ${unknown.join(', ')}; there are ${stages.map((stage) => stage.name).join(', ')}`);
  process.exit(2);
}

ensureInstalled();
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });

const outcome = new Map();
for (const stage of stages) {
  if (only && !only.includes(stage.name)) continue;
  console.log(`\n== ${stage.name}`);
  const started = process.hrtime.bigint();
  let counts;
  if (stage.needs && outcome.get(stage.needs)?.failed) {
    console.error(`not run: ${stage.needs} failed`);
    counts = { passed: 0, failed: 1 };
  } else {
    try {
      counts = await stage.run();
    } catch (error) {
      console.error(error);
      counts = { passed: 0, failed: 1 };
    }
  }
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  outcome.set(stage.name, { ...counts, seconds });
  console.log(`== ${stage.name}: ${counts.failed ? 'FAILED' : 'ok'} in ${seconds.toFixed(1)} s`);
}

console.log('\nstage        result   tests      time');
let passed = 0;
let failed = 0;
for (const [name, counts] of outcome) {
  passed += counts.passed;
  failed += counts.failed;
  const tests = counts.failed ? `${counts.failed} of ${counts.passed + counts.failed}` : String(counts.passed);
  console.log(
    `${name.padEnd(12)} ${(counts.failed ? 'FAILED' : 'ok').padEnd(8)} ${tests.padEnd(10)} ${counts.seconds.toFixed(1)} s`,
  );
}
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
