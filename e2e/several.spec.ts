import { expect, idle, press, steps, test, visit } from './app.ts';

test('two guests: one folds and is shown again, and the other’s entries stay', async ({ app }) => {
  await visit(app, '#s=smmuv3-two-guests&step=0&event=999');
  const queue = (guest: string) => app.locator(`[data-key="guest.${guest}.cmdq"]`);
  await expect(queue('vm0')).toBeVisible();
  await expect(queue('vm1')).toHaveCount(0);
  await app.getByRole('button', { name: 'Show vm1' }).click();
  await idle(app);
  await expect(queue('vm1')).toBeVisible();
  await app.getByRole('button', { name: 'Fold vm0' }).click();
  await idle(app);
  await expect(queue('vm0')).toHaveCount(0);
  await app.getByRole('button', { name: /^vm0/ }).first().click();
  await idle(app);
  await expect(queue('vm0')).toBeVisible();
  await press(app, 'End');
  await expect(steps(app)).toHaveCount(11);
  await expect(app.getByRole('region', { name: 'Hazards' })).toHaveCount(0);
});

test('a stalled access climbs to the guest and comes back', async ({ app }) => {
  await visit(app, '#s=smmuv3-sva&step=6&event=7');
  await expect(app.locator('[data-id="hw.device.acc0"]').first()).toContainText('stalled STAG 0');
  await press(app, 'Shift+ArrowRight');
  await expect(app.locator('[data-id="hw.device.acc0"]').first()).not.toContainText('stalled');
  await expect(steps(app).nth(6)).toContainText('reaches PA 0x1c0101000');
  await expect(steps(app).nth(2)).toContainText('Bind acc0 to process app');
});
