import { choose, expect, idle, press, test, visit } from './app.ts';

test('the tour shows real things, is left and taken up again', async ({ app }) => {
  await visit(app);
  await choose(app, 'Help', /^Take the tour/);
  const card = app.getByRole('dialog', { name: /tour|bands/i });
  await expect(app.getByText('Tour · 1 of 9')).toBeVisible();
  await app.getByRole('button', { name: 'Next', exact: true }).click();
  await expect(app.getByText('Tour · 2 of 9')).toBeVisible();
  await app.getByRole('button', { name: 'Leave', exact: true }).click();
  await expect(card).toHaveCount(0);
  await choose(app, 'Help', /tour/);
  await expect(app.getByText('Tour · 2 of 9')).toBeVisible();
  await app.getByRole('button', { name: 'Leave', exact: true }).click();
});

test('the glossary finds a term and names its source; the keys are listed', async ({ app }) => {
  await visit(app);
  await choose(app, 'Help', /^Glossary/);
  const glossary = app.getByRole('dialog');
  await glossary.getByLabel('Find a term').fill('VMID');
  await idle(app);
  await expect(glossary).toContainText('VMID');
  await expect(glossary).toContainText('IHI 0070');
  // The first one empties the field.
  await press(app, 'Escape', 'Escape', '?');
  await expect(app.getByRole('dialog')).toContainText('One event forward');
  await expect(app.getByRole('dialog')).toContainText('Show the ladder');
});
