import { expect, it } from 'vitest';
import { conversions } from './conversions.ts';
import { operations } from './operations.ts';

it('the light table says what the definitions say, in the same order', () => {
  const described = operations.map((d) => [
    d.name,
    Object.entries(d.fields).map(([name, f]) => [
      name,
      {
        take: f.take,
        default: f.form.default,
        min: f.form.min || undefined,
        max: f.form.max,
        size: f.form.kind === 'size' || undefined,
        hex: f.form.hex,
      },
    ]),
  ]);
  const light = Object.entries(conversions).map(([name, fields]) => [
    name,
    Object.entries(fields).map(([field, c]) => [
      field,
      { take: c.take, default: c.default, min: c.min, max: c.max, size: c.size, hex: c.hex },
    ]),
  ]);
  expect(light).toEqual(described);
});
