import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import module from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { cacheDir, root } from './install.mjs';

const folder = path.join(cacheDir, 'bundles');
const keepFor = 60 * 60 * 1000;

/** Names, sizes and times of all that a bundle is made from. Reading the contents would cost more than the program. */
function fingerprint(entry) {
  const hash = createHash('sha256').update(`${entry} ${process.versions.node}\n`);
  const add = (file) => {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${path.relative(root, file)} ${size} ${mtimeMs}\n`);
  };
  const walk = (dir) => {
    const entries = readdirSync(dir, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const item of entries) {
      const full = path.join(dir, item.name);
      if (item.isDirectory()) walk(full);
      else if (!/\.test\.tsx?$/.test(item.name)) add(full);
    }
  };
  walk(path.join(root, 'src'));
  for (const file of ['package.json', 'package-lock.json', 'scripts/bundle.mjs']) add(path.join(root, file));
  return hash.digest('hex').slice(0, 24);
}

async function make(entry) {
  const { build } = await import('vite');
  const result = await build({
    root,
    configFile: false,
    envFile: false,
    logLevel: 'error',
    publicDir: false,
    define: { 'process.env.NODE_ENV': '"production"' },
    ssr: { noExternal: true },
    build: {
      ssr: true,
      write: false,
      target: 'node20',
      minify: false,
      rolldownOptions: {
        input: path.join(root, entry),
        external: ['playwright', 'playwright-core', '@playwright/test'],
        output: { format: 'es', codeSplitting: false },
      },
    },
  });
  const [output] = [result].flat();
  const chunks = output.output.filter((item) => item.type === 'chunk');
  if (chunks.length !== 1) throw new Error(`${entry}: expected one chunk, found ${chunks.length}`);
  return chunks[0].code;
}

function tidy(name, current) {
  for (const file of readdirSync(folder)) {
    const full = path.join(folder, file);
    if (!file.startsWith(`${name}-`) || full === current) continue;
    try {
      if (Date.now() - statSync(full).mtimeMs > keepFor) rmSync(full, { force: true });
    } catch {
      // Another process was first.
    }
  }
}

/** Bundles `entry` for Node into one file, or finds the bundle of an earlier start. Returns its path. */
export async function bundle(name, entry) {
  if (!existsSync(path.join(root, entry))) throw new Error(`${entry}: no such file`);
  const file = path.join(folder, `${name}-${fingerprint(entry)}.mjs`);
  if (existsSync(file)) {
    const now = new Date();
    utimesSync(file, now, now);
    return file;
  }
  const code = await make(entry);
  mkdirSync(folder, { recursive: true });
  // Two starts at once must not see half a file.
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  writeFileSync(temporary, code);
  renameSync(temporary, file);
  tidy(name, file);
  return file;
}

/** Bundles `entry` and becomes it: same arguments, streams and exit status. */
export async function run(name, entry, args = process.argv.slice(2)) {
  let file;
  try {
    file = await bundle(name, entry);
  } catch (error) {
    console.error(`${entry} could not be bundled: ${error.message}`);
    process.exit(3);
  }
  module.enableCompileCache?.(path.join(cacheDir, 'compile'));
  process.argv = [process.argv[0], file, ...args];
  await import(pathToFileURL(file).href);
}
