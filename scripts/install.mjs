// Node's built-ins only: this runs before anything is installed.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
export const cacheDir = path.join(root, '.cache');

const lockFile = path.join(root, 'package-lock.json');
const stampFile = path.join(root, 'node_modules', '.iommuscope-stamp');

const numbers = (version) => version.split('.').map(Number);

/** Understands what package.json uses: alternatives of `^a.b.c` and `>=a.b.c`. */
export function satisfies(version, range) {
  const have = numbers(version);
  return range.split('||').some((part) => {
    const match = /^(\^|>=)(\d+\.\d+\.\d+)$/.exec(part.trim());
    if (!match) throw new Error(`engines.node: cannot read "${part.trim()}"`);
    const want = numbers(match[2]);
    if (match[1] === '^' && have[0] !== want[0]) return false;
    for (let i = 0; i < 3; i++) if (have[i] !== want[i]) return have[i] > want[i];
    return true;
  });
}

export function checkNode() {
  const { engines } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  if (satisfies(process.versions.node, engines.node)) return;
  console.error(`iommuscope needs Node.js ${engines.node}; this is ${process.versions.node}.`);
  console.error('Outside that range npm leaves out native parts of the build tools without a word.');
  process.exit(1);
}

/** Runs npm the way it was started, so that no other npm on PATH gets in between. */
export function npm(args, options = {}) {
  const viaNode = /npm-cli\.c?js$/.test(process.env.npm_execpath ?? '');
  const windows = process.platform === 'win32';
  const command = viaNode ? process.execPath : windows ? 'npm.cmd' : 'npm';
  const argv = viaNode ? [process.env.npm_execpath, ...args] : args;
  return spawnSync(command, argv, { cwd: root, stdio: ['ignore', 2, 2], shell: !viaNode && windows, ...options });
}

function libc() {
  if (process.platform !== 'linux') return undefined;
  return process.report?.getReport()?.header?.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** Whether a plain `npm ci` of the same lock file, for this platform and with devDependencies, was here already. */
function installedByHand() {
  const hidden = path.join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(hidden)) return false;
  const have = JSON.parse(readFileSync(hidden, 'utf8')).packages;
  const want = JSON.parse(readFileSync(lockFile, 'utf8')).packages;
  const here = libc();
  const fits = (list, value) => !list || value === undefined || list.includes(value);
  return Object.entries(want).every(([where, entry]) => {
    if (!where) return true;
    if (have[where]) return have[where].version === entry.version && existsSync(path.join(root, where, 'package.json'));
    if (!entry.optional) return false;
    // Not for this platform, or needed only by what isn't.
    const forHere = fits(entry.os, process.platform) && fits(entry.cpu, process.arch) && fits(entry.libc, here);
    return !(entry.os || entry.cpu) || !forHere;
  });
}

export function ensureInstalled({ quiet = false } = {}) {
  checkNode();
  const stamp = createHash('sha256')
    .update(readFileSync(lockFile))
    .update(`${process.versions.node} ${process.platform} ${process.arch}`)
    .digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  if (!installedByHand()) {
    console.error('Installing packages (npm ci) ...');
    // NODE_ENV=production would leave the build tools out.
    const done = npm(['ci', '--include=dev', '--no-audit', '--no-fund', ...(quiet ? ['--silent'] : [])]);
    if (done.status !== 0) {
      console.error('npm ci failed; nothing was started.');
      process.exit(1);
    }
  }
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
}

export const tool = {
  vitest: path.join(root, 'node_modules', 'vitest', 'vitest.mjs'),
  vite: path.join(root, 'node_modules', 'vite', 'bin', 'vite.js'),
  tsc: path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
  biome: path.join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome'),
  playwright: path.join(root, 'node_modules', '@playwright', 'test', 'cli.js'),
};
