import type { LogRecord } from '../logs/index.ts';
import { decodeLog } from '../logs/index.ts';

const HELP = `iommuscope decode - reads IOMMU messages from a kernel log

Usage: iommuscope decode < log.txt

Reads text on standard input: kernel log lines of Linux's arm-smmu-v3 driver (also wrapped, quoted, cut or mixed with other
lines), raw 32-byte event records and raw 16-byte commands. Prints one line of JSON for each record, with the number of its
first line (line) and one sentence (explain); the printed lines that repeat an event record come after the records. What was
not read is named on standard error with its line number.

Options:
  -h, --help   this text
`;

/** A kernel prints an event record first raw and then in words: the words come last, as in the format's description. */
const rank = (r: LogRecord): number => (r.type === 'smmuv3_event_line' ? 1 : 0);

/**
 * Runs `iommuscope decode`.
 * @returns the exit status: 0, or 2 for a wrong use
 */
export async function decodeCommand(
  args: string[],
  io: { stdin: () => Promise<string>; out: (s: string) => void; err: (s: string) => void },
): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.out(HELP);
    return 0;
  }
  if (args.length > 0) {
    io.err(
      `decode: unexpected argument ${JSON.stringify(args[0])}; the text is read from standard input (see --help)\n`,
    );
    return 2;
  }
  const { records, unread } = decodeLog(await io.stdin());
  for (const r of [...records].sort((a, b) => rank(a) - rank(b))) io.out(`${JSON.stringify(r)}\n`);
  for (const u of unread) {
    const place = u.lines ? `lines ${u.line}-${u.line + u.lines - 1}` : `line ${u.line}`;
    io.err(`${place}: ${u.why}: ${u.text}\n`);
  }
  return 0;
}
