import { event, expect, idle, press, steps, test, visit, where } from './app.ts';

test('a first visit opens a scenario, and Play plays it to its end', async ({ app }) => {
  await visit(app);
  await expect(app.getByRole('heading', { level: 2 }).first()).not.toBeEmpty();
  const count = (await steps(app).count()) - 1;
  expect(count).toBeGreaterThan(0);
  await expect(where(app)).toHaveText(`Step 1 of ${count}`);
  await app.getByRole('button', { name: /^Play all/ }).click();
  await expect(app.getByRole('button', { name: 'Pause', exact: true })).toBeVisible();
  await idle(app);
  await expect(where(app)).toHaveText(`Step ${count} of ${count}`);
  await expect(event(app)).toHaveText(/^event (\d+) of \1$|no events/);
  await expect(app.getByRole('button', { name: 'Play', exact: true })).toBeVisible();
  await expect(app).toHaveURL(new RegExp(`step=${count}&event=`));
});

test('single events go forward and back, and end where they began', async ({ app }) => {
  await visit(app);
  const diagram = app.getByRole('group', { name: /^Topology/ });
  const first = await diagram.innerHTML();
  for (let i = 1; i <= 5; i++) {
    await press(app, 'ArrowRight');
    await expect(event(app)).toHaveText(new RegExp(`^event ${i} of`));
  }
  expect(await diagram.innerHTML()).not.toBe(first);
  const there = await app.locator('[role=option][aria-selected=true]').textContent();
  await press(app, 'ArrowRight');
  await app.getByRole('button', { name: 'One event back' }).click();
  await idle(app);
  expect(await app.locator('[role=option][aria-selected=true]').textContent()).toBe(there);
  await app.getByRole('button', { name: 'One event forward' }).click();
  await idle(app);
  await expect(event(app)).toHaveText(/^event 6 of/);
});

test('steps, Home and End', async ({ app }) => {
  await visit(app);
  await press(app, 'PageDown', 'PageDown');
  await expect(where(app)).toHaveText(/^Step 2 of/);
  await press(app, 'Shift+ArrowLeft');
  await expect(where(app)).toHaveText(/^Step 1 of/);
  await press(app, 'End');
  await expect(where(app)).toHaveText(/^Step (\d+) of \1/);
  await press(app, 'Home');
  await expect(where(app)).toHaveText(/^Step 1 of/);
  await expect(event(app)).toHaveText(/^event 0 of/);
  await press(app, 'Home');
  await expect(where(app)).toHaveText('Setup');
  await expect(event(app)).toHaveText(/^event 0 of/);
});

test('the slider is dragged to any place, and back', async ({ app }) => {
  await visit(app);
  const slider = app.getByRole('slider', { name: 'Position' });
  const box = (await slider.boundingBox())!;
  const at = (part: number) => [box.x + 12 + (box.width - 24) * part, box.y + box.height / 2] as const;
  await app.mouse.move(...at(0.1));
  await app.mouse.down();
  await app.mouse.move(...at(0.5), { steps: 8 });
  await idle(app);
  const half = await where(app).textContent();
  expect(half).not.toMatch(/^Setup/);
  await app.mouse.move(...at(1), { steps: 8 });
  await idle(app);
  await expect(where(app)).toHaveText(/^Step (\d+) of \1/);
  await app.mouse.move(...at(0.5), { steps: 8 });
  await app.mouse.up();
  await idle(app);
  await expect(where(app)).toHaveText(half!);
});

test('Space plays and pauses; a click on a step goes to its end', async ({ app }) => {
  await visit(app);
  await app.keyboard.press('Space');
  await expect(app.getByRole('button', { name: 'Pause', exact: true })).toBeVisible();
  await press(app, 'Space');
  await expect(app.getByRole('button', { name: 'Play', exact: true })).toBeVisible();
  await steps(app).nth(3).getByRole('button').first().click();
  await idle(app);
  await expect(where(app)).toHaveText(/^Step 3 of/);
  await expect(steps(app).nth(3)).toHaveAttribute('aria-current', 'step');
});

test('speed and loop', async ({ app }) => {
  await visit(app);
  await app.getByLabel('Speed').selectOption('4');
  await app.getByRole('button', { name: 'Loop' }).click();
  const count = (await steps(app).count()) - 1;
  await app.getByRole('button', { name: 'Play', exact: true }).click();
  await expect(where(app)).toHaveText(new RegExp(`^Step ${count} of`), { timeout: 20_000 });
  await expect(where(app)).toHaveText(/^Step 1 of/, { timeout: 20_000 });
  await app.getByRole('button', { name: 'Pause', exact: true }).click();
  await idle(app);
});

test('less motion: events follow one another, nothing flies', async ({ app }) => {
  await app.emulateMedia({ reducedMotion: 'reduce' });
  await visit(app);
  await app.keyboard.press('ArrowRight');
  await expect(event(app)).toHaveText(/^event 1 of/);
  expect(await app.evaluate(() => document.getAnimations().filter((a) => a.playState === 'running').length)).toBe(0);
});

test('the trace lists the events, filters them, and leads to each', async ({ app }) => {
  await visit(app);
  await press(app, 'End');
  await app.getByLabel('Which events').selectOption('all');
  await app.getByLabel('Filter the events').fill('TLBI');
  const rows = app.getByRole('listbox', { name: 'Events' }).getByRole('option');
  await expect(rows.first()).toContainText('TLBI');
  const n = await rows.count();
  for (let i = 0; i < n; i++) await expect(rows.nth(i)).toContainText('TLBI');
  const place = (await rows.nth(2).textContent())!.match(/^(\d+)\.(\d+)/)!;
  await rows.nth(2).click();
  await idle(app);
  await expect(app).toHaveURL(new RegExp(`step=${place[1]}&event=${place[2]}$`));
});
