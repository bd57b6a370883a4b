import process from 'node:process';
import { parseArgs } from 'node:util';
import { ensureInstalled, root } from './install.mjs';

const { values } = parseArgs({ options: { port: { type: 'string' } } });
const port = values.port === undefined ? undefined : Number(values.port);
if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65536)) {
  console.error(`--port: expected a number from 1 to 65535, found "${values.port}"`);
  process.exit(2);
}

ensureInstalled();
process.chdir(root);
const { createBuilder, preview } = await import('vite');

const builder = await createBuilder({ logLevel: 'warn' });
await builder.build(builder.environments.client);

let server;
try {
  server = await preview({ logLevel: 'warn', preview: { host: '127.0.0.1', port, strictPort: port !== undefined } });
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
console.log(`iommuscope: ${server.resolvedUrls.local[0]}`);
console.log('Ctrl+C ends it.');

// Ending npm doesn't end its script; a server left behind would hold the port.
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 500).unref();
