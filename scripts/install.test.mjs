import { describe, expect, it } from 'vitest';
import { satisfies } from './install.mjs';

describe('satisfies', () => {
  const range = '^20.19.0 || ^22.13.0 || >=24.0.0';
  it.each(['20.19.0', '20.20.2', '22.13.0', '22.99.1', '24.0.0', '26.1.0'])('takes %s', (version) => {
    expect(satisfies(version, range)).toBe(true);
  });
  it.each(['18.20.8', '20.18.9', '21.7.0', '22.12.9', '23.11.0'])('refuses %s', (version) => {
    expect(satisfies(version, range)).toBe(false);
  });
});
