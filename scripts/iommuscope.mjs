import process from 'node:process';
import { ensureInstalled } from './install.mjs';

ensureInstalled({ quiet: true });
// npm runs scripts in the package's folder; names of files are meant from where the command was typed.
if (process.env.npm_lifecycle_event === 'iommuscope' && process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
const { run } = await import('./bundle.mjs');
await run('iommuscope', 'src/cli/main.ts');
