// Finds or fetches a Chromium for the tests. Nothing is believed before it has shown a page.
import { spawnSync } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { createBrotliDecompress } from 'node:zlib';
import { cacheDir, ensureInstalled, npm, root } from './install.mjs';

const recordFile = path.join(cacheDir, 'browser.json');
const unpacked = path.join(cacheDir, 'chromium');
const packed = { name: '@sparticuz/chromium', version: '153.0.0' };
const minute = 60_000;

const say = (message) => console.error(`browser: ${message}`);

/** Launches the candidate, shows a page and reads it back. Returns the browser's version, or throws. */
async function prove({ executablePath, env }) {
  const { chromium } = await import('playwright');
  const browser = await chromium.launch({
    executablePath,
    env: env ? { ...process.env, ...env } : undefined,
    timeout: 30_000,
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(15_000);
    await page.setContent('<p id="sum"></p><script>document.getElementById("sum").textContent = 40 + 2</script>');
    const text = await page.textContent('#sum');
    if (text !== '42') throw new Error(`it showed "${text}" instead of "42"`);
    return browser.version();
  } finally {
    await browser.close();
  }
}

const firstLine = (error) =>
  String(error?.message ?? error)
    .split('\n')
    .find((line) => line.trim()) ?? 'no reason given';

async function attempt(candidate, { loud = false } = {}) {
  try {
    const version = await prove(candidate);
    const record = { ...candidate, version };
    mkdirSync(cacheDir, { recursive: true });
    const temporary = `${recordFile}.${process.pid}.tmp`;
    writeFileSync(temporary, `${JSON.stringify(record, null, 2)}\n`);
    renameSync(temporary, recordFile);
    return record;
  } catch (error) {
    if (loud) say(`${candidate.source} doesn't start: ${firstLine(error)}`);
    return undefined;
  }
}

function recorded() {
  try {
    const { source, executablePath, env } = JSON.parse(readFileSync(recordFile, 'utf8'));
    return executablePath && existsSync(executablePath) ? { source, executablePath, env } : undefined;
  } catch {
    return undefined;
  }
}

function* onThisSystem() {
  const { env, platform } = process;
  if (platform === 'linux') {
    // The headless shell first: it runs the tests in half the time.
    const names = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
    for (const name of [...names, 'microsoft-edge']) {
      for (const folder of (env.PATH ?? '').split(path.delimiter)) {
        const file = path.join(folder, name);
        if (folder && existsSync(file)) yield file;
      }
    }
    return;
  }
  const apps =
    platform === 'darwin'
      ? ['Google Chrome', 'Chromium', 'Microsoft Edge'].flatMap((name) =>
          ['/Applications', path.join(env.HOME ?? '', 'Applications')].map((folder) =>
            path.join(folder, `${name}.app`, 'Contents', 'MacOS', name),
          ),
        )
      : [
          'Google\\Chrome\\Application\\chrome.exe',
          'Chromium\\Application\\chrome.exe',
          'Microsoft\\Edge\\Application\\msedge.exe',
        ].flatMap((name) =>
          [env.PROGRAMFILES, env['PROGRAMFILES(X86)'], env.LOCALAPPDATA]
            .filter(Boolean)
            .map((folder) => path.win32.join(folder, name)),
        );
  for (const file of apps) if (existsSync(file)) yield file;
}

function playwrightInstall() {
  const cli = path.join(root, 'node_modules', 'playwright-core', 'cli.js');
  const done = spawnSync(process.execPath, [cli, 'install', '--only-shell', 'chromium'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 5 * minute,
    env: { PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT: '15000', ...process.env },
  });
  return done.status === 0;
}

function unpackedCandidate() {
  const executablePath = path.join(unpacked, 'chromium');
  if (!existsSync(executablePath)) return undefined;
  const env = {};
  // A system without a desktop may lack NSS; the package brings it along.
  const libraries = path.join(unpacked, 'lib');
  if (existsSync(libraries)) {
    env.LD_LIBRARY_PATH = [libraries, process.env.LD_LIBRARY_PATH].filter(Boolean).join(path.delimiter);
  }
  if (!existsSync('/etc/fonts/fonts.conf')) {
    const config = path.join(unpacked, 'fonts.conf');
    const dirs = `<dir>${path.join(unpacked, 'fonts')}</dir><cachedir>${path.join(unpacked, 'fonts-cache')}</cachedir>`;
    writeFileSync(config, `<?xml version="1.0"?>\n<fontconfig>${dirs}</fontconfig>\n`);
    env.FONTCONFIG_FILE = config;
  }
  return { source: `${packed.name} ${packed.version}`, executablePath, env };
}

async function unpack() {
  const folder = path.join(cacheDir, `chromium.${process.pid}.tmp`);
  const output = path.join(folder, 'out');
  try {
    mkdirSync(output, { recursive: true });
    writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n');
    const args = ['install', '--ignore-scripts', '--no-package-lock', '--no-audit', '--no-fund', '--silent'];
    const done = npm([...args, `${packed.name}@${packed.version}`], { cwd: folder, timeout: 5 * minute });
    if (done.status !== 0) return false;
    const bin = path.join(folder, 'node_modules', packed.name, 'bin');
    for (const part of ['chromium.br', 'al2023.tar.br', 'fonts.tar.br', 'swiftshader.tar.br']) {
      const source = path.join(bin, part);
      if (!existsSync(source)) continue;
      const target = path.join(output, part.slice(0, -'.br'.length));
      await pipeline(createReadStream(source), createBrotliDecompress(), createWriteStream(target, { mode: 0o755 }));
      if (!target.endsWith('.tar')) continue;
      const tar = spawnSync('tar', ['-xf', target, '-C', output], { stdio: ['ignore', 2, 2], timeout: minute });
      if (tar.status !== 0) return false;
      rmSync(target);
    }
    rmSync(unpacked, { recursive: true, force: true });
    renameSync(output, unpacked);
    return true;
  } catch (error) {
    say(firstLine(error));
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function isDebian() {
  try {
    return /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

function aptInstall() {
  const apt = (args) =>
    spawnSync('apt-get', args, {
      stdio: ['ignore', 'ignore', 2],
      timeout: 5 * minute,
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  const install = () => apt(['install', '-y', '-qq', '--no-install-recommends', 'chromium-headless-shell']);
  return install() || (apt(['update', '-qq']) && install());
}

/** The steps in their order; each yields what to try. A later one is only asked for when all before it failed. */
async function* candidates() {
  yield { source: "Playwright's own" };
  const known = recorded() ?? unpackedCandidate();
  if (known) yield known;
  for (const executablePath of onThisSystem()) yield { source: path.basename(executablePath), executablePath };

  say('none found; asking Playwright to install its own ...');
  if (playwrightInstall()) yield { source: "Playwright's own", loud: true };
  else say('that failed');

  if (process.platform === 'linux' && process.arch === 'x64') {
    say(`installing ${packed.name} ${packed.version} into .cache ...`);
    if (await unpack()) yield { ...unpackedCandidate(), loud: true };
    else say('that failed');
  }
  if (process.platform === 'linux' && process.getuid?.() === 0 && isDebian()) {
    say("installing Debian's chromium-headless-shell ...");
    if (aptInstall()) {
      for (const executablePath of onThisSystem()) {
        yield { source: path.basename(executablePath), executablePath, loud: true };
      }
    } else say('that failed');
  }
}

/** Returns `{ source, version, executablePath?, env? }`, or throws with what to do. */
export async function ensureBrowser() {
  const wanted = process.env.BROWSER_PATH;
  if (wanted) {
    if (!existsSync(wanted) || !statSync(wanted).isFile()) throw new Error(`BROWSER_PATH: ${wanted} is not a file`);
    const record = await attempt({ source: 'BROWSER_PATH', executablePath: wanted }, { loud: true });
    if (!record) throw new Error(`BROWSER_PATH: ${wanted} does not start as a Chromium`);
    return record;
  }
  for await (const { loud, ...candidate } of candidates()) {
    const record = await attempt(candidate, { loud });
    if (record) return record;
  }
  throw new Error(
    'no Chromium was found or could be installed. Install Chromium or Chrome, or set BROWSER_PATH to one, and try again.',
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensureInstalled();
  try {
    const { source, version, executablePath } = await ensureBrowser();
    console.log(`browser: ${source}, Chromium ${version}${executablePath ? ` (${executablePath})` : ''}`);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
