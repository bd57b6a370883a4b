import { describe, expect, it } from 'vitest';
import { checkLock } from './check-lock.mjs';

const manifest = { dependencies: { a: '1.0.0' } };
const entry = { version: '1.0.0', integrity: 'sha512-x' };
const check = (packages, of = manifest) =>
  checkLock({ packages: { '': {}, 'node_modules/a': entry, ...packages } }, of).problems;

describe('checkLock', () => {
  it('accepts a whole lock file', () => {
    const native = { ...entry, optionalDependencies: { 'a-linux': '1.0.0', 'a-darwin': '1.0.0' } };
    expect(
      check({
        'node_modules/a': native,
        'node_modules/a-linux': entry,
        'node_modules/a/node_modules/a-darwin': entry,
      }),
    ).toEqual([]);
  });
  it('finds a platform package that was dropped', () => {
    expect(
      check({
        'node_modules/b/node_modules/@s/c': { ...entry, optionalDependencies: { '@s/c-darwin': '1.0.0' } },
        'node_modules/d/node_modules/@s/c-darwin': entry,
      }),
    ).toEqual(['node_modules/b/node_modules/@s/c: @s/c-darwin is missing']);
  });
  it('finds addresses, missing integrity and versions that are not pinned', () => {
    expect(check({ 'node_modules/b': { ...entry, resolved: 'somewhere' } })).toHaveLength(1);
    expect(check({ 'node_modules/b': { version: '1.0.0' } })).toHaveLength(1);
    expect(check({}, { devDependencies: { a: '^1.0.0' } })).toHaveLength(2);
    expect(check({}, { dependencies: { a: '1.0.1' } })).toHaveLength(1);
  });
});
