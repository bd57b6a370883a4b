import { describe, expect, test, vi } from 'vitest';
import { findFake } from '../engine/document/fixtures/fake-vendor.ts';
import { InputError, type Io } from './io.ts';
import { program } from './program.ts';

vi.mock('../engine/machine/vendors.ts', async () => {
  const fake = await import('../engine/document/fixtures/fake-vendor.ts');
  return {
    modelled: [fake.fakeVendor],
    findVendor: fake.findFake,
    vendorsIn: () => [],
    loadVendors: () => Promise.resolve(),
  };
});

const document = (steps: object[], rest: object = {}): string =>
  JSON.stringify({
    format: 'iommuscope/1',
    title: 'A title',
    platform: { iommu: 'smmuv3', memory: '1GiB' },
    devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
    setup: 'bare',
    steps,
    ...rest,
  });
const good = document([
  { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
  { do: 'device.dma', device: 'nic0', iova: '0x1000', expect: { pa: '0x2000' } },
]);
const wrong = document([
  { do: 'guest.map', iova: '0x1000', gpa: '0x2000' },
  { do: 'device.dma', device: 'nic0', iova: '0x1000', expect: { pa: '0x3000', hit: 'TLB' } },
]);

async function run(args: string[], files: Record<string, string> = {}, stdin = '') {
  let out = '';
  let err = '';
  const io: Io = {
    readFile: async (path) => {
      if (!Object.hasOwn(files, path)) throw new InputError('no such file');
      return files[path]!;
    },
    stdin: async () => stdin,
    out: (s) => {
      out += s;
    },
    err: (s) => {
      err += s;
    },
    flush: async () => true,
  };
  return { status: await program(args, io), out, err };
}

test('the toy vendor stands in', () => expect(findFake('smmuv3')).not.toBeNull());

describe('run', () => {
  test('a document whose expectations are met', async () => {
    expect(await run(['run', 'a.json'], { 'a.json': good })).toEqual({
      status: 0,
      out: '',
      err: 'a.json: ok, 2 steps\n',
    });
  });

  test('expectations that are not met: step, expected, found', async () => {
    const r = await run(['run', 'a.json', '--summary'], { 'a.json': wrong });
    expect(r.status).toBe(1);
    expect(r.err).toBe(
      'a.json: step 2 (device.dma), pa: expected 0x3000; found 0x2000\n' +
        'a.json: step 2 (device.dma), hit: expected TLB; found none\n' +
        'a.json: failed, 2 steps, 2 expectations not met\n',
    );
    expect(JSON.parse(r.out)).toEqual({
      file: 'a.json',
      title: 'A title',
      ok: false,
      steps: 2,
      failed: [
        { step: 2, expected: 'pa: 0x3000', actual: '0x2000' },
        { step: 2, expected: 'hit: TLB', actual: 'none' },
      ],
    });
  });

  test('standard input', async () => {
    expect((await run(['run', '-', '--summary'], {}, good)).out).toBe(
      '{"file":"-","title":"A title","ok":true,"steps":2,"failed":[]}\n',
    );
    expect((await run(['run', '-'], {}, wrong)).status).toBe(1);
    expect(await run(['run', '-', '-'], {}, good)).toMatchObject({
      status: 2,
      err: 'run: standard input can be read only once\n',
    });
  });

  test('the trace: JSON Lines with step and event', async () => {
    const { out } = await run(['run', '--trace', 'a.json'], { 'a.json': good });
    const lines = out
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l) as Record<string, unknown>);
    expect(lines.map((l) => [l['step'], l['event'], l['kind']])).toEqual([
      [1, 0, 'table.write'],
      [2, 0, 'dma'],
      [2, 1, 'cache.fill'],
    ]);
    expect(lines[1]).toMatchObject({ iova: '0x1000', device: 'nic0', actor: 'device' });
    expect((await run(['run', '--trace', 'a.json'], { 'a.json': good })).out).toBe(out);
    const both = await run(['run', '--trace', 'a.json', 'b.json'], { 'a.json': good, 'b.json': good });
    expect(both.out.split('\n').map((l) => (l ? JSON.parse(l).file : null))).toEqual([
      ...Array(3).fill('a.json'),
      ...Array(3).fill('b.json'),
      null,
    ]);
  });

  test('the trace as text', async () => {
    const { out } = await run(['run', '--text', 'a.json'], { 'a.json': good });
    expect(out.split('\n').slice(0, 4)).toEqual([
      'A title',
      'step 0 setup: set up bare',
      'step 1 guest.map: mapped',
      '     0 guest   table.write     guest.table  entry 1 (guest 0x40010008: 0x2000)',
    ]);
  });

  test('bad input: the place and the reason, and the others still run', async () => {
    const bad = `{\n "format": "iommuscope/1",\n "title": 1\n}`;
    const r = await run(['run', 'none.json', 'bad.json', 'cut.json', 'a.json'], {
      'bad.json': bad,
      'cut.json': '{"a":',
      'a.json': wrong,
    });
    expect(r.status).toBe(2);
    expect(r.err.split('\n').slice(0, 4)).toEqual([
      'none.json: no such file',
      'bad.json:3:2: title: expected a text; found 1',
      'cut.json:1:6: a: expected a value, found the end of the text',
      'a.json: step 2 (device.dma), pa: expected 0x3000; found 0x2000',
    ]);
    expect(r.out).toBe('');
  });

  test('a document of a vendor that is not modelled', async () => {
    const text = document([], { platform: { iommu: 'amdvi' } });
    const r = await run(['run', 'a.json'], { 'a.json': text });
    expect(r).toEqual({
      status: 2,
      out: '',
      err: 'a.json: platform.iommu: expected an IOMMU that is modelled (smmuv3); found "amdvi", which is not modelled yet\n',
    });
  });

  test('a broken promise inside the engine is a failed step, not a stack trace', async () => {
    const r = await run(['run', 'a.json'], { 'a.json': document([{ do: 'device.reset', device: 'nic0' }]) });
    expect(r.status).toBe(1);
    expect(r.err).toContain(
      'step 1 (device.reset): expected the engine to run the step; found internal error: a promise was broken\n',
    );
  });

  test.each([
    [['run'], 'run: no document given: name a file, or - for standard input (see --help)\n'],
    [['run', '--sumary', 'a'], 'run: unknown option --sumary; there are --trace, --text, --summary (see --help)\n'],
    [['run', '--trace', '--text', 'a'], 'run: --trace and --text exclude each other\n'],
    [['run', '--', '--trace'], '--trace: no such file\n'],
    [['rum'], 'iommuscope: unknown verb "rum"; there are run, decode, schema, render, explore (see --help)\n'],
    [
      ['constructor'],
      'iommuscope: unknown verb "constructor"; there are run, decode, schema, render, explore (see --help)\n',
    ],
    [['render', 'a.json'], 'render: not available yet; this version can run, decode and schema (see --help)\n'],
    [['explore', 'a.json'], 'explore: not available yet; this version can run, decode and schema (see --help)\n'],
    [['schema', 'x'], 'schema: unexpected argument "x"; it takes none (see --help)\n'],
  ])('%j is refused', async (args, err) => {
    expect(await run(args)).toEqual({ status: 2, out: '', err });
  });
});

test.each([
  ['--help'],
  ['-h'],
  ['help'],
  ['run', '--help'],
  ['run', 'x', '-h'],
  ['decode', '--help'],
  ['schema', '--help'],
  ['render', '--help'],
  ['explore', '-h'],
])('%j %j tells how it is used', async (...args) => {
  const r = await run(args.filter((a) => a !== undefined));
  expect(r).toMatchObject({ status: 0, err: '' });
  expect(r.out).toMatch(/^iommuscope /);
});

test('without a verb the help goes to standard error', async () => {
  expect(await run([])).toMatchObject({ status: 2, out: '', err: expect.stringMatching(/Usage: iommuscope VERB/) });
});

test('schema prints a JSON Schema', async () => {
  const r = await run(['schema']);
  expect(r.status).toBe(0);
  expect(JSON.parse(r.out)).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', type: 'object' });
});
