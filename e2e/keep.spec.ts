import type { Page } from '@playwright/test';
import { choose, drop, expect, idle, press, steps, test, visit, where } from './app.ts';

const scenario = '#s=smmuv3-first-dma&step=1&event=0';

/** Adds a step at the end of the document that is open. */
async function addStep(page: Page): Promise<void> {
  await press(page, 'End');
  await page.locator('[data-id="hw.device.nic0"]').first().click({ button: 'right' });
  await page.getByRole('menuitem').first().click();
}

const list = (page: Page) => page.getByRole('dialog', { name: 'Documents' }).getByRole('listitem');
const documents = async (page: Page): Promise<void> => {
  await choose(page, 'File', /^Documents/);
  await idle(page);
};

test('a tab that dies in the middle of an edit loses at most a second', async ({ app, context }) => {
  await visit(app, scenario);
  await addStep(app);
  await app.waitForTimeout(1000);
  const before = await steps(app).allTextContents();
  const url = app.url();
  expect(url).toContain('#doc=');
  const cdp = await context.newCDPSession(app);
  const died = app.waitForEvent('crash');
  cdp.send('Page.crash').catch(() => {});
  await died;
  // The tab is gone without a word; the next one knows the address, as a browser that restores its tabs does.
  const page = await context.newPage();
  await page.goto(url);
  await idle(page);
  expect((await steps(page).allTextContents()).map((s) => s.trim())).toEqual(before.map((s) => s.trim()));
  await press(page, 'Control+z');
  await expect(steps(page)).toHaveCount(before.length - 1);
  // A tab that knows no address begins where the last one stood.
  const fresh = await context.newPage();
  await fresh.goto(url.replace(/#.*/, ''));
  await idle(fresh);
  expect(fresh.url()).toContain(url.match(/doc=\w+/)![0]);
});

test('local documents: listed, opened, renamed, duplicated, deleted and brought back', async ({ app }) => {
  await visit(app, scenario);
  await documents(app);
  await expect(app.getByText('No documents of your own yet')).toBeVisible();
  await press(app, 'Escape');
  await addStep(app);
  await idle(app);
  const count = await steps(app).count();
  await choose(app, 'File', 'New document');
  await expect(app.locator('header')).toContainText('Untitled');
  await documents(app);
  await expect(list(app)).toHaveCount(2);
  await expect(list(app).first()).toContainText('Untitled');
  await expect(list(app).first()).toContainText('open');

  await app.getByRole('button', { name: 'Rename First DMA' }).click();
  await app.getByRole('textbox', { name: 'Title' }).fill('<b>My DMA</b>');
  await press(app, 'Enter');
  await expect(list(app).first()).toContainText('<b>My DMA</b>');
  await app.getByRole('button', { name: 'Duplicate <b>My DMA</b>' }).click();
  await expect(list(app)).toHaveCount(3);

  await app.getByRole('button', { name: 'Delete <b>My DMA</b> (copy)' }).click();
  await expect(list(app)).toHaveCount(2);
  await app.getByRole('dialog').getByRole('button', { name: 'Undo' }).click();
  await expect(list(app)).toHaveCount(3);

  await list(app)
    .filter({ hasText: /^<b>My DMA<\/b>(?! \(copy)/ })
    .getByRole('button')
    .first()
    .click();
  await idle(app);
  await expect(app.locator('header')).toContainText('<b>My DMA</b>');
  await expect(app.locator('header b')).toHaveCount(0);
  await expect(steps(app)).toHaveCount(count);
  // The one that is open is deleted: another one opens, and it is gone from the list after a reload.
  await documents(app);
  await app.getByRole('button', { name: 'Delete <b>My DMA</b>', exact: true }).click();
  await expect(list(app)).toHaveCount(2);
  await app.reload();
  await idle(app);
  await documents(app);
  await expect(list(app)).toHaveCount(2);
});

test('two tabs with one document: neither writes over the other', async ({ app, context }) => {
  await visit(app, scenario);
  await addStep(app);
  await idle(app);
  const url = app.url();
  const other = await context.newPage();
  await other.goto(url);
  await idle(other);
  await addStep(other);
  await expect(app.getByText('This document is open in another tab too')).toBeVisible();
  await addStep(app);
  await addStep(app);
  await expect(app.getByText('This tab goes on with a copy of the document')).toBeVisible();
  await idle(app);
  expect(app.url()).not.toContain(url.match(/doc=\w+/)![0]);
  const mine = await steps(app).count();
  await app.reload();
  await idle(app);
  await expect(steps(app)).toHaveCount(mine);
  await other.reload();
  await idle(other);
  await expect(steps(other)).toHaveCount(mine - 1);
  await documents(app);
  await expect(list(app)).toHaveCount(2);
});

test('what an earlier version kept is taken over', async ({ app }) => {
  const text = (title: string, n: number): string =>
    JSON.stringify({
      format: 'iommuscope/1',
      title,
      platform: { iommu: 'smmuv3' },
      devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
      steps: Array.from({ length: n }, () => ({ do: 'guest.attach', device: 'nic0', domain: 'dma0' })).slice(0, n),
    });
  const place = { step: 1, event: 0 };
  const entries = [
    { text: text('Old file', 1), scenario: null, label: 'Open "Old file"', opened: true, place },
    { text: text('Old edit', 1), scenario: 'smmuv3-first-dma', label: 'Open "Old edit"', opened: true, place },
    { text: text('Old edit', 2), scenario: 'smmuv3-first-dma', label: 'Add attach', opened: false, place },
  ];
  await app.addInitScript(
    ([history, view]) => {
      if (localStorage.getItem('seeded')) return;
      localStorage.setItem('seeded', 'yes');
      for (const storage of [localStorage, sessionStorage]) {
        storage.setItem('iommuscope.history', history!);
        storage.setItem('iommuscope.view', view!);
      }
    },
    [
      JSON.stringify({ version: 1, entries, at: 2 }),
      JSON.stringify({ version: 1, place: { step: 2, event: 0 }, settings: { theme: 'dark', panel: 'steps' } }),
    ],
  );
  await visit(app);
  await expect(app.locator('header')).toContainText('Old edit');
  await expect(where(app)).toHaveText(/^Step 2 of 2/);
  await documents(app);
  await expect(list(app)).toHaveCount(2);
  await press(app, 'Escape');
  await app.reload();
  await idle(app);
  await expect(app.locator('header')).toContainText('Old edit');
  expect(await app.evaluate(() => localStorage.getItem('iommuscope.history'))).toBeNull();
  await documents(app);
  await expect(list(app)).toHaveCount(2);
});

test('a browser that keeps nothing says so once, and all else works', async ({ app }) => {
  await app.addInitScript(() => {
    Object.defineProperty(window, 'indexedDB', {
      get: () => {
        throw new DOMException('denied', 'SecurityError');
      },
    });
    for (const name of ['localStorage', 'sessionStorage'])
      Object.defineProperty(window, name, {
        get: () => {
          throw new DOMException('denied', 'SecurityError');
        },
      });
  });
  await visit(app, scenario);
  await expect(app.getByRole('alert')).toHaveCount(0);
  await addStep(app);
  await idle(app);
  const alert = app.getByRole('alert');
  await expect(alert).toContainText('This browser does not keep the document');
  await alert.getByRole('button').click();
  const count = await steps(app).count();
  await addStep(app);
  await idle(app);
  await expect(steps(app)).toHaveCount(count + 1);
  await expect(alert).toHaveCount(0);
  await documents(app);
  await expect(app.getByText('This browser keeps no documents')).toBeVisible();
});

test('a file of another version is refused with what to do; what was open stays', async ({ app }) => {
  await visit(app);
  const before = await steps(app).allTextContents();
  await drop(app, 'new.json', JSON.stringify({ format: 'iommuscope/9', title: 'N', platform: {}, steps: [] }));
  const alert = app.getByRole('alert');
  await expect(alert).toContainText('new.json was not opened');
  await expect(alert).toContainText('iommuscope/9');
  expect(await steps(app).allTextContents()).toEqual(before);
});
