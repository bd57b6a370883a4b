import type { Page } from '@playwright/test';
import { expect, idle, press, steps, test, visit, where } from './app.ts';

const titles = (page: Page) => steps(page).locator('[data-rove]').allTextContents();

test('an operation is filled in and runs from the Operations tab', async ({ app }) => {
  await visit(app);
  await press(app, 'End');
  const before = await steps(app).count();
  await app.getByRole('button', { name: 'Add an operation' }).click();
  await app.getByRole('button', { name: 'Map guest memory for devices' }).click();
  await app.getByLabel(/^iova/).fill('zzz');
  await expect(app.getByText('a number is needed')).toBeVisible();
  await app.getByLabel(/^iova/).fill('0x7000');
  await app.getByLabel(/^gpa/).fill('0x40207000');
  await app.getByRole('button', { name: /^Run after step/ }).click();
  await idle(app);
  await expect(steps(app)).toHaveCount(before + 1);
  await expect(steps(app).last()).toContainText('Map 0x7000 → 0x4020_7000');
  await expect(steps(app).last()).toHaveAttribute('aria-current', 'step');
  await expect(app.getByText('edited', { exact: true })).toBeVisible();
});

test('the palette finds an operation, and a command of the guest is built from its layout', async ({ app }) => {
  await visit(app);
  await press(app, 'End');
  const before = await steps(app).count();
  await app.keyboard.press('Control+k');
  await app.getByRole('combobox', { name: 'Search or run' }).fill('send command guest');
  await app.keyboard.press('Enter');
  const dialog = app.getByRole('dialog');
  await dialog.getByLabel('Command', { exact: true }).selectOption('ATC_INV');
  await dialog.getByLabel(/^SID/).fill('0x8');
  await dialog.getByLabel(/^Address/).fill('0x10001');
  await expect(dialog.getByText(/no bits outside/)).toBeVisible();
  await dialog.getByLabel(/^Address/).fill('0x10000');
  await dialog.getByRole('button', { name: /^Run after step/ }).click();
  await idle(app);
  await expect(steps(app)).toHaveCount(before + 1);
  await expect(steps(app).last()).toContainText('Send ATC_INV');
});

test('from an earlier position it asks before it cuts, and undo brings back', async ({ app }) => {
  await visit(app);
  const all = await titles(app);
  await press(app, 'PageDown', 'PageDown', 'PageDown');
  const run = async (): Promise<void> => {
    await app.keyboard.press('Control+k');
    await app.getByRole('combobox', { name: 'Search or run' }).fill('device.dma');
    await app.keyboard.press('Enter');
    await app.getByRole('dialog').getByRole('button', { name: 'Run after step 3' }).click();
  };
  await run();
  const question = app.getByRole('dialog', { name: 'Cut what follows?' });
  await question.getByRole('button', { name: 'Cancel' }).click();
  await idle(app);
  expect(await titles(app)).toEqual(all);
  await run();
  await question.getByRole('button', { name: 'Cut and add' }).click();
  await idle(app);
  await expect(steps(app)).toHaveCount(5);
  await press(app, 'Control+z');
  expect(await titles(app)).toEqual(all);
  await expect(where(app)).toHaveText(/^Step 3 of/);
  await press(app, 'Control+Shift+z');
  await expect(steps(app)).toHaveCount(5);
});

test('an object offers what can be done with it', async ({ app }) => {
  await visit(app);
  await press(app, 'End');
  const before = await steps(app).count();
  await app.locator('[data-id="hw.device.nic0"]').first().click({ button: 'right' });
  const menu = app.getByRole('menu');
  await expect(menu.getByRole('menuitem').first()).toBeFocused();
  const name = await menu.getByRole('menuitem').first().textContent();
  await app.keyboard.press('Enter');
  await idle(app);
  await expect(menu).toHaveCount(0);
  await expect(steps(app)).toHaveCount(before + 1);
  expect(name).not.toBe('Inspect');
});

test('a hazard names what is missing and sends it', async ({ app }) => {
  await visit(app, '#s=smmuv3-unmap-without-atc-inv');
  const hazards = app.getByRole('region', { name: 'Hazards' });
  await expect(hazards).toHaveCount(0);
  for (let i = 0; i < 8 && (await hazards.count()) === 0; i++) await press(app, 'PageDown');
  await expect(hazards).toContainText('ATC_INV');
  await hazards.getByRole('button', { name: /ATC_INV/ }).click();
  await app.getByRole('button', { name: 'Cut and add' }).click();
  await idle(app);
  await expect(hazards).toHaveCount(0);
  await expect(steps(app).last()).toContainText('Send ATC_INV');
});

test('a call that the kernel refuses shows its errno', async ({ app }) => {
  await visit(app);
  await press(app, 'End');
  await app.keyboard.press('Control+k');
  await app.getByRole('combobox', { name: 'Search or run' }).fill('ioctl');
  await app.keyboard.press('Enter');
  const dialog = app.getByRole('dialog');
  await dialog.getByLabel(/^call/).fill('IOMMU_DESTROY');
  await dialog.getByLabel(/^in/).fill('{"id": ');
  await expect(dialog.getByText(/not JSON/)).toBeVisible();
  await dialog.getByLabel(/^in/).fill('{"id": 99}');
  await dialog.getByRole('button', { name: /^Run after/ }).click();
  await idle(app);
  await expect(steps(app).last()).toContainText('ENOENT');
});

test('a selected record is shown bit by bit', async ({ app }) => {
  await visit(app);
  await press(app, 'PageDown');
  await app.locator('[data-id="hw.ste.0x100"]').first().click();
  const inspector = app.getByRole('complementary', { name: 'Inspector' });
  await expect(inspector.getByRole('heading', { level: 2 })).toContainText('STE 0x100');
  await expect(inspector.getByText('64 bytes')).toBeVisible();
  await expect(inspector.getByRole('button', { name: /^Config/ }).first()).toBeVisible();
  await expect(inspector.getByRole('term').filter({ hasText: /^Config/ })).toBeVisible();
  await expect(inspector.getByText(/Arm IHI 0070/).first()).toBeVisible();
  await inspector.getByRole('button', { name: /^All \d+ fields/ }).click();
  await expect(inspector.getByRole('term').filter({ hasText: /^S2TTB/ })).toBeVisible();
});
