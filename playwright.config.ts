import { readFileSync } from 'node:fs';
import process from 'node:process';
import { defineConfig } from '@playwright/test';

/** What scripts/ensure-browser.mjs found; without its record, Playwright looks for its own browser. */
function browser(): { executablePath?: string; env?: Record<string, string> } {
  try {
    return JSON.parse(readFileSync('.cache/browser.json', 'utf8'));
  } catch {
    return {};
  }
}

const { executablePath, env } = browser();
const port = Number(process.env.IOMMUSCOPE_E2E_PORT ?? 4317);
const baseURL = `http://127.0.0.1:${port}/`;

export default defineConfig({
  testDir: 'e2e',
  outputDir: '.cache/e2e',
  fullyParallel: false,
  workers: 2,
  retries: 0,
  forbidOnly: Boolean(process.env.CI),
  timeout: 60_000,
  reporter: [['list'], ['json', { outputFile: '.cache/reports/e2e.json' }]],
  use: {
    baseURL,
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'UTC',
    trace: 'retain-on-failure',
    // Needs a program of Playwright's own that isn't everywhere.
    video: 'off',
    launchOptions: {
      executablePath,
      env: env ? { ...(process.env as Record<string, string>), ...env } : undefined,
    },
  },
  projects: [
    // Alone and first: what it prints is worth something only while nothing else runs.
    { name: 'frames', testMatch: 'frames.spec.ts', use: { browserName: 'chromium' } },
    { name: 'chromium', testIgnore: 'frames.spec.ts', use: { browserName: 'chromium' }, dependencies: ['frames'] },
  ],
  webServer: {
    command: `node node_modules/vite/bin/vite.js preview --host 127.0.0.1 --port ${port} --strictPort`,
    url: baseURL,
    reuseExistingServer: false,
    timeout: 60_000,
  },
});
