import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodeIo } from './io.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'iommuscope-io-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const io = nodeIo(100_000);
const read = async (name: string, content: string | Uint8Array): Promise<string> => {
  const file = path.join(folder, name);
  await writeFile(file, content);
  return io.readFile(file);
};

test('a file comes back as text, longer ones in pieces too', async () => {
  // Two and three bytes a character, so that pieces end inside one.
  const text = 'é€'.repeat(15_000);
  expect(await read('a', text)).toBe(text);
  expect(await read('empty', '')).toBe('');
});

test('what cannot be read is said in words', async () => {
  await expect(io.readFile(path.join(folder, 'none'))).rejects.toThrow(/^no such file$/);
  await expect(io.readFile(folder)).rejects.toThrow(/^is a directory, not a document$/);
  await expect(io.readFile(path.join(folder, 'a', 'b'))).rejects.toThrow(/^no such file$/);
  await expect(read('binary', new Uint8Array([0x7b, 0xff, 0xfe]))).rejects.toThrow(/^is not UTF-8 text$/);
});

test('an endless file ends at the limit', async () => {
  await expect(read('large', 'x'.repeat(100_001))).rejects.toThrow(/^is larger than 0\.1 MiB$/);
});
