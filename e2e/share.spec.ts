import { readFileSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { choose, drop, expect, idle, press, steps, test, visit, where } from './app.ts';

const hostile = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
const document = (steps: number, title = 'Shared') => ({
  format: 'iommuscope/1',
  title,
  about: `About ${hostile}`,
  platform: { iommu: 'smmuv3' },
  devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
  steps: [
    { do: 'guest.attach', device: 'nic0', domain: 'dma0', say: `Said ${hostile}` },
    ...Array.from({ length: steps }, (_, i) => ({
      do: 'guest.map',
      iova: `0x${((i * 2654435761) % 2 ** 31).toString(16)}000`,
      gpa: `0x${(0x40000 + ((i * 40503) % 2 ** 16)).toString(16)}000`,
    })),
  ],
});

/** What the page writes to the clipboard. */
async function clipboard(page: Page): Promise<void> {
  await page.addInitScript(() => {
    Object.defineProperty(navigator, 'clipboard', {
      value: {
        writeText: (text: string) => {
          globalThis.document.documentElement.dataset.copied = text;
          return Promise.resolve();
        },
      },
    });
  });
}

const copied = async (page: Page): Promise<string> => {
  await press(page, 'c');
  await expect(page.getByText('The link is copied')).toBeVisible();
  return (await page.locator('html').getAttribute('data-copied')) ?? '';
};

/** Drops bytes on the page as a file. */
async function dropBytes(page: Page, name: string, bytes: Buffer): Promise<void> {
  const data = await page.evaluateHandle(
    ([n, b]) => {
      const d = new DataTransfer();
      d.items.add(new File([Uint8Array.from(atob(b!), (c) => c.charCodeAt(0))], n!));
      return d;
    },
    [name, bytes.toString('base64')],
  );
  await page.dispatchEvent('main', 'drop', { dataTransfer: data });
  await idle(page);
}

const saved = async (page: Page, item: string): Promise<{ name: string; bytes: Buffer }> => {
  const download = page.waitForEvent('download');
  await choose(page, 'File', item);
  const which = page.getByRole('dialog').getByRole('button', { name: 'Topology' });
  const file = await Promise.race([
    download,
    which.waitFor({ timeout: 5000 }).then(async () => {
      await which.click();
      return download;
    }),
  ]);
  return { name: file.suggestedFilename(), bytes: readFileSync(await file.path()) };
};

test('one key copies a link that opens the whole document at this position, elsewhere and beside what is open', async ({
  app,
  browser,
}) => {
  await clipboard(app);
  await visit(app);
  await drop(app, 'shared.json', JSON.stringify(document(3)));
  await press(app, 'PageDown', 'PageDown', 'ArrowRight', 'ArrowRight');
  const place = await where(app).textContent();
  const events = await app
    .getByRole('region', { name: 'Player' })
    .getByText(/^event /)
    .textContent();
  const link = await copied(app);
  expect(link).toContain('#d=1');
  expect(link.length).toBeLessThan(900);

  const other = await browser.newContext();
  const page = await other.newPage();
  await page.goto(link);
  await idle(page);
  await expect(page.locator('header')).toContainText('Shared');
  await expect(where(page)).toHaveText(place!);
  await expect(page.getByRole('region', { name: 'Player' }).getByText(/^event /)).toHaveText(events!);
  await expect(page.locator('.shell img')).toHaveCount(0);
  // It is a document of this browser now: the address names it, a reload shows it again, and a second one goes beside it.
  expect(page.url()).toContain('#doc=');
  await page.reload();
  await idle(page);
  await expect(where(page)).toHaveText(place!);
  await page.evaluate((l) => {
    globalThis.location.hash = new URL(l).hash;
  }, link);
  await page.waitForFunction(() => !globalThis.location.hash.startsWith('#d='));
  await idle(page);
  await choose(page, 'File', /^Documents/);
  await expect(page.getByRole('dialog').getByRole('listitem')).toHaveCount(2);
  await press(page, 'Escape', 'Home');
  await expect(page.getByText('Said <img src=x').first()).toBeVisible();
  await other.close();
});

test('a damaged link is refused with what to do, and the open document stays', async ({ app }) => {
  await clipboard(app);
  await visit(app);
  // A scenario of the library is so short a link that a part of it may be all of it.
  await drop(app, 'shared.json', JSON.stringify(document(9)));
  await press(app, 'PageDown');
  const link = await copied(app);
  const before = await steps(app).allTextContents();
  const url = app.url();
  const hash = new URL(link).hash;
  for (const bad of [
    hash.slice(0, 40),
    `${hash.slice(0, 60)}${hash[60] === 'A' ? 'B' : 'A'}${hash.slice(61)}`,
    hash.replace('#d=1', '#d=7'),
    '#d=',
    hash.replace('#d=', '#x='),
  ]) {
    await app.evaluate((h) => {
      location.hash = h;
    }, bad);
    const alert = app.getByRole('alert');
    await expect(alert, bad).toContainText(/was not opened|cannot be read/);
    await expect(alert).toContainText(/Copy the whole|Open it with/);
    expect(await steps(app).allTextContents()).toEqual(before);
    await alert.getByRole('button').click();
    await idle(app);
    expect(app.url()).toBe(url);
  }
});

test('where a link would be too long a file is offered', async ({ app }) => {
  await clipboard(app);
  await visit(app);
  await drop(app, 'long.json', JSON.stringify(document(2500, 'Long')));
  await press(app, 'c');
  const dialog = app.getByRole('dialog', { name: 'Too long for a link' });
  await expect(dialog).toContainText('8,000 characters');
  const download = app.waitForEvent('download');
  await dialog.getByRole('button', { name: 'Save as a file' }).click();
  expect((await download).suggestedFilename()).toBe('long.json');
});

test('a saved picture stands alone, carries its document, and opens again', async ({ app }) => {
  await visit(app);
  await drop(app, 'shared.json', JSON.stringify(document(3)));
  await press(app, 'PageDown', 'PageDown', 'ArrowRight');
  const place = await where(app).textContent();
  for (const [item, ending] of [
    ['Save a picture as SVG…', '.svg'],
    ['Save a picture as PNG…', '.png'],
  ] as const) {
    const { name, bytes } = await saved(app, item);
    expect(name.endsWith(ending)).toBe(true);
    if (ending === '.svg') {
      const svg = bytes.toString('utf8');
      expect(svg).toContain('&lt;img');
      const drawing = svg.replace(/<metadata>.*<\/metadata>/s, '');
      expect(drawing.length).toBeLessThan(svg.length);
      expect(drawing).not.toMatch(/<script|<img|\son[a-z]+=|var\(--|class=/);
      expect(svg).toMatch(/<text[^>]*>nic0/);
    } else expect(bytes.readUInt32BE(16)).toBeGreaterThan(1000);
    await press(app, 'Home');
    await drop(app, 'other.json', JSON.stringify(document(1, 'Other')));
    await dropBytes(app, `again${ending}`, bytes);
    await expect(app.locator('header')).toContainText('Shared');
    await expect(where(app)).toHaveText(place!);
    await dropBytes(app, `cut${ending}`, bytes.subarray(0, 120));
    const alert = app.getByRole('alert');
    await expect(alert).toContainText(`cut${ending} was not opened`);
    await alert.getByRole('button').click();
    await expect(app.locator('header')).toContainText('Shared');
  }
});
