// A registry that lags behind makes npm drop platform packages from the lock file without a word;
// it then installs here and nowhere else.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { root } from './install.mjs';

/** All folders where Node would look for `name` from the package at `from`, nearest first. */
function* lookups(from, name) {
  let base = from;
  while (base) {
    yield `${base}/node_modules/${name}`;
    const cut = base.lastIndexOf('/node_modules/');
    base = cut < 0 ? '' : base.slice(0, cut);
  }
  yield `node_modules/${name}`;
}

export function checkLock(lock, manifest) {
  const problems = [];
  const { packages } = lock;
  for (const [where, entry] of Object.entries(packages)) {
    if (where && !entry.link) {
      if (entry.resolved) problems.push(`${where}: has a download address (see .npmrc)`);
      if (!entry.integrity && !entry.inBundle) problems.push(`${where}: has no integrity`);
    }
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (![...lookups(where, name)].some((key) => packages[key])) problems.push(`${where}: ${name} is missing`);
    }
  }
  for (const kind of ['dependencies', 'devDependencies']) {
    for (const [name, range] of Object.entries(manifest[kind] ?? {})) {
      if (!/^\d+\.\d+\.\d+$/.test(range)) problems.push(`package.json: ${name} isn't pinned to one version (${range})`);
      const locked = packages[`node_modules/${name}`]?.version;
      if (locked !== range) problems.push(`package.json: ${name} ${range}, but the lock file has ${locked}`);
    }
  }
  return { problems, count: Object.keys(packages).length - 1 };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const read = (file) => JSON.parse(readFileSync(path.join(root, file), 'utf8'));
  const { problems, count } = checkLock(read('package-lock.json'), read('package.json'));
  for (const problem of problems) console.error(problem);
  if (count < 1) {
    console.error('the lock file lists no package');
    process.exit(1);
  }
  console.log(`lock file: ${count} packages, ${problems.length ? `${problems.length} problems` : 'ok'}`);
  process.exit(problems.length ? 1 : 0);
}
