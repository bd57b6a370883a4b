import process from 'node:process';
import { ensureInstalled, root } from './install.mjs';

ensureInstalled({ quiet: true });
process.env.IOMMUSCOPE_ROOT ??= root;
const { run } = await import('./bundle.mjs');
await run('soak', 'src/cli/soak.ts');
