import { defineConfig } from 'vitest/config';

/** Enough for a machine with other work to do. */
const testTimeout = 30_000;

export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      {
        test: {
          name: 'unit',
          environment: 'node',
          testTimeout,
          include: ['src/**/*.test.{ts,tsx}', 'scripts/*.test.mjs'],
          exclude: ['src/**/*.dom.test.{ts,tsx}'],
        },
      },
      {
        test: {
          name: 'dom',
          environment: 'jsdom',
          testTimeout,
          include: ['src/**/*.dom.test.{ts,tsx}'],
        },
      },
    ],
  },
});
