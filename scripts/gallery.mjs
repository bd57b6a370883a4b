// Takes a picture of every view and window, light and dark, at two sizes, and measures in the page what a careful eye would
// find wrong: text that is cut without its whole being offered, things on one another, things outside the window.
// Usage: npm run gallery -- [--filter WORD] [--size 1280x720] [--scheme dark] [--dist FOLDER (a finished build)]
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { ensureBrowser } from './ensure-browser.mjs';
import { measure } from './gallery-measure.mjs';
import { ensureInstalled, root } from './install.mjs';

const { values: options } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    size: { type: 'string', default: '' },
    scheme: { type: 'string', default: '' },
    dist: { type: 'string' },
  },
});

const first = 's=smmuv3-unmap-without-atc-inv&step=4&event=999';
const settings = (more) => ({ stripOpen: true, inspectorOpen: true, ...more });
const keys =
  (...list) =>
  async (page) => {
    for (const k of list) await page.keyboard.press(k);
  };
/** Runs a command by its title, as a person finds it. @returns false when there is none */
const command = (title) => async (page) => {
  await page.keyboard.press('Control+k');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.type(title);
  await rest(page);
  const found = page.getByRole('dialog').getByRole('option').first();
  if ((await found.count()) === 0 || !(await found.innerText()).toLowerCase().includes(title.toLowerCase()))
    return false;
  await page.keyboard.press('Enter');
};
const click = (role, name) => async (page) => {
  await page.getByRole(role, { name }).first().click();
};

/**
 * What is looked at: a place, how the page is set up, and what is done there.
 * `optional`: part of the app that may not be there in every build; left out then, with a word.
 */
const scenes = [
  { name: 'topology', hash: first, settings: settings({ stripOpen: false }) },
  {
    name: 'topology-playing',
    hash: 's=smmuv3-unmap-without-atc-inv&step=4&event=7',
    settings: settings({ stripOpen: false }),
  },
  { name: 'topology-walk-vtd', hash: 's=vtd-first-dma&step=3&event=20', settings: settings({ stripOpen: false }) },
  {
    name: 'topology-two-guests',
    hash: 's=smmuv3-two-guests&step=5&event=999',
    settings: settings({ stripOpen: false }),
  },
  { name: 'topology-text', hash: first, settings: settings({ asText: true, stripOpen: false }) },
  ...['ladder', 'walk', 'tables', 'caches', 'trace'].flatMap((view) => [
    { name: view, hash: first, settings: settings({ view }) },
    { name: `${view}-dma`, hash: 's=smmuv3-unmap-without-atc-inv&step=3&event=24', settings: settings({ view }) },
    {
      name: `${view}-large`,
      hash: 's=smmuv3-unmap-without-atc-inv&step=3&event=24',
      settings: settings({ view, large: true }),
    },
    { name: `${view}-large-vtd`, hash: 's=vtd-two-guests&step=5&event=30', settings: settings({ view, large: true }) },
    {
      name: `${view}-text`,
      hash: 's=vtd-fault-stages&step=4&event=999',
      settings: settings({ view, large: true, asText: true }),
    },
  ]),
  {
    name: 'ladder-open',
    hash: first,
    settings: settings({ view: 'ladder', large: true }),
    act: click('button', 'Unfold all'),
  },
  {
    name: 'ladder-folded',
    hash: first,
    settings: settings({ view: 'ladder', large: true }),
    act: click('button', 'Fold all'),
  },
  {
    name: 'ladder-guests',
    hash: 's=smmuv3-two-guests&step=1&event=40',
    settings: settings({ view: 'ladder', large: true }),
  },
  { name: 'scenarios', hash: first, settings: settings({ panel: 'scenarios' }) },
  { name: 'operations', hash: first, settings: settings({ panel: 'operations' }) },
  { name: 'machine', hash: first, settings: settings({ panel: 'machine' }) },
  { name: 'inspector-command', hash: 's=smmuv3-unmap-without-atc-inv&step=4&event=9', settings: settings({}) },
  { name: 'inspector-fault', hash: 's=vtd-fault-stages&step=3&event=27', settings: settings({}) },
  { name: 'inspector-table', hash: 's=smmuv3-first-dma&step=1&event=30', settings: settings({}) },
  { name: 'dialog-palette', hash: first, settings: settings({}), act: keys('Control+k') },
  { name: 'dialog-keys', hash: first, settings: settings({}), act: keys('?') },
  { name: 'dialog-log', hash: first, settings: settings({}), act: command('log') },
  { name: 'dialog-operation', hash: first, settings: settings({}), act: command('guest.map') },
  { name: 'dialog-documents', hash: first, settings: settings({}), act: command('Documents'), optional: true },
  {
    name: 'dialog-picture',
    hash: first,
    settings: settings({ view: 'ladder' }),
    act: command('Save a picture as SVG'),
    optional: true,
  },
  { name: 'dialog-share', hash: first, settings: settings({}), act: command('Copy a link'), optional: true },
  {
    name: 'dialog-cut',
    hash: first,
    settings: settings({ panel: 'operations' }),
    act: command('guest.flush'),
    optional: true,
  },
  { name: 'present', hash: first, settings: settings({}), act: command('Present'), optional: true },
  { name: 'help-glossary', hash: first, settings: settings({}), act: command('Glossary'), optional: true },
  { name: 'help-tour', hash: first, settings: settings({}), act: command('tour'), optional: true },
];
const sizes = [
  { width: 1280, height: 720 },
  { width: 1440, height: 900 },
].filter((s) => options.size === '' || `${s.width}x${s.height}` === options.size);
const schemes = ['light', 'dark'].filter((s) => options.scheme === '' || s === options.scheme);

/** Waits until the page is at rest. */
async function rest(page) {
  await page.waitForFunction(() => document.documentElement.dataset.idle === 'true', null, { timeout: 30_000 });
}

const escaped = (s) => s.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

function indexPage(results) {
  const cards = results.map(
    (r) =>
      `<figure><figcaption><b>${escaped(r.name)}</b> ${r.scheme}, ${r.width} × ${r.height}</figcaption>` +
      (r.left
        ? `<p>${escaped(r.left)}</p>`
        : `<a href="${r.file}"><img loading="lazy" src="${r.file}" alt="${escaped(r.name)}"></a>`) +
      (r.faults.length ? `<ul>${r.faults.map((f) => `<li>${escaped(f)}</li>`).join('')}</ul>` : '') +
      '</figure>',
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Gallery</title><style>
body{font:14px system-ui;margin:1rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(32rem,1fr));gap:1rem}
figure{margin:0;border:1px solid #ccc;padding:.5rem;border-radius:.5rem}img{width:100%}li{color:#b01c1c}</style>${cards.join('\n')}</html>\n`;
}

process.chdir(root);
if (!options.dist) ensureInstalled();
const { executablePath, env } = await ensureBrowser();
const { createBuilder, preview } = await import('vite');
const { chromium } = await import('playwright');
if (!options.dist) {
  const builder = await createBuilder({ logLevel: 'warn' });
  await builder.build(builder.environments.client);
}
const server = await preview({
  logLevel: 'warn',
  preview: { host: '127.0.0.1' },
  ...(options.dist ? { build: { outDir: path.resolve(options.dist) } } : {}),
});
const browser = await chromium.launch({
  executablePath,
  env: env ? { ...process.env, ...env } : undefined,
  args: ['--disable-partial-raster', '--font-render-hinting=none', '--disable-lcd-text'],
});
const folder = path.join(root, '.cache', 'gallery');
if (options.filter === '') rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const results = [];
for (const { width, height } of sizes)
  for (const scheme of schemes)
    for (const scene of scenes.filter((s) => s.name.includes(options.filter))) {
      const file = `${scene.name}-${scheme}-${width}.png`;
      const result = { name: scene.name, scheme, width, height, file, left: '', faults: [] };
      results.push(result);
      const context = await browser.newContext({
        viewport: { width, height },
        colorScheme: scheme,
        reducedMotion: 'reduce',
        permissions: ['clipboard-read', 'clipboard-write'],
      });
      const page = await context.newPage();
      page.on('pageerror', (e) => result.faults.push(`error: ${e.message}`));
      try {
        await page.addInitScript((s) => {
          localStorage.setItem('iommuscope.view', JSON.stringify({ settings: s }));
        }, scene.settings);
        await page.goto(`${server.resolvedUrls.local[0]}#${scene.hash}`);
        await rest(page);
        const done = scene.act ? await scene.act(page) : true;
        await rest(page);
        if (done === false) {
          result.left = 'not in this build';
          if (!scene.optional) result.faults.push('there is no such command');
        } else {
          await page.evaluate(() => document.fonts.ready);
          await page.screenshot({ path: path.join(folder, file), animations: 'disabled', caret: 'hide' });
          result.faults.push(...(await page.evaluate(measure)));
        }
      } catch (e) {
        result.left = 'could not be taken';
        result.faults.push(String(e instanceof Error ? e.message : e).split('\n')[0]);
      }
      await context.close();
      const what = `${scene.name}, ${scheme}, ${width} x ${height}`;
      console.log(result.left ? `${what}: ${result.left}` : `${what}: ${result.faults.length || 'nothing'} found`);
      for (const f of result.faults) console.log(`  ${f}`);
    }
writeFileSync(path.join(folder, 'index.html'), indexPage(results));
await browser.close();
await server.close();
const bad = results.filter((r) => r.faults.length > 0);
console.log(
  `${results.length} pictures in ${path.relative(root, folder)}/index.html, ${bad.length} with something wrong`,
);
process.exitCode = bad.length > 0 ? 1 : 0;
