import { serializeDocument } from '../engine/document/index.ts';
import { loadVendors } from '../engine/machine/vendors.ts';
import type { DecodedLog, LogRecord } from '../logs/index.ts';
import { decodeLog, scenarioOf } from '../logs/index.ts';
import { InputError } from './io.ts';

const HELP = `iommuscope decode - reads IOMMU messages and dumps of tables

Usage: iommuscope decode [--scenario FILE] < log.txt

Reads text on standard input:
- kernel log lines of Linux's arm-smmu-v3 and VT-d (DMAR) drivers and of Xen's, of all versions, also wrapped, quoted, cut or
  mixed with other lines, with the walk of the tables that Linux prints after a DMAR fault;
- trace events of Linux (map, unmap, io_page_fault, qi_submit, prq_report, cache_tag_*) and of QEMU (smmuv3_*, smmu_*, vtd_*,
  smmuv3_accel_*, tegra241_cmdqv_*, iommufd_*, vfio_*), and the errors of QEMU's VT-d model;
- the files of /sys/kernel/debug/iommu/intel;
- bytes in hexadecimal: commands, descriptors, event, fault and page request records, STEs, CDs, root, context and PASID
  entries and page tables, as words, as bytes, or with addresses as gdb, crash, QEMU's xp, hexdump, xxd and od print them. A
  line above such as "STE of sid 0x10:" or "PASID entry:" says what they are.

Prints one line of JSON for each record, with the number of its first line (line) and one sentence (explain); the printed
lines that repeat an event record come after the records. What was not read is named on standard error with its line number.

Options:
  --scenario FILE  also writes a scenario document to FILE (- for standard output, which then has nothing else): the dumped
                   tables at their addresses, the registers, and a device whose access walks them
  -h, --help       this text

Exit status: 0; 2 for a wrong use, or when --scenario finds nothing to walk.
`;

/** A kernel prints an event record first raw and then in words: the words come last, as in the format's description. */
const rank = (r: LogRecord): number => (r.type === 'smmuv3_event_line' ? 1 : 0);

interface DecodeIo {
  stdin(): Promise<string>;
  out(text: string): void;
  err(text: string): void;
  writeFile?(path: string, text: string): Promise<void>;
}

/** Writes the document of a dump. @returns the exit status */
async function writeScenario(log: DecodedLog, file: string, io: DecodeIo): Promise<number> {
  await loadVendors();
  const scenario = scenarioOf(log);
  if (!scenario.ok) {
    io.err(`decode: no scenario: ${scenario.why}\n`);
    return 2;
  }
  for (const note of scenario.notes) io.err(`scenario: ${note}\n`);
  for (const m of scenario.missing)
    io.err(`scenario: not in the text: ${m.what}; ${m.bytes} bytes at 0x${m.at.toString(16)} would be read\n`);
  const text = serializeDocument(scenario.document);
  if (file === '-') {
    io.out(text);
    return 0;
  }
  try {
    await io.writeFile?.(file, text);
  } catch (e) {
    if (!(e instanceof InputError)) throw e;
    io.err(`decode: ${file} ${e.message}\n`);
    return 2;
  }
  return 0;
}

/**
 * Runs `iommuscope decode`.
 * @returns the exit status: 0, or 2 for a wrong use
 */
export async function decodeCommand(args: string[], io: DecodeIo): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.out(HELP);
    return 0;
  }
  const asks = args[0] === '--scenario';
  const file = asks ? args[1] : undefined;
  if (asks && !file) {
    io.err('decode: --scenario needs the name of a file, or - for standard output (see --help)\n');
    return 2;
  }
  const wrong = args[asks ? 2 : 0];
  if (wrong !== undefined) {
    io.err(`decode: unexpected argument ${JSON.stringify(wrong)}; the text is read from standard input (see --help)\n`);
    return 2;
  }
  const log = decodeLog(await io.stdin());
  const { records, unread } = log;
  if (file !== '-') for (const r of [...records].sort((a, b) => rank(a) - rank(b))) io.out(`${JSON.stringify(r)}\n`);
  for (const u of unread) {
    const place = u.lines ? `lines ${u.line}-${u.line + u.lines - 1}` : `line ${u.line}`;
    io.err(`${place}: ${u.why}: ${u.text}\n`);
  }
  return file === undefined ? 0 : writeScenario(log, file, io);
}
