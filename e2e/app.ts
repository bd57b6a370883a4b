import { test as base, expect, type Page } from '@playwright/test';

/** What a careful host sends. The page must live with it: no inline script, no eval, nothing from elsewhere. */
const policy =
  "default-src 'self'; script-src 'self'; style-src 'self'; object-src 'none'; base-uri 'none'; frame-src 'none'";

/** A page with a strict policy, on which any message of the console and any request to elsewhere is a failure. */
export const test = base.extend<{ app: Page }>({
  app: async ({ page, baseURL }, use) => {
    const wrong: string[] = [];
    page.on('pageerror', (e) => wrong.push(`error: ${e.message}`));
    page.on('console', (m) => wrong.push(`${m.type()}: ${m.text()}`));
    page.on('request', (r) => {
      if (!r.url().startsWith(baseURL ?? '') && !/^(data|blob):/.test(r.url())) wrong.push(`request: ${r.url()}`);
    });
    await page.route(
      (url) => url.pathname.endsWith('/'),
      async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, headers: { ...response.headers(), 'content-security-policy': policy } });
      },
    );
    await use(page);
    expect(wrong).toEqual([]);
  },
});

/** Waits until nothing plays, flies, loads or fades. */
export async function idle(page: Page): Promise<void> {
  await page.waitForFunction(() => document.documentElement.dataset.idle === 'true', null, { timeout: 45_000 });
}

/** First visit, at rest. */
export async function visit(page: Page, hash = ''): Promise<void> {
  await page.goto(`./${hash}`);
  await idle(page);
}

/** `Step 3 of 7`, `event 2 of 9`: where the player says it stands. */
export const where = (page: Page) => page.getByRole('region', { name: 'Player' }).getByText(/^(Setup|Step )/);
export const event = (page: Page) => page.getByRole('region', { name: 'Player' }).getByText(/^event |^no events/);
export const steps = (page: Page) => page.getByRole('list', { name: 'Steps' }).getByRole('listitem');

export async function press(page: Page, ...keys: readonly string[]): Promise<void> {
  for (const k of keys) await page.keyboard.press(k);
  await idle(page);
}

/** Opens a document the way a person does: by dropping the file on the page. */
export async function drop(page: Page, name: string, text: string): Promise<void> {
  const data = await page.evaluateHandle(
    ([n, t]) => {
      const d = new DataTransfer();
      d.items.add(new File([t!], n!, { type: 'text/plain' }));
      return d;
    },
    [name, text],
  );
  await page.dispatchEvent('main', 'drop', { dataTransfer: data });
  await idle(page);
}

/** Chooses from one of the header's menus. */
export async function choose(page: Page, menu: string, item: string | RegExp): Promise<void> {
  await page.getByRole('banner').getByRole('button', { name: menu, exact: true }).click();
  await page.getByRole('menuitem', { name: item }).click();
}

export { expect };
