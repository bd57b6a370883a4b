import { expect, test } from 'vitest';
import { parseDocument } from '../engine/document/authoring.ts';
import { decodeCommand } from './decode.ts';
import { InputError } from './io.ts';

async function run(
  args: string[],
  text: string,
): Promise<{ status: number; out: string; err: string; files: Map<string, string> }> {
  let out = '';
  let err = '';
  const files = new Map<string, string>();
  const status = await decodeCommand(args, {
    stdin: async () => text,
    out: (s) => {
      out += s;
    },
    err: (s) => {
      err += s;
    },
    writeFile: async (path, data) => {
      if (path.startsWith('/nowhere/')) throw new InputError('cannot be written (ENOENT)');
      files.set(path, data);
    },
  });
  return { status, out, err, files };
}

test('one line of JSON a record, the repeating lines last, the rest on standard error', async () => {
  const text = [
    'r8125: eth3: link up',
    'arm-smmu-v3 x: event: C_BAD_STE client: (unassigned sid) sid: 0x8 ssid: 0x0',
    'arm-smmu-v3 x: event 0x04 received:',
    'arm-smmu-v3 x:  0x0000000900000004',
    'DMAR: Host address width 39',
    'DMAR: DRHD base: 0x000000fed91000 flags: 0x1',
  ].join('\n');
  const { status, out, err } = await run([], text);
  expect(status).toBe(0);
  const records = out
    .trimEnd()
    .split('\n')
    .map((l) => JSON.parse(l) as Record<string, unknown>);
  expect(records.map((r) => [r.type, r.line, r.vendor, r.arch])).toEqual([
    ['smmuv3_event', 3, 'arm', 'smmuv3'],
    ['smmuv3_event_line', 2, 'arm', 'smmuv3'],
  ]);
  expect(err).toBe(
    'line 1: no IOMMU message recognised: r8125: eth3: link up\nlines 5-6: Intel VT-d message that holds no fault, or that has no decoder: DMAR: Host address width 39\n',
  );
});

test('an empty text is no error', async () => {
  expect(await run([], '')).toMatchObject({ status: 0, out: '', err: '' });
});

test('help, and a wrong use', async () => {
  const help = await run(['--help'], '');
  expect(help.status).toBe(0);
  expect(help.out).toContain('Usage: iommuscope decode');
  const wrong = await run(['log.txt'], '');
  expect(wrong.status).toBe(2);
  expect(wrong.err).toContain('"log.txt"');
  expect(wrong.out).toBe('');
});

const dump = `0000000048000200: 0x000000004900000b 0x0000000000000000
0000000048000210: 0x0000000000000000 0x0000000000000000
0000000048000220: 0x0000000000000000 0x0000000000000000
0000000048000230: 0x0000000000000000 0x0000000000000000
`;

test('--scenario writes a document beside the records, and says what is missing', async () => {
  const { status, out, err, files } = await run(['--scenario', 'mine.json'], dump);
  expect(status).toBe(0);
  expect(
    out
      .trimEnd()
      .split('\n')
      .map((l) => (JSON.parse(l) as { type: string }).type),
  ).toEqual(['smmuv3_ste']);
  const parsed = parseDocument(files.get('mine.json') ?? '');
  expect(parsed.ok).toBe(true);
  expect(err).toContain('scenario: not in the text: the address of the context descriptor; 64 bytes at 0x49000000');
  const only = await run(['--scenario', '-'], dump);
  expect(only.out).toBe(files.get('mine.json'));
});

test('--scenario without tables, without a file name, or where nothing can be written', async () => {
  expect(await run(['--scenario', 'x.json'], 'hello')).toMatchObject({
    status: 2,
    err: expect.stringContaining('no scenario: The text holds no stream table entry'),
  });
  expect(await run(['--scenario'], dump)).toMatchObject({ status: 2, err: expect.stringContaining('needs the name') });
  expect(await run(['--scenario', '/nowhere/x.json'], dump)).toMatchObject({
    status: 2,
    err: expect.stringContaining('/nowhere/x.json cannot be written'),
  });
  expect(await run(['--scenario', 'x', 'y'], dump)).toMatchObject({ status: 2, err: expect.stringContaining('"y"') });
});
