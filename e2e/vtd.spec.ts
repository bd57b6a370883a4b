import { expect, idle, press, steps, test, visit } from './app.ts';

test('a vendor’s code comes when it is needed, and its tab opens the same question', async ({ app }) => {
  const asked: string[] = [];
  app.on('request', (r) => asked.push(new URL(r.url()).pathname.replace(/^.*\//, '')));
  const loaded = (vendor: string): boolean => asked.some((f) => f.startsWith(`${vendor}-`));
  await visit(app, '#s=smmuv3-map-unmap&step=5&event=999');
  expect([loaded('smmuv3'), loaded('vtd')]).toEqual([true, false]);
  const vendors = app.getByRole('list', { name: 'Architecture' });
  await vendors.getByRole('button', { name: 'Intel VT-d' }).click();
  await idle(app);
  expect(loaded('vtd')).toBe(true);
  await expect(app.getByRole('banner')).toContainText('Map and unmap with invalidation');
  await expect(vendors.locator('[aria-current=true]')).toHaveText('Intel VT-d');
  await expect(app.locator('[data-id="hw.iq"]').first()).toBeVisible();
  await vendors.getByRole('button', { name: 'Arm SMMUv3' }).click();
  await idle(app);
  await expect(app.locator('[data-id="hw.cmdq"]').first()).toBeVisible();
});

test('VT-d alone does without the other vendor', async ({ app }) => {
  const asked: string[] = [];
  app.on('request', (r) => asked.push(r.url()));
  await visit(app, '#s=vtd-first-dma&step=3&event=999');
  expect(asked.filter((u) => /\/smmuv3-/.test(u))).toEqual([]);
});

test('one page table for each (RID, PASID), with a DID of its own', async ({ app }) => {
  await visit(app, '#s=vtd-two-pasids&step=1&event=999');
  const nested = app.locator('[data-id^="kernel.obj."]').filter({ hasText: 'HWPT_NESTED' });
  await expect(nested).toHaveCount(1);
  await press(app, 'Shift+ArrowRight');
  await expect(nested).toHaveCount(2);
  await expect(nested.nth(0)).toContainText('PASID 0x0 · DID 2');
  await expect(nested.nth(1)).toContainText('PASID 0x1 · DID 3');
  await app.locator('[data-id="hw.pasid.0x100.0x1"]').first().click();
  await idle(app);
  const inspector = app.getByRole('complementary', { name: 'Inspector' });
  await expect(inspector).toContainText('FSPTPTR');
  await expect(inspector).toContainText('PGTT');
});

test('a forgotten PC_INV is named, sent from the page, and binds the new table', async ({ app }) => {
  await visit(app, '#s=vtd-pasid-cache-forgotten&step=7&event=999');
  const hazards = app.getByRole('region', { name: 'Hazards' });
  await expect(hazards).toContainText('PC_INV did 2 pasid 0x0');
  await hazards.getByRole('button', { name: /PC_INV/ }).click();
  await app.getByRole('button', { name: 'Cut and add' }).click();
  await idle(app);
  await expect(steps(app).last()).toContainText('Send PC_INV');
  await expect(hazards).toHaveCount(0);
});

test('a page request climbs into the guest’s queue and its answer comes back', async ({ app }) => {
  await visit(app, '#s=vtd-sva&step=7&event=0');
  await press(app, 'Shift+ArrowRight');
  await expect(steps(app).nth(7)).toContainText('success');
  await app.getByLabel('Filter the events').fill('PAGE_GRP_RESP');
  await expect(app.getByText(/PAGE_GRP_RESP/).first()).toBeVisible();
});
