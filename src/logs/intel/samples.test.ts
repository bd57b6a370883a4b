import { describe, expect, test } from 'vitest';
import files from '../fixtures/debugfs-intel.json';
import logs from '../fixtures/dmesg-intel.json';
import { decodeLog, type LogRecord } from '../index.ts';

type Facts = Record<string, unknown>;

/** The order of the format's description: by type first, where the text has them in another. */
const sameOrder = (records: readonly LogRecord[], expected: readonly Facts[]): LogRecord[] => {
  const rest = [...records];
  return expected.map((e) => {
    const i = rest.findIndex((r) => r.type === e.type);
    return i < 0 ? ({} as LogRecord) : (rest.splice(i, 1)[0] as LogRecord);
  });
};

const optional = ['pasid', 'addr', 'reason', 'reason_name', 'qw1', 'sid', 'stopped_at', 'size_bit', 'context_lo'];

describe('real logs', () => {
  test.each(logs.map((s) => [s.id, s] as const))('%s', (_, { text, expect: want }) => {
    const { records } = decodeLog(text);
    const expected = want.records as Facts[];
    expect(records.map((r) => r.type).sort()).toEqual(expected.map((e) => e.type).sort());
    sameOrder(records, expected).forEach((r, i) => {
      const e = expected[i] as Facts;
      expect(r).toMatchObject(e);
      expect(r.vendor).toBe(want.vendor);
      expect(r.arch).toBe('vtd');
      expect(r.explain).toMatch(/^[^\n]{20,}\.$/);
      expect(r.where?.at).toMatch(/^hw\./);
      expect(text.split('\n')[r.line - 1]).toBeDefined();
      // A fact that the description does not have must not be made up.
      for (const key of optional) if (!(key in e)) expect(r[key], `${key} of record ${i}`).toBeUndefined();
    });
  });
});

describe('real files of debugfs', () => {
  test.each(files.map((s) => [s.id, s] as const))('%s', (_, { text, expect: want }) => {
    const { records, unread } = decodeLog(text);
    expect(unread).toEqual([]);
    const { quirk, note, ...facts } = want as Facts;
    expect(records[0]).toMatchObject({ type: 'debugfs', vendor: 'intel', ...facts });
    expect(records[0]?.explain).toMatch(/^[^\n]{20,}\.$/);
    for (const r of records.slice(1)) expect(r.part_of).toBe(records[0]?.line);
  });
});
