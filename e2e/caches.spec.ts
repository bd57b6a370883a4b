import AxeBuilder from '@axe-core/playwright';
import { event, expect, idle, press, test, visit, where } from './app.ts';

const entries = 'Cache entries';

test('the caches at a moment, and where each entry comes from and goes', async ({ app }) => {
  await visit(app, '#s=smmuv3-unmap-without-atc-inv&step=5&event=999');
  await press(app, '4', 'm');
  const rows = app.getByRole('treegrid', { name: entries });
  const atc = rows.locator('[data-row="hw.device.nic0#1"]');
  await expect(atc).toContainText('hit, stale');
  await expect(atc).toContainText('0x1_0000');
  await atc.getByRole('button', { name: /^Go to 3\.\d+: filled in step 3 by nic0 read 0x10000/ }).click();
  await idle(app);
  await expect(where(app)).toHaveText(/^Step 3 of/);
  await expect(atc).toContainText('filled');
  await expect(atc).toHaveAttribute('aria-selected', 'true');

  // What is gone is shown on demand, with the command that removed it.
  await visit(app, '#s=smmuv3-unmap-without-atc-inv&step=7&event=999');
  await expect(rows.locator('[data-row="hw.iotlb#1"]')).toHaveCount(0);
  await app.getByLabel('Which entries').selectOption('removed');
  await idle(app);
  const gone = rows.locator('[data-row="hw.iotlb#1"]');
  await gone.getByRole('button', { name: /removed in step 4 by TLBI_NH_VA/ }).click();
  await idle(app);
  await expect(where(app)).toHaveText(/^Step 4 of/);
  await expect(event(app)).toContainText('event 12');
});

test('filters, groups, text, and no serious finding of axe', async ({ app }) => {
  await visit(app, '#s=vtd-two-guests&step=999&event=999');
  await press(app, '4', 'm');
  const rows = app.getByRole('treegrid', { name: entries });
  await app.getByLabel('Group by').selectOption('DID');
  await idle(app);
  await expect(rows.getByRole('row', { name: /DID \d+ .*entr/ }).first()).toBeVisible();
  await app.getByLabel('Filter the entries').fill('no such word');
  await expect(app.getByText('No entry is as the filter says.')).toBeVisible();
  await app.getByRole('button', { name: 'Clear the filter' }).click();
  await rows.focus();
  await press(app, 'ArrowDown', 'ArrowDown', 'ArrowDown');
  await expect(rows.locator('[aria-selected=true]')).toHaveCount(1);
  const found = await new AxeBuilder({ page: app }).include('[aria-label="Views"]').analyze();
  expect(found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')).toEqual([]);
  await press(app, 'x');
  await expect(app.getByRole('region', { name: 'Caches as text' })).toContainText('filled in step', {
    ignoreCase: true,
  });
});
