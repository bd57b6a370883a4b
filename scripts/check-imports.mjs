// The house's rules about who may import whom (and what the engine may not touch), as a check.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'vite';
import { root } from './install.mjs';

const fewest = 10;
const vendors = ['smmuv3', 'vtd', 'amdvi', 'selftest'];
const registry = 'src/engine/machine/vendors.ts';

/** For each room, the rooms that it may import besides itself. A room that isn't here is refused. */
const rooms = {
  engine: [],
  library: ['engine'],
  logs: ['engine'],
  views: ['engine', 'library', 'logs'],
  store: ['engine', 'library', 'logs', 'export'],
  export: ['engine', 'library', 'logs', 'views'],
  app: ['engine', 'library', 'logs', 'views', 'store', 'export', 'embed'],
  embed: ['engine', 'library', 'logs', 'views', 'store', 'export', 'app'],
  cli: ['engine', 'library', 'logs', 'views', 'export', 'embed'],
};
/** Rooms of which another room may only take the types. */
const typesOnly = { library: ['engine'] };

/** Packages that the engine may use, by folder. */
const enginePackages = { document: ['zod/mini'] };
/** Rooms that run in a page as well and so must not need Node. */
const withoutNode = ['engine', 'library', 'logs', 'views', 'store', 'app', 'embed'];

const impureGlobals = new Set(
  [
    'window document navigator location history localStorage sessionStorage indexedDB caches screen self globalThis',
    'fetch XMLHttpRequest WebSocket Worker SharedWorker MessageChannel BroadcastChannel postMessage alert',
    'requestAnimationFrame cancelAnimationFrame requestIdleCallback setTimeout setInterval setImmediate clearTimeout',
    'clearInterval queueMicrotask performance Date crypto process Buffer require',
    'HTMLElement SVGElement Element Node Event EventTarget CustomEvent getComputedStyle matchMedia',
    // The browser's oldest globals: TypeScript takes a forgotten variable for one of them.
    'name event status top parent length origin closed opener frames close open stop find print focus blur',
  ]
    .join(' ')
    .split(' '),
);
const impureMembers = new Set(['Math.random']);

/** Tests, and the folders that only tests use. */
const isTest = (file) => /\.test\.tsx?$|\/(properties|fixtures)\//.test(file);
const isSource = (file) => /\.(ts|tsx)$/.test(file);
const roomOf = (file) => (file.startsWith('src/') ? (file.split('/').length > 2 ? file.split('/')[1] : '') : undefined);
const engineRoomOf = (file) => (file.startsWith('src/engine/') ? file.split('/')[2] : undefined);

function* children(node) {
  for (const [key, value] of Object.entries(node)) {
    if (Array.isArray(value)) for (const item of value) if (item && typeof item.type === 'string') yield [key, item];
    if (value && typeof value === 'object' && typeof value.type === 'string') yield [key, value];
  }
}

function boundNames(pattern, add) {
  switch (pattern?.type) {
    case 'Identifier':
      return add(pattern.name);
    case 'ObjectPattern':
      return pattern.properties.forEach((item) => {
        boundNames(item.type === 'RestElement' ? item.argument : item.value, add);
      });
    case 'ArrayPattern':
      return pattern.elements.forEach((item) => {
        boundNames(item, add);
      });
    case 'AssignmentPattern':
      return boundNames(pattern.left, add);
    case 'RestElement':
      return boundNames(pattern.argument, add);
    case 'TSParameterProperty':
      return boundNames(pattern.parameter, add);
  }
}

/** Names that the file declares anywhere. Scopes are not told apart: a check for slips, not a proof. */
function declared(node, add) {
  switch (node.type) {
    case 'VariableDeclarator':
      boundNames(node.id, add);
      break;
    case 'FunctionDeclaration':
    case 'FunctionExpression':
    case 'ArrowFunctionExpression':
    case 'TSDeclareFunction':
    case 'TSEmptyBodyFunctionExpression':
    case 'TSFunctionType':
    case 'TSMethodSignature':
    case 'TSCallSignatureDeclaration':
    case 'TSConstructSignatureDeclaration':
    case 'TSConstructorType':
      boundNames(node.id, add);
      for (const item of Array.isArray(node.params) ? node.params : (node.params?.items ?? [])) boundNames(item, add);
      break;
    case 'TSIndexSignature':
      for (const item of node.parameters) boundNames(item, add);
      break;
    case 'CatchClause':
      boundNames(node.param, add);
      break;
    case 'ClassDeclaration':
    case 'ClassExpression':
    case 'TSInterfaceDeclaration':
    case 'TSTypeAliasDeclaration':
    case 'TSEnumDeclaration':
    case 'TSModuleDeclaration':
      boundNames(node.id, add);
      break;
    case 'TSTypeParameter':
      boundNames(node.name, add);
      break;
    case 'ImportSpecifier':
    case 'ImportDefaultSpecifier':
    case 'ImportNamespaceSpecifier':
      add(node.local.name);
      break;
  }
  for (const [, child] of children(node)) declared(child, add);
}

/** Identifiers that are read or written, as opposed to names of properties, members and labels. */
function references(node, found, parent, key) {
  if (node.type === 'Identifier') {
    const named =
      (key === 'property' && parent.type === 'MemberExpression' && !parent.computed) ||
      (key === 'key' && !parent.computed) ||
      key === 'label' ||
      key === 'imported' ||
      key === 'exported' ||
      (parent.type === 'TSQualifiedName' && key === 'right') ||
      parent.type === 'TSNamedTupleMember' ||
      parent.type === 'TSTypePredicate' ||
      parent.type === 'TSEnumMember' ||
      parent.type === 'MetaProperty' ||
      parent.type === 'ImportAttribute';
    if (!named) found.push(node);
    return;
  }
  if (node.type === 'ExportNamedDeclaration' && node.source) return;
  for (const [childKey, child] of children(node)) references(child, found, node, childKey);
}

const text = (node) => {
  if (node?.type === 'Literal' && typeof node.value === 'string') return node.value;
  if (node?.type === 'TemplateLiteral' && node.expressions.length === 0) return node.quasis[0].value.cooked;
  return undefined;
};
const isImportMeta = (node) => node?.type === 'MetaProperty' && node.meta.name === 'import';

/** Every place where the file names another module: `{ request, type, at }`; `glob` where it names several. */
function importsOf(program, module) {
  const found = [];
  const allTypes = (entries) => entries.length > 0 && entries.every((entry) => entry.isType);
  for (const item of module.staticImports) {
    found.push({ request: item.moduleRequest.value, type: allTypes(item.entries), at: item.start });
  }
  for (const item of module.staticExports) {
    const from = item.entries.filter((entry) => entry.moduleRequest);
    if (from.length) found.push({ request: from[0].moduleRequest.value, type: allTypes(from), at: item.start });
  }
  const walk = (node) => {
    if (node.type === 'ImportExpression') found.push({ request: text(node.source), type: false, at: node.start });
    if (node.type === 'TSImportType') {
      found.push({ request: text(node.source ?? node.argument?.literal), type: true, at: node.start });
    }
    if (node.type === 'NewExpression' && node.callee.name === 'URL' && isImportMeta(node.arguments[1]?.object)) {
      found.push({ request: text(node.arguments[0]), type: false, at: node.start });
    }
    if (node.type === 'CallExpression' && isImportMeta(node.callee.object) && node.callee.property.name === 'glob') {
      const [first] = node.arguments;
      for (const item of first?.type === 'ArrayExpression' ? first.elements : [first]) {
        const pattern = text(item);
        if (!pattern?.startsWith('!')) found.push({ request: pattern, type: false, glob: true, at: node.start });
      }
    }
    for (const [, child] of children(node)) walk(child);
  };
  walk(program);
  return found;
}

function checkTarget(file, target, type) {
  const from = roomOf(file);
  const to = roomOf(target);
  if (from === '') return from === to ? undefined : 'a file outside the rooms imports nothing';
  if (to === undefined) {
    return from === 'engine' && !isTest(file) ? 'the engine imports nothing from outside src' : undefined;
  }
  if (from !== to) {
    if (!rooms[from].includes(to)) return `${from} may not import ${to || 'a file outside the rooms'}`;
    if (typesOnly[from]?.includes(to) && !type && !isTest(file)) return `${from} may import only types from ${to}`;
  }
  if (from !== 'engine') return undefined;
  const fromPart = engineRoomOf(file);
  const toPart = engineRoomOf(target);
  if (fromPart === toPart || !vendors.includes(toPart)) return undefined;
  if (vendors.includes(fromPart)) return `vendor rooms never import one another (${fromPart}, ${toPart})`;
  if (file !== registry && !isTest(file)) return `only ${registry} may import a vendor's room (${toPart})`;
  return undefined;
}

function checkPackage(file, request) {
  if (isTest(file)) return undefined;
  const room = roomOf(file);
  if (request.startsWith('node:')) return withoutNode.includes(room) ? `${room} may not import ${request}` : undefined;
  if (room === 'engine' && !enginePackages[engineRoomOf(file)]?.includes(request)) {
    return `the engine may not import ${request}`;
  }
  return undefined;
}

/** Cycles of the graph, each once, as lists of files. */
function cycles(graph) {
  const found = [];
  const state = new Map();
  const stack = [];
  const visit = (file) => {
    state.set(file, 'open');
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      if (state.get(next) === 'open') found.push([...stack.slice(stack.indexOf(next)), next]);
      else if (!state.has(next)) visit(next);
    }
    stack.pop();
    state.set(file, 'done');
  };
  for (const file of graph.keys()) if (!state.has(file)) visit(file);
  return found;
}

/**
 * Checks sources given as a map from path ("src/engine/bits/record.ts") to text. `exists` tells whether another file
 * (a style sheet, a fixture) is there.
 */
export function checkImports(sources, { exists = () => false, debts = [] } = {}) {
  const problems = [];
  const graph = new Map();
  const unpaid = new Set(debts.map((debt) => `${debt.from} ${debt.to}`));
  let imports = 0;
  for (const [file, source] of sources) {
    const line = (at) => source.slice(0, at).split('\n').length;
    const report = (at, message) => problems.push(`${file}:${line(at)}: ${message}`);
    const room = roomOf(file);
    if (room === '' && !file.endsWith('.d.ts')) {
      report(0, 'only declarations (.d.ts) lie outside the rooms');
      continue;
    }
    if (room !== '' && !Object.hasOwn(rooms, room)) {
      report(0, `the room "${room}" has no rule: add it to scripts/check-imports.mjs`);
      continue;
    }
    const { program, module, errors } = parseSync(file, source);
    if (errors.length) {
      report(errors[0].labels?.[0]?.start ?? 0, `cannot be parsed: ${errors[0].message}`);
      continue;
    }
    const edges = [];
    graph.set(file, edges);
    for (const { request, type, glob, at } of importsOf(program, module)) {
      imports++;
      if (request === undefined) {
        if (room === 'engine') report(at, 'an import must name its module with a plain string');
        continue;
      }
      const bare = request.replace(/\?.*$/, '');
      if (!/^[./]/.test(bare)) {
        const message = checkPackage(file, bare);
        if (message && !unpaid.delete(`${file} ${bare}`)) report(at, message);
        continue;
      }
      const folder = path.posix.dirname(file);
      const whole = bare.startsWith('/') ? bare.slice(1) : path.posix.join(folder, bare);
      const target = glob ? whole.replace(/\/[^/]*[*{].*$/, '/x') : whole;
      if (!glob && !sources.has(target) && !exists(target)) {
        report(at, `${request} doesn't exist (is the file's extension written out?)`);
        continue;
      }
      const message = checkTarget(file, target, type);
      if (message && !unpaid.delete(`${file} ${target}`)) report(at, message);
      // Types are gone before anything runs, and so are their cycles.
      if (!type && sources.has(target)) edges.push(target);
    }
    if (room === 'engine' && !isTest(file)) {
      const names = new Set();
      declared(program, (name) => names.add(name));
      const used = [];
      references(program, used, program, 'body');
      for (const { name, start } of used) {
        if (impureGlobals.has(name) && !names.has(name)) report(start, `the engine may not use ${name}`);
      }
      const members = (node) => {
        if (node.type === 'MemberExpression' && !node.computed && node.object.type === 'Identifier') {
          const name = `${node.object.name}.${node.property.name}`;
          if (impureMembers.has(name)) report(node.start, `the engine may not use ${name}`);
        }
        for (const [, child] of children(node)) members(child);
      };
      members(program);
    }
  }
  for (const cycle of cycles(graph)) problems.push(`import cycle: ${cycle.join(' -> ')}`);
  for (const debt of unpaid) problems.push(`a debt that is paid must leave the list: ${debt}`);
  return { problems, files: sources.size, imports };
}

function readSources() {
  const sources = new Map();
  const walk = (dir) => {
    for (const item of readdirSync(path.join(root, dir), { withFileTypes: true })) {
      const full = `${dir}/${item.name}`;
      if (item.isDirectory()) walk(full);
      else if (isSource(item.name)) sources.set(full, readFileSync(path.join(root, full), 'utf8'));
    }
  };
  walk('src');
  return sources;
}

/** Imports that break a rule and are known: `{ from: 'src/...', to: 'src/...' or a package, why: '...' }`. */
const debts = [];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { problems, files, imports } = checkImports(readSources(), {
    exists: (file) => existsSync(path.join(root, file)),
    debts,
  });
  // A check that sees nothing finds nothing.
  if (files < fewest) problems.push(`looked at ${files} files only; at least ${fewest} were expected`);
  for (const problem of problems) console.error(problem);
  console.log(
    `import rules: ${files} files, ${imports} imports, ${problems.length ? `${problems.length} problems` : 'ok'}`,
  );
  process.exit(problems.length ? 1 : 0);
}
