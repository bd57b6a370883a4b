import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { drop, expect, idle, press, steps, test, visit } from './app.ts';

const scenario = JSON.stringify({
  format: 'iommuscope/1',
  title: 'Edit a descriptor',
  platform: { iommu: 'smmuv3', memory: '2GiB', guest: { memory: '64MiB' } },
  devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
  steps: [
    { do: 'guest.attach', device: 'nic0', domain: 'dma0' },
    { do: 'guest.map', domain: 'dma0', iova: '0x10000', gpa: '0x40200000', size: '8KiB' },
    { do: 'device.dma', device: 'nic0', iova: '0x10000' },
  ],
});

async function tables(page: Page): Promise<void> {
  await page.getByRole('tab', { name: 'Tables' }).click();
  await idle(page);
}

const tree = (page: Page) => page.getByRole('tree', { name: 'Tables in memory' });

async function go(page: Page, text: string): Promise<void> {
  await page.getByLabel('Go to an address').fill(text);
  await press(page, 'Enter');
}

test('a descriptor is edited: caches know nothing of it, and the next walk goes elsewhere', async ({ app }) => {
  await visit(app);
  await drop(app, 'edit.json', scenario);
  await press(app, 'End');
  await tables(app);
  await go(app, 'nic0 0x10000');
  await expect(app.getByRole('status').filter({ hasText: 'nic0: 0x1_0000 → 0x4020_0000' })).toBeVisible();
  const entry = tree(app).getByRole('treeitem', { selected: true });
  await expect(entry).toContainText('0x1_0000–0x1_0fff');
  await expect(entry).toContainText('0x4020_0000');

  const inspector = app.getByRole('complementary', { name: 'Inspector' });
  await inspector.getByRole('button', { name: 'Edit' }).click();
  await idle(app);
  const form = app.getByRole('form', { name: /^Edit / });
  const address = form.getByRole('textbox', { name: /^OutputAddress/ });
  await address.fill('0x40200001');
  await expect(form.getByText('Not a multiple of 0x1000.')).toBeVisible();
  await expect(form.getByRole('button', { name: 'Write to memory' })).toBeDisabled();
  await address.fill('0x40300000');
  await expect(form.getByText('What is written')).toBeVisible();
  // Escape leaves everything as it was.
  await press(app, 'Escape');
  await expect(form).toHaveCount(0);
  await expect(steps(app)).toHaveCount(4);

  await inspector.getByRole('button', { name: 'Edit' }).click();
  await idle(app);
  await form.getByRole('textbox', { name: /^OutputAddress/ }).fill('0x40300000');
  await form.getByRole('button', { name: 'Write to memory' }).click();
  await idle(app);
  await expect(steps(app)).toHaveCount(5);
  await expect(steps(app).last()).toContainText('Write guest memory at');
  await expect(inspector.getByRole('heading', { name: /hazard/i })).toBeVisible();
  await expect(entry).toContainText('0x4030_0000');
  await expect(entry).toContainText('± changed, was 0x4020_0000');
  await app.getByLabel('Which entries').selectOption('changed');
  await expect(tree(app).getByText('± changed', { exact: false })).toHaveCount(1);
  await app.getByLabel('Which entries').selectOption('all');
  await go(app, 'nic0 0x10000');
  const way = app.getByRole('status').filter({ hasText: '→ 0x4030_0000 → ' });
  const end = /→ 0x4030_0000 → (0x[0-9a-f_]+) /.exec((await way.textContent()) ?? '')![1]!.replaceAll('_', '');
  // Once nothing that is cached answers any more, hardware goes where the edited table says.
  const remedy = inspector.getByRole('region', { name: 'Hazards' }).getByRole('button', { name: /^Send / });
  for (let i = 0; i < 4 && (await remedy.count()) > 0; i++) {
    await remedy.first().click();
    await idle(app);
  }
  await expect(remedy).toHaveCount(0);
  await app.keyboard.press('Control+k');
  await app.getByRole('combobox', { name: 'Search or run' }).fill('device.dma');
  await app.keyboard.press('Enter');
  await app.getByRole('dialog').getByLabel(/^iova/).fill('0x10000');
  await app
    .getByRole('dialog')
    .getByRole('button', { name: /^Run after step/ })
    .click();
  await idle(app);
  await expect(steps(app).last()).toContainText(`reaches PA ${end}`);
});

test('the tree goes by keyboard, folds what is empty, and reads as text', async ({ app }) => {
  await visit(app);
  await drop(app, 'edit.json', scenario);
  await press(app, 'End');
  await tables(app);
  await tree(app).focus();
  const at = tree(app).getByRole('treeitem');
  await press(app, 'Home', 'ArrowRight');
  await expect(at.first()).toHaveAttribute('aria-expanded', 'true');
  await press(app, 'ArrowDown', 'ArrowUp', 'ArrowLeft');
  await expect(at.first()).toHaveAttribute('aria-expanded', 'false');
  await press(app, 'End', 'Home');
  await go(app, 'host 0x10');
  await expect(app.getByRole('status').filter({ hasText: 'raw words' })).toBeVisible();
  await go(app, 'nic7 0x10');
  await expect(app.getByText('nic7 is no device and no memory here.')).toBeVisible();
  const axe = async (): Promise<void> => {
    const { violations } = await new AxeBuilder({ page: app }).analyze();
    expect(violations.filter((v) => v.impact === 'serious' || v.impact === 'critical').map((v) => v.id)).toEqual([]);
  };
  await go(app, 'nic0 0x10000');
  await axe();
  await app.getByRole('button', { name: /text/i }).first().click();
  await idle(app);
  const text = app.getByRole('region', { name: 'Tables as text' });
  await expect(text.getByRole('heading', { name: /S1 tables dma0/ })).toBeVisible();
  await expect(text).toContainText('0x4020_0000 … 0x4020_1fff, 2 × 4 KiB RW');
  await axe();
});
