import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';
import { parseSync } from 'vite';
import { root } from './install.mjs';

const limit = 180_000;
const app = path.join(root, 'dist', 'app');
const page = path.join(app, 'index.html');
if (!existsSync(page)) {
  console.error('dist/app/index.html is missing: build first');
  process.exit(1);
}

const html = readFileSync(page, 'utf8');
const attribute = (tag, name) => new RegExp(`\\b${name}\\s*=\\s*["']?([^"'\\s>]+)`, 'i').exec(tag)?.[1];
const scripts = [];
const styles = [];
for (const [tag] of html.matchAll(/<(?:script|link)\b[^>]*>/gi)) {
  const rel = attribute(tag, 'rel');
  if (/^<script/i.test(tag)) scripts.push(attribute(tag, 'src'));
  else if (rel === 'modulepreload') scripts.push(attribute(tag, 'href'));
  else if (rel === 'stylesheet') styles.push(attribute(tag, 'href'));
}

// What the page names, and all that these import before they run.
const needed = new Set();
function visit(file) {
  if (needed.has(file)) return;
  needed.add(file);
  const { module } = parseSync(file, readFileSync(file, 'utf8'));
  const requests = [
    ...module.staticImports.map((item) => item.moduleRequest.value),
    ...module.staticExports.flatMap((item) => item.entries.map((entry) => entry.moduleRequest?.value)),
  ];
  for (const request of requests) if (request) visit(path.resolve(path.dirname(file), request));
}
for (const source of scripts) if (source) visit(path.resolve(app, source));
if (needed.size === 0) {
  console.error('dist/app/index.html loads no script');
  process.exit(1);
}

const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
const gzipped = (file) => gzipSync(readFileSync(file), { level: 9 }).length;
let total = 0;
for (const file of needed) {
  const size = gzipped(file);
  total += size;
  console.log(`  ${kilobytes(size).padStart(9)}  ${path.relative(app, file)}`);
}
for (const style of styles) {
  console.log(`  ${kilobytes(gzipped(path.resolve(app, style))).padStart(9)}  ${style} (not counted)`);
}
console.log(`first load: ${kilobytes(total)} of JavaScript (gzip), limit ${kilobytes(limit)}`);
process.exit(total > limit ? 1 : 0);
