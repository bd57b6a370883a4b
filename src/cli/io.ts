import { open, writeFile } from 'node:fs/promises';
import process from 'node:process';

/** Input that cannot be read: one sentence for a person. */
export class InputError extends Error {}

/** What a verb reads and writes. Tests give one of their own. */
export interface Io {
  /** @throws InputError */
  readFile(path: string): Promise<string>;
  /**
   * Writes a text file, replacing one that is there.
   * @throws InputError when it cannot be written
   */
  writeFile?(path: string, text: string): Promise<void>;
  /**
   * All of standard input; it can be read once. A log may be long and hold bytes that are no UTF-8, which are replaced; a
   * document may not.
   * @throws InputError
   */
  stdin(as?: 'log' | 'document'): Promise<string>;
  /** Data. */
  out(text: string): void;
  /** For people. */
  err(text: string): void;
  /** Lets the streams settle. @returns false when nobody reads standard output any more */
  flush(): Promise<boolean>;
}

/** More than any document may have in UTF-8, so that an endless file does not fill memory. */
const mostBytes = 32 * 1024 * 1024;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EISDIR: 'is a directory, not a document',
  ENOTDIR: 'no such file',
  EACCES: 'no permission to read it',
  EPERM: 'no permission to read it',
  ENAMETOOLONG: 'no such file',
};

function explain(e: unknown): InputError {
  if (e instanceof InputError) return e;
  const code = (e as NodeJS.ErrnoException)?.code;
  return new InputError(code && Object.hasOwn(reasons, code) ? reasons[code] : `cannot be read (${code ?? String(e)})`);
}

/** Joins pieces and reads them as UTF-8. `fatal`: refuse what is none. */
async function text(pieces: AsyncIterable<Uint8Array>, limit: number, fatal: boolean): Promise<string> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const piece of pieces) {
    total += piece.length;
    if (total > limit) throw new InputError(`is larger than ${Math.round(limit / 104857.6) / 10} MiB`);
    chunks.push(piece);
  }
  try {
    return new TextDecoder('utf-8', { fatal }).decode(Buffer.concat(chunks));
  } catch {
    throw new InputError('is not UTF-8 text');
  }
}

async function* piecesOf(path: string): AsyncIterable<Uint8Array> {
  const file = await open(path, 'r');
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read({ buffer: new Uint8Array(1 << 16) });
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** The streams and files of this process. */
export function nodeIo(limit = mostBytes): Io {
  let open = true;
  // The reader of a pipe may go away at any time; then there is nobody left to tell.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (e: NodeJS.ErrnoException) => {
      open = false;
      if (e.code === 'EPIPE') return;
      if (stream === process.stdout) process.stderr.write(`iommuscope: cannot write the output (${e.code})\n`);
      process.exit(2);
    });
  return {
    readFile: async (path) => {
      try {
        return await text(piecesOf(path), limit, true);
      } catch (e) {
        throw explain(e);
      }
    },
    writeFile: async (path, data) => {
      try {
        await writeFile(path, data);
      } catch (e) {
        throw new InputError(`cannot be written (${(e as NodeJS.ErrnoException)?.code ?? String(e)})`);
      }
    },
    stdin: async (as = 'log') => {
      const document = as === 'document';
      try {
        return await text(process.stdin as AsyncIterable<Uint8Array>, document ? limit : limit * 16, document);
      } catch (e) {
        throw explain(e);
      }
    },
    out: (s) => {
      if (open) process.stdout.write(s);
    },
    err: (s) => {
      process.stderr.write(s);
    },
    flush: async () => {
      await new Promise((resolve) => setImmediate(resolve));
      if (open && process.stdout.writableNeedDrain)
        await new Promise<void>((resolve) => {
          process.stdout.once('drain', resolve);
          process.stdout.once('error', () => resolve());
        });
      return open;
    },
  };
}
