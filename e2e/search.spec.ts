import { event, expect, idle, press, test, visit, where } from './app.ts';

test('an address, a command and an id are found anywhere in time; an entry tells why it is there', async ({ app }) => {
  await visit(app, '#s=smmuv3-unmap-without-atc-inv&step=1&event=0');
  await press(app, 'Control+k');
  const box = app.getByRole('combobox', { name: 'Search or run' });
  await box.fill('TLBI_NH_VA');
  await idle(app);
  const hits = app.getByRole('option').filter({ hasText: 'Events' });
  await expect(hits.filter({ hasText: 'rewrite' }).first()).toContainText('step 4');
  // An address that no line of text names as such is found inside the records that cover it.
  await box.fill('no_such_word_anywhere');
  await idle(app);
  await expect(app.getByText('Nothing has these words.')).toBeVisible();
  await box.fill('TLBI_NH_VA rewrite');
  await idle(app);
  await press(app, 'Enter');
  await expect(where(app)).toContainText('Step 4');
  await expect(event(app)).not.toContainText('event 0');
  await expect(app.getByRole('complementary', { name: 'Inspector' })).toContainText('TLBI_NH_VA');

  await press(app, 'Shift+ArrowRight');
  await app.getByRole('complementary', { name: 'Inspector' }).getByRole('button', { name: 'Show the entry' }).click();
  await idle(app);
  const why = app.getByRole('region', { name: 'Why is this here' });
  await expect(why).toContainText('fill');
  await expect(why).toContainText('Step 3');
  await why.getByRole('button').first().click();
  await idle(app);
  await expect(where(app)).toContainText('Step 3');
});
