import { describe, expect, it } from 'vitest';
import { checkImports } from './check-imports.mjs';

const check = (files, options) => checkImports(new Map(Object.entries(files)), options).problems;
const alone = (file, source, options) => check({ [file]: source }, options);

const leaf = { 'src/engine/bits/record.ts': 'export const a = 1; export type A = number;' };

describe('rooms', () => {
  it('accepts imports that point down', () => {
    const result = checkImports(
      new Map(
        Object.entries({
          ...leaf,
          'src/views/walk/layout.ts': "import { a } from '../../engine/bits/record.ts'; export const b = a;",
          'src/store/store.ts': "import { a } from '../engine/bits/record.ts'; import { create } from 'zustand';",
          'src/app/main.tsx':
            "import '../store/store.ts'; import { b } from '../views/walk/layout.ts'; export const C = () => <p>don't `{b}</p>;",
        }),
      ),
    );
    expect(result).toEqual({ problems: [], files: 4, imports: 5 });
  });

  it.each([
    ['src/engine/bits/x.ts', '../../views/v.ts', 'engine may not import views'],
    ['src/views/walk/x.tsx', '../../app/v.ts', 'views may not import app'],
    ['src/views/walk/x.tsx', '../../store/v.ts', 'views may not import store'],
    ['src/store/x.ts', '../views/v.ts', 'store may not import views'],
    ['src/store/x.ts', '../app/v.ts', 'store may not import app'],
    ['src/logs/x.ts', '../library/v.ts', 'logs may not import library'],
    ['src/library/x.ts', '../logs/v.ts', 'library may not import logs'],
    ['src/cli/x.ts', '../store/v.ts', 'cli may not import store'],
    ['src/cli/x.ts', '../app/v.ts', 'cli may not import app'],
  ])('%s may not import %s', (file, request, message) => {
    const target = new URL(request, `file:///${file}`).pathname.slice(1);
    for (const form of [
      `import { v } from '${request}';`,
      `import type { V } from '${request}';`,
      `export * from '${request}';`,
      `export { v } from '${request}';`,
      `export const f = () => import('${request}');`,
      `export type T = import('${request}').V;`,
      `export const u = new URL('${request}', import.meta.url);`,
    ]) {
      expect(check({ [file]: form, [target]: 'export const v = 1; export type V = 1;' }), form).toEqual([
        `${file}:1: ${message}`,
      ]);
    }
  });

  it('sees import.meta.glob', () => {
    expect(alone('src/engine/bits/x.ts', "export const all = import.meta.glob(['../../library/*.json']);")).toEqual([
      'src/engine/bits/x.ts:1: engine may not import library',
    ]);
  });

  it('lets the library take types of the engine, and its tests all', () => {
    const value = "import { a } from '../engine/bits/record.ts';";
    expect(check({ ...leaf, 'src/library/x.ts': "import type { A } from '../engine/bits/record.ts';" })).toEqual([]);
    expect(check({ ...leaf, 'src/library/x.ts': "import { type A } from '../engine/bits/record.ts';" })).toEqual([]);
    expect(check({ ...leaf, 'src/library/x.test.ts': value })).toEqual([]);
    expect(check({ ...leaf, 'src/library/x.ts': value })).toEqual([
      'src/library/x.ts:1: library may import only types from engine',
    ]);
  });

  it('refuses a room that has no rule, and code outside the rooms', () => {
    expect(alone('src/attic/x.ts', '')[0]).toMatch(/the room "attic" has no rule/);
    expect(alone('src/x.ts', '')[0]).toMatch(/only declarations/);
    expect(alone('src/vite-env.d.ts', '/// <reference types="vite/client" />')).toEqual([]);
  });

  it('refuses files that are not there', () => {
    expect(alone('src/app/x.ts', "import './y.ts'; import './y';")).toHaveLength(2);
    expect(alone('src/app/x.ts', "import './y.css'; import z from './z.txt?raw';", { exists: () => true })).toEqual([]);
  });

  it('refuses what it cannot parse', () => {
    expect(alone('src/app/x.ts', 'const = ;')[0]).toMatch(/cannot be parsed/);
  });
});

describe('vendors', () => {
  const amd = { 'src/engine/amdvi/layout.ts': 'export const v = 1;' };
  it('keeps vendor rooms apart, in tests too', () => {
    const code = "import { v } from '../amdvi/layout.ts';";
    expect(check({ ...amd, 'src/engine/vtd/x.ts': code })).toHaveLength(1);
    expect(check({ ...amd, 'src/engine/vtd/x.test.ts': code })).toHaveLength(1);
  });
  it('lets only the registry import them', () => {
    const code = "import { v } from '../amdvi/layout.ts';";
    expect(check({ ...amd, 'src/engine/machine/vendors.ts': code })).toEqual([]);
    expect(check({ ...amd, 'src/engine/machine/apply.test.ts': code })).toEqual([]);
    expect(check({ ...amd, 'src/engine/machine/apply.ts': code })).toHaveLength(1);
  });
});

describe('packages', () => {
  it('keeps the engine to itself', () => {
    for (const name of ['react', 'zustand', 'd3-array', 'zod', 'zod/mini', 'node:fs']) {
      expect(alone('src/engine/bits/x.ts', `import x from '${name}';`), name).toHaveLength(1);
    }
    expect(alone('src/engine/document/x.ts', "import * as z from 'zod/mini';")).toEqual([]);
    expect(alone('src/engine/document/x.ts', "import * as z from 'zod';")).toHaveLength(1);
    expect(alone('src/engine/bits/x.test.ts', "import 'node:fs'; import 'fast-check'; import 'vitest';")).toEqual([]);
  });
  it('keeps Node out of the page', () => {
    expect(alone('src/views/x.ts', "import 'node:fs';")).toHaveLength(1);
    expect(alone('src/cli/x.ts', "import 'node:fs';")).toEqual([]);
  });
});

describe('purity of the engine', () => {
  it.each([
    'document.title = "";',
    'export const w = window.innerWidth;',
    'export const t = Date.now();',
    'export const t = new Date();',
    'export const r = Math.random();',
    'setTimeout(() => {}, 1);',
    'const f = () => setInterval(f, 1);',
    'export const t = performance.now();',
    'export const p = process.env;',
    'export const o = { window };',
    'export const s = `${Date.now()}`;',
    'export const n = name;',
  ])('refuses %s', (code) => {
    expect(alone('src/engine/bits/x.ts', code)).toHaveLength(1);
    expect(alone('src/engine/bits/x.test.ts', code)).toEqual([]);
    expect(alone('src/logs/x.ts', code)).toEqual([]);
  });
  it.each([
    '// Date.now(), window, Math.random()',
    'export const s = "document.title"; export const r = /window/;',
    'export const f = (window: number, { document }: { document: string }) => `${window} ${document}`;',
    'export interface X { document: string; window(name: string): void; readonly [name: string]: unknown }',
    'export class X { name = 1; status() { return this.name; } }',
    'export const x = { document: 1, Date: 2 }; x.document; x.Date;',
    'export type F = (event: string) => void; export type T = [status: number, top: number];',
    'for (const [name, status] of []) { name; status; }',
    'function f(event: unknown): event is string { return !event; } f(1);',
    'export const m = Math.max(1, 2);',
  ])('accepts %s', (code) => {
    expect(alone('src/engine/bits/x.ts', code)).toEqual([]);
  });
});

describe('cycles', () => {
  it('refuses them, but not among types', () => {
    const to = (kind, file) => `import ${kind}{ x } from './${file}.ts'; export const ${file} = 1;`;
    const ring = (kind) => ({
      'src/app/a.ts': to('', 'b'),
      'src/app/b.ts': to('', 'c'),
      'src/app/c.ts': to(kind, 'a'),
    });
    expect(check(ring(''))).toEqual(['import cycle: src/app/a.ts -> src/app/b.ts -> src/app/c.ts -> src/app/a.ts']);
    expect(check(ring('type '))).toEqual([]);
  });
});

describe('debts', () => {
  const files = { 'src/app/v.ts': 'export const v = 1;', 'src/views/x.ts': "import { v } from '../app/v.ts';" };
  it('are let through, and refused once paid', () => {
    const debts = [{ from: 'src/views/x.ts', to: 'src/app/v.ts', why: 'test' }];
    expect(check(files, { debts })).toEqual([]);
    expect(check({ 'src/app/v.ts': '' }, { debts })).toHaveLength(1);
  });
});
