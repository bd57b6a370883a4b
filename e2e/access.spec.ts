import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { choose, expect, idle, press, steps, test, visit, where } from './app.ts';

async function noSeriousViolation(page: Page, what: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations
    .filter((v) => v.impact === 'serious' || v.impact === 'critical')
    .map(
      (v) => `${what}: ${v.id}: ${v.nodes.map((n) => n.target.join(' ')).slice(0, 3)} ${v.nodes[0]?.failureSummary}`,
    );
  expect(serious).toEqual([]);
}

for (const theme of ['light', 'dark'] as const)
  test(`no serious violation, ${theme}`, async ({ app }) => {
    await app.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await visit(app);
    await expect(app.locator('html')).toHaveAttribute('data-theme', theme);
    await noSeriousViolation(app, 'first visit');
    await press(app, 'PageDown', 'PageDown', 'PageDown', 'PageDown');
    await noSeriousViolation(app, 'a step');
    await app.locator('[data-id="hw.ste.0x100"]').first().click();
    await noSeriousViolation(app, 'a record');
    await app.getByRole('tab', { name: 'Operations' }).click();
    await app.getByRole('button', { name: 'Unmap guest memory', exact: true }).click();
    await idle(app);
    await noSeriousViolation(app, 'a form');
    await app.getByRole('tab', { name: 'Scenarios' }).click();
    await noSeriousViolation(app, 'the library');
    await app.keyboard.press('Control+k');
    await idle(app);
    await noSeriousViolation(app, 'the palette');
    await app.keyboard.press('Escape');
    await app.keyboard.press('?');
    await idle(app);
    await noSeriousViolation(app, 'the keys');
    await app.keyboard.press('Escape');
    await choose(app, 'File', 'Paste a log…');
    await app.getByRole('button', { name: 'An example' }).click();
    await idle(app);
    await noSeriousViolation(app, 'a log');
  });

for (const theme of ['light', 'dark'] as const)
  test(`no serious violation on VT-d's screens, ${theme}`, async ({ app }) => {
    await app.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
    await visit(app, '#s=vtd-sva&step=7&event=999');
    await noSeriousViolation(app, 'VT-d');
    await app.locator('[data-id="hw.pasid.0x200.0x1"]').first().click();
    await app.getByRole('tab', { name: 'Machine' }).click();
    await idle(app);
    await noSeriousViolation(app, 'a PASID entry, and the rules of VT-d');
  });

test('the theme is chosen and kept', async ({ app }) => {
  await app.emulateMedia({ colorScheme: 'light' });
  await visit(app);
  const button = app.getByRole('button', { name: /^Colours:/ });
  await button.click();
  await button.click();
  await expect(app.locator('html')).toHaveAttribute('data-theme', 'dark');
  await app.waitForTimeout(700);
  await app.reload();
  await idle(app);
  await expect(app.locator('html')).toHaveAttribute('data-theme', 'dark');
});

test('everything by keyboard alone', async ({ app }) => {
  await visit(app);
  const focused = () =>
    app.evaluate(
      () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent?.trim() ?? '',
    );
  const tabTo = async (name: RegExp): Promise<void> => {
    for (let i = 0; i < 80; i++) {
      await app.keyboard.press('Tab');
      if (name.test(await focused())) return;
    }
    throw new Error(`Tab never came to ${name}`);
  };
  await tabTo(/^Play all/);
  await app.keyboard.press('Enter');
  await app.keyboard.press('Escape');
  await expect(app.getByRole('button', { name: 'Pause', exact: true })).toBeVisible();
  await press(app, 'End');
  await expect(where(app)).toHaveText(/^Step (\d+) of \1/);

  // A record of the diagram.
  await app.locator('[role=group][aria-label^=Topology]').focus();
  await app.keyboard.press('ArrowDown');
  await app.keyboard.press('Enter');
  await idle(app);
  await expect(app.getByRole('complementary', { name: 'Inspector' }).getByText(/^Selected/)).toBeVisible();

  // What can be done with it.
  await app.keyboard.press('Shift+F10');
  await expect(app.getByRole('menu')).toBeVisible();
  await app.keyboard.press('Escape');
  await expect(app.getByRole('menu')).toHaveCount(0);

  // The tabs of the panel, and an operation.
  await app.getByRole('tab', { name: 'Steps' }).focus();
  await app.keyboard.press('ArrowRight');
  await expect(app.getByRole('tab', { name: 'Operations' })).toBeFocused();
  await idle(app);
  await tabTo(/^Detach a device/);
  await app.keyboard.press('Enter');
  await tabTo(/^Run after/);
  const before = Number((await where(app).textContent())!.match(/of (\d+)/)![1]);
  await app.keyboard.press('Enter');
  await idle(app);
  await expect(where(app)).toHaveText(`Step ${before + 1} of ${before + 1}`);

  // The list of steps is one stop; arrows move in it.
  await steps(app).last().getByRole('button').first().focus();
  await app.keyboard.press('ArrowUp');
  await app.keyboard.press('Enter');
  await idle(app);
  await expect(where(app)).toHaveText(new RegExp(`^Step ${before} of`));
});

test('the page never scrolls and nothing is cut off at the usual sizes', async ({ app }) => {
  for (const [width, height] of [
    [1280, 720],
    [1440, 900],
    [1920, 1080],
  ] as const) {
    await app.setViewportSize({ width, height });
    await visit(app);
    const over = await app.evaluate(() => {
      const root = document.documentElement;
      return [root.scrollWidth - root.clientWidth, root.scrollHeight - root.clientHeight];
    });
    expect(over).toEqual([0, 0]);
    for (const name of ['File', 'Share', 'Present', 'Help'])
      await expect(app.getByRole('button', { name, exact: true })).toBeInViewport({ ratio: 1 });
    await expect(app.getByRole('button', { name: 'Keys' })).toBeInViewport({ ratio: 1 });
  }
});
