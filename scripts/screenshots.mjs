// Makes the pictures of the README anew from the app as it is: builds it, plays to a place, takes the picture.
import { mkdirSync } from 'node:fs';
import process from 'node:process';
import { ensureBrowser } from './ensure-browser.mjs';
import { ensureInstalled, root } from './install.mjs';

/** Step 4 of the first scenario, after its last event: the IOTLB entry is gone, the device's copy is stale. */
const pictures = [
  {
    file: 'docs/screenshot.png',
    hash: '#s=smmuv3-unmap-without-atc-inv&step=4&event=999',
    width: 1440,
    height: 900,
    scheme: 'light',
  },
  {
    file: 'docs/screenshot-dark.png',
    hash: '#s=smmuv3-unmap-without-atc-inv&step=4&event=999',
    width: 1440,
    height: 900,
    scheme: 'dark',
  },
];

ensureInstalled();
process.chdir(root);
const { executablePath, env } = await ensureBrowser();
const { createBuilder, preview } = await import('vite');
const { chromium } = await import('playwright');

const builder = await createBuilder({ logLevel: 'warn' });
await builder.build(builder.environments.client);
const server = await preview({ logLevel: 'warn', preview: { host: '127.0.0.1' } });
// Without hinting and partial raster a picture changes only when the app does.
const browser = await chromium.launch({
  executablePath,
  env: env ? { ...process.env, ...env } : undefined,
  args: ['--disable-partial-raster', '--font-render-hinting=none', '--disable-lcd-text'],
});
mkdirSync('docs', { recursive: true });
for (const { file, hash, width, height, scheme } of pictures) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' });
  await page.goto(`${server.resolvedUrls.local[0]}${hash}`);
  await page.waitForFunction(() => document.documentElement.dataset.idle === 'true');
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: file, animations: 'disabled', caret: 'hide' });
  await page.close();
  console.log(file);
}
await browser.close();
await server.close();
