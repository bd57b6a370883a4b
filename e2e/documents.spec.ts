import { readFileSync } from 'node:fs';
import { choose, drop, expect, idle, press, steps, test, visit, where } from './app.ts';

const small = {
  format: 'iommuscope/1',
  title: 'Two reads',
  about: 'Markdown with **bold**, `code`, <img src=x onerror=alert(1)> and [a link](javascript:alert(1)).',
  platform: { iommu: 'smmuv3' },
  devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
  steps: [
    { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
    {
      do: 'device.dma',
      device: 'nic0',
      iova: '0x5000',
      expect: { pa: '0x1000' },
      say: 'A fault, *expected* by nobody.',
    },
  ],
};

test('a reload loses nothing', async ({ app }) => {
  await visit(app);
  await press(app, 'End');
  await app.locator('[data-id="hw.device.nic0"]').first().click({ button: 'right' });
  await app.getByRole('menuitem').first().click();
  await idle(app);
  await press(app, 'PageUp', 'ArrowRight', 'ArrowRight');
  const before = await steps(app).allTextContents();
  await app.waitForTimeout(700);
  const url = app.url();
  await app.reload();
  await idle(app);
  expect(app.url()).toBe(url);
  expect(await steps(app).allTextContents()).toEqual(before);
  await press(app, 'Control+z');
  await expect(steps(app)).toHaveCount(before.length - 1);
});

test('a document is opened, shown, exported and the same again', async ({ app }) => {
  await visit(app);
  await drop(app, 'two.json', JSON.stringify(small));
  await expect(app.getByRole('heading', { name: 'Two reads' })).toBeVisible();
  await expect(app.getByText('<img src=x onerror=alert(1)>', { exact: false })).toBeVisible();
  await expect(app.locator('.shell img, .shell a[href^="javascript"]')).toHaveCount(0);
  await expect(steps(app)).toHaveCount(3);
  await press(app, 'End');
  await expect(steps(app).last()).toContainText('Expectation not met');
  const download = app.waitForEvent('download');
  await choose(app, 'File', 'Save as a file');
  const file = await download;
  expect(file.suggestedFilename()).toBe('two-reads.json');
  const text = readFileSync(await file.path(), 'utf8');
  expect(JSON.parse(text)).toEqual(small);
});

test('a bad document is refused with the place, and what was open stays', async ({ app }) => {
  await visit(app);
  await press(app, 'PageDown');
  const before = await steps(app).allTextContents();
  const bad = { ...small, steps: [...small.steps, { do: 'device.dma', device: 'nic0', iova: 'nowhere' }] };
  await drop(app, 'bad.json', JSON.stringify(bad));
  const alert = app.getByRole('alert').filter({ hasText: 'bad.json was not opened' });
  await expect(alert).toContainText('steps[2].iova');
  await expect(where(app)).toHaveText(/^Step 1 of/);
  expect(await steps(app).allTextContents()).toEqual(before);
  await alert.getByRole('button', { name: /^Close/ }).click();
  await expect(alert).toHaveCount(0);
  await drop(app, 'cut.json', '{ "format": "iommuscope/1", "title": ');
  await expect(app.getByRole('alert').filter({ hasText: 'cut.json was not opened' })).toContainText('line 1');
});

test('a link leads to scenario, step and event', async ({ app }) => {
  await visit(app, '#s=smmuv3-first-dma&step=2&event=1');
  await expect(where(app)).toHaveText(/^Step 2 of/);
  await expect(app.locator('header')).toContainText('First DMA');
  await app.evaluate(() => {
    location.hash = '#s=smmuv3-map-unmap&step=1';
  });
  await expect(app.locator('header')).toContainText('Map and unmap');
  await idle(app);
  await visit(app, '#s=no-such-scenario');
  await expect(app.getByRole('alert')).toContainText('no-such-scenario');
});

test('every scenario of the library opens, plays in a moment, and meets its expectations', async ({ app }) => {
  await visit(app);
  await app.getByRole('tab', { name: 'Scenarios' }).click();
  const list = app.getByRole('tabpanel', { name: 'Scenarios' }).getByRole('listitem');
  const count = await list.count();
  expect(count).toBeGreaterThan(0);
  for (let i = 0; i < count; i++) {
    await app.getByRole('tab', { name: 'Scenarios' }).click();
    await list.nth(i).getByRole('button').click();
    await idle(app);
    await press(app, 'End');
    await expect(app.getByText('Expectation not met')).toHaveCount(0);
    await expect(where(app)).toHaveText(/^Step (\d+) of \1/);
  }
});
