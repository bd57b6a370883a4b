import { expect, test } from '@playwright/test';

test('the page opens, without an error and without a request to elsewhere', async ({ page, baseURL }) => {
  const errors: string[] = [];
  const elsewhere: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(baseURL ?? '') && !/^(data|blob):/.test(request.url())) elsewhere.push(request.url());
  });
  await page.goto('./');
  await expect(page).toHaveTitle(/iommuscope/);
  await expect(page.locator('#root')).not.toBeEmpty();
  expect(errors).toEqual([]);
  expect(elsewhere).toEqual([]);
});
