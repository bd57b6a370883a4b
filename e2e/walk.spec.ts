import AxeBuilder from '@axe-core/playwright';
import { event, expect, idle, press, test, visit, where } from './app.ts';

const nested = '#s=smmuv3-first-dma&step=3&event=20';

test('the grid fills read by read, a cell leads to its read and shows its bits', async ({ app }) => {
  await visit(app, nested);
  await press(app, '2');
  const grid = app.getByRole('grid', { name: /nic0 reads 0x1_0000/ });
  await expect(grid).toBeVisible();
  const reading = grid.locator('[data-state=reading]');
  await expect(reading).toHaveCount(1);
  await expect(reading).toHaveAccessibleName(/^Read 16 of 25: S2 L1 for S1 L2, address 0x/);
  await press(app, 'ArrowRight');
  await expect(reading).toHaveAccessibleName(/^Read 17 of 25/);
  await grid.locator('[data-state=read]').first().click();
  await idle(app);
  await expect(event(app)).toHaveText(/^event 2 of/);
  const inspector = app.getByRole('complementary', { name: 'Inspector' });
  await expect(inspector).toContainText('Span');
  await expect(where(app)).toHaveText(/^Step 3/);
});

test('by keyboard alone: arrows move among the cells, Enter goes there', async ({ app }) => {
  await visit(app, nested);
  await app.getByRole('tab', { name: 'Walk' }).click();
  await idle(app);
  const grid = app.getByRole('grid');
  await grid.locator('[data-state=reading]').focus();
  await press(app, 'ArrowUp', 'ArrowLeft');
  await expect(app.locator(':focus')).toHaveAccessibleName(/^Read 11 of 25: S2 L0 for S1 L1/);
  await press(app, 'Enter');
  await expect(grid.locator('[data-state=reading]')).toHaveAccessibleName(/^Read 11 of 25/);
});

test('a fault marks its cell; what is cached is skipped; the twin says the same', async ({ app }) => {
  await visit(app, '#s=smmuv3-first-dma&step=6&event=999');
  await app.getByRole('tab', { name: 'Walk' }).click();
  await idle(app);
  const grid = app.getByRole('grid');
  await expect(grid.locator('[data-cell][aria-label*="F_TRANSLATION: the walk stops here"]')).toHaveCount(1);
  await expect(grid.locator('[data-state=skipped]').first()).toBeAttached();
  await press(app, 'x');
  const table = app.getByRole('region', { name: 'Walk' }).getByRole('table');
  await expect(table).toContainText('F_TRANSLATION stops the walk here');
  await expect(table).toContainText('skipped: S1 walk');
});

test('a step without a walk says how to come to one', async ({ app }) => {
  await visit(app, '#s=vtd-first-dma&step=2&event=999');
  await app.getByRole('tab', { name: 'Walk' }).click();
  await idle(app);
  await app.getByRole('button', { name: /^Go to step 3/ }).click();
  await idle(app);
  await expect(app.getByRole('grid', { name: /nic0 reads/ })).toBeVisible();
  await expect(app.getByRole('grid').getByRole('rowheader', { name: /FS L4/ })).toBeAttached();
  await press(app, 'm');
  const axe = await new AxeBuilder({ page: app }).include('[role=tabpanel]').analyze();
  expect(axe.violations.map((v) => `${v.id}: ${v.nodes[0]?.html.slice(0, 120)}`)).toEqual([]);
});
