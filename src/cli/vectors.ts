import path from 'node:path';
import process from 'node:process';
import { checkFolder } from './vectors/check.ts';

/**
 * `npm run test:vectors`: checks the array vectors in the folder that IOMMUSCOPE_VECTORS names, else the project's own copy.
 * Standard output ends with `N passed, N failed`; the exit status is 1 when one failed.
 */

const root = process.env['IOMMUSCOPE_ROOT'] ?? process.cwd();
const folder = process.env['IOMMUSCOPE_VECTORS'] || path.join(root, 'src/cli/fixtures/vectors');
const report = checkFolder(folder);
for (const s of report.skipped) console.error(`skipped ${s}`);
for (const f of report.failures) console.error(`FAILED ${f}`);
console.log(`${report.passed} passed, ${report.failures.length} failed`);
process.exitCode = report.failures.length ? 1 : 0;
