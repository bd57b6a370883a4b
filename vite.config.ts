import { chmodSync } from 'node:fs';
import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

/** The built page forbids inline scripts, eval and other origins by itself; the development server needs inline scripts. */
const contentSecurityPolicy: Plugin = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      injectTo: 'head-prepend',
      attrs: {
        'http-equiv': 'Content-Security-Policy',
        content: "default-src 'self'; object-src 'none'; frame-src 'none'; base-uri 'none'",
      },
    },
  ],
};

export default defineConfig({
  // Relative addresses: the built app works under any path of any static server.
  base: './',
  plugins: [react(), tailwindcss(), contentSecurityPolicy],
  server: { host: '127.0.0.1' },
  preview: { host: '127.0.0.1' },
  build: { outDir: 'dist/app', emptyOutDir: true, target: 'es2022' },
  environments: {
    client: {},
    cli: {
      consumer: 'server',
      resolve: { noExternal: true },
      // React picks its development code unless this is replaced.
      define: { 'process.env.NODE_ENV': '"production"' },
      build: {
        outDir: 'dist/cli',
        emptyOutDir: true,
        copyPublicDir: false,
        target: 'node20',
        ssr: true,
        minify: false,
        rolldownOptions: {
          input: 'src/cli/main.ts',
          external: ['playwright', 'playwright-core', '@playwright/test'],
          output: { format: 'es', entryFileNames: 'cli.js' },
        },
      },
    },
  },
  builder: {
    async buildApp(builder) {
      await builder.build(builder.environments.client);
      await builder.build(builder.environments.cli);
      chmodSync('dist/cli/cli.js', 0o755);
    },
  },
});
