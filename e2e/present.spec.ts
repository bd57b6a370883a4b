import AxeBuilder from '@axe-core/playwright';
import { expect, idle, press, test, visit, where } from './app.ts';

test('steps as slides, a second window in time with them, a "what if" in the room; leaving keeps the position', async ({
  app,
  context,
}) => {
  await visit(app, '#s=smmuv3-unmap-without-atc-inv&step=1&event=0');
  await app.getByRole('banner').getByRole('button', { name: 'Present', exact: true }).click();
  await idle(app);
  const slides = app.getByRole('main', { name: 'Presentation' });
  await expect(slides.getByRole('heading', { level: 1 })).toHaveText(/^Unmap without an ATC/);
  await expect(app.getByRole('banner')).toHaveCount(0);
  for (let i = 0; i < 4; i++) await press(app, 'PageDown');
  await expect(slides.getByRole('heading', { level: 1 })).toHaveText('Unmap 0x1_0000');
  await expect(slides.getByRole('region', { name: 'Narration' })).toContainText('the driver skips ATC_INV');

  const opening = context.waitForEvent('page');
  await app.keyboard.press('n');
  const notes = await opening;
  await expect(notes.getByRole('region', { name: 'Now' })).toContainText('Unmap 0x1_0000');
  await expect(notes.getByRole('region', { name: 'Next' })).toContainText('nic0 reads 0x1_0000');
  await notes.getByRole('button', { name: 'Next' }).click();
  await expect(notes.getByRole('region', { name: 'Now' })).toContainText('nic0 reads 0x1_0000');
  await idle(app);
  await expect(slides.getByRole('heading', { level: 1 })).toHaveText('nic0 reads 0x1_0000');
  const found = await new AxeBuilder({ page: notes }).analyze();
  expect(found.violations.filter((v) => v.impact === 'serious' || v.impact === 'critical')).toEqual([]);
  await notes.close();

  // The room asks what if: a rule is switched beside the slide.
  await press(app, 'o');
  const whatIf = app.getByRole('complementary', { name: 'What if' });
  await whatIf.getByRole('searchbox').first().fill('atc');
  await whatIf.getByRole('button', { name: 'Close', exact: true }).click();
  await press(app, 'Escape');
  await expect(slides).toHaveCount(0);
  await expect(where(app)).toHaveText(/^Step 5/);
});
