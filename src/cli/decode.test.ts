import { expect, test } from 'vitest';
import { decodeCommand } from './decode.ts';

async function run(args: string[], text: string): Promise<{ status: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const status = await decodeCommand(args, {
    stdin: async () => text,
    out: (s) => {
      out += s;
    },
    err: (s) => {
      err += s;
    },
  });
  return { status, out, err };
}

test('one line of JSON a record, the repeating lines last, the rest on standard error', async () => {
  const text = [
    'r8125: eth3: link up',
    'arm-smmu-v3 x: event: C_BAD_STE client: (unassigned sid) sid: 0x8 ssid: 0x0',
    'arm-smmu-v3 x: event 0x04 received:',
    'arm-smmu-v3 x:  0x0000000900000004',
    'DMAR: DRHD: handling fault status reg 3',
    'DMAR: DRHD: handling fault status reg 2',
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
    'line 1: no IOMMU message recognised: r8125: eth3: link up\nlines 5-6: Intel VT-d message: not read yet: DMAR: DRHD: handling fault status reg 3\n',
  );
});

test('an empty text is no error', async () => {
  expect(await run([], '')).toEqual({ status: 0, out: '', err: '' });
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
