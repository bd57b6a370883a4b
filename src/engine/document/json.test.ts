import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { locate, maxNesting, parseJson, pathText } from './json.ts';

const readText = (text: string): unknown => {
  const r = parseJson(text);
  return r.ok ? r.value : r;
};
const problemOf = (text: string) => {
  const r = parseJson(text);
  if (r.ok) throw new Error(`read: ${text}`);
  return { path: pathText(r.path), place: `${r.line}:${r.column}`, message: r.message };
};

const json = fc.jsonValue({ maxDepth: 4 }).filter((v) => !JSON.stringify(v).includes('__proto__'));

describe('reading JSON', () => {
  test('agrees with the built-in reader on every value, however it is laid out', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 1, 4, '\t'), (v, indent) => {
        const text = JSON.stringify(v, null, indent);
        expect(readText(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('agrees with the built-in reader on what is no JSON', () => {
    const damage = fc.tuple(
      json,
      fc.nat(),
      fc.nat(3),
      fc.constantFrom('', '"', '}', ']', ',', ':', '\\', '0', 'x', '\n', '-', '.'),
    );
    fc.assert(
      fc.property(damage, ([v, at, cut, put]) => {
        const whole = JSON.stringify(v, null, 1);
        const i = at % (whole.length + 1);
        const text = whole.slice(0, i) + put + whole.slice(i + cut);
        let valid = true;
        try {
          JSON.parse(text);
        } catch {
          valid = false;
        }
        const r = parseJson(text);
        if (!r.ok && (r.message.includes('twice') || r.message.includes('__proto__'))) return;
        expect(r.ok).toBe(valid);
      }),
      { numRuns: 500 },
    );
  });

  test('strings with every escape', () => {
    expect(readText(String.raw`"\u0041\n\t\"\\\/\b\f\r\ud83d\ude00é"`)).toBe(
      'A\n\t"\\/\b\f\ré'.replace('\ré', '\r😀é'),
    );
  });

  test.each([
    ['', '', '1:1', 'expected a value, found the end of the text'],
    ['{"a": tru}', 'a', '1:7', 'expected a value, found tru'],
    ['{\n "a": 1,\n}', '', '3:1', 'expected a key, found } (no comma before it)'],
    ['[1, 2,]', '[2]', '1:7', 'expected a value, found ] (no comma before it)'],
    ['[1 2]', '', '1:4', 'expected , or ], found 2'],
    ['{"a" 1}', '', '1:6', 'expected : after "a", found 1'],
    ['{a: 1}', '', '1:2', 'expected a key in double quotes, found a'],
    ['[0x1f]', '[0]', '1:3', 'hexadecimal numbers stand in double quotes: "0x1f"'],
    ['[01]', '[0]', '1:2', 'a number does not start with 0'],
    ["['a']", '[0]', '1:2', "expected a value, found ' (strings stand in double quotes)"],
    ['[1] // x', '', '1:5', 'expected the end of the text, found / (comments are not part of JSON)'],
    ['{"a":1,"b":2,"a":3}', 'a', '1:14', 'the key stands twice in this object'],
    ['{"x":{"__proto__":1}}', 'x.__proto__', '1:7', 'the key "__proto__" is not allowed'],
    ['["abc', '[0]', '1:2', 'the string that starts here does not end'],
    ['["a\nb"]', '[0]', '1:4', 'a string holds no line break or control character: write \\n or \\u00..'],
    ['["\\q"]', '[0]', '1:3', 'unknown escape \\q'],
    ['["\\u12"]', '[0]', '1:3', 'expected four hexadecimal digits after \\u'],
  ])('%j is refused at its place', (text, path, place, message) => {
    expect(problemOf(text)).toEqual({ path, place, message });
  });

  test('nesting is bounded, at any length', () => {
    const deep = (n: number): string => '['.repeat(n) + ']'.repeat(n);
    expect(parseJson(deep(maxNesting)).ok).toBe(true);
    for (const text of [
      deep(maxNesting + 1),
      '['.repeat(5_000_000),
      '{"a":'.repeat(1_000_000),
      `${'[{"a":'.repeat(40)}1`,
    ])
      expect(problemOf(text).message).toMatch(/^expected at most 64/);
  });

  test('a byte order mark is no part of the text', () => {
    expect(readText('\ufeff{"a":1}')).toEqual({ a: 1 });
  });
});

describe('finding a value again', () => {
  test('every path leads to its own text', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 2), (v, indent) => {
        const text = JSON.stringify(v, null, indent);
        const lines = text.split('\n');
        const visit = (x: unknown, path: (string | number)[]): void => {
          const { line, column } = locate(text, path);
          const rest = [lines[line - 1]!.slice(column - 1), ...lines.slice(line)].join('\n');
          const last = path.at(-1);
          const start =
            typeof last === 'string' ? JSON.stringify(last) : JSON.stringify(x, null, indent).split('\n')[0]!;
          expect(rest.startsWith(start)).toBe(true);
          if (typeof x === 'object' && x !== null)
            for (const [k, y] of Object.entries(x)) visit(y, [...path, Array.isArray(x) ? Number(k) : k]);
        };
        visit(JSON.parse(text), []);
      }),
    );
  });

  test('a path that leads nowhere ends at the innermost container', () => {
    const text = '{\n "a": [\n  {"b": 1}\n ]\n}';
    expect(locate(text, ['a', 0, 'c'])).toEqual({ line: 3, column: 3 });
    expect(locate(text, ['x'])).toEqual({ line: 1, column: 1 });
    expect(locate(text, ['a', 0, 'b', 'c'])).toEqual({ line: 3, column: 4 });
  });

  test('paths read as in JavaScript', () => {
    expect(pathText(['steps', 3, 'in', 'odd key', 'x'])).toBe('steps[3].in["odd key"].x');
    expect(pathText([])).toBe('');
  });
});
