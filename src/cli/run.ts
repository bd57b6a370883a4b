import { parseDocument, whyNotRunnable } from '../engine/document/authoring.ts';
import { type ScenarioDocument, Session, type StepRecord } from '../engine/document/index.ts';
import { loadVendors, vendorsIn } from '../engine/machine/vendors.ts';
import { eventLine, eventToJson } from '../engine/trace/index.ts';
import { InputError, type Io } from './io.ts';

export const runHelp = `iommuscope run - runs scenario documents and checks their expectations

Usage: iommuscope run [--trace | --text] [--summary] DOC...

DOC is a file, or - for standard input. Every expectation that is not met is printed on standard error with its step, what
was expected and what happened. Step 0 is the setup, step 1 the first one of "steps".

Options:
  --trace      prints the trace: a line of JSON for each event, with "step" and "event" (and "file" when there are
               several documents)
  --text       prints the trace as text
  --summary    prints a line of JSON for each document:
               {"file","title","ok","steps","failed":[{"step","expected","actual"}]}
  -h, --help   this text

Exit status: 0 all expectations met; 1 an expectation was not met; 2 bad input.
`;

interface Options {
  readonly trace: boolean;
  readonly text: boolean;
  readonly summary: boolean;
  readonly files: readonly string[];
}

type Failed = { readonly step: number; readonly expected: string; readonly actual: string };

const flags = ['--trace', '--text', '--summary'];

function optionsOf(args: readonly string[]): Options | string {
  const end = args.indexOf('--');
  const before = end < 0 ? args : args.slice(0, end);
  const given = before.filter((a) => a.startsWith('-') && a !== '-');
  const unknown = given.find((a) => !flags.includes(a));
  if (unknown) return `unknown option ${unknown}; there are ${flags.join(', ')} (see --help)`;
  const files = [...before.filter((a) => !given.includes(a)), ...(end < 0 ? [] : args.slice(end + 1))];
  if (files.length === 0) return 'no document given: name a file, or - for standard input (see --help)';
  if (files.filter((f) => f === '-').length > 1) return 'standard input can be read only once';
  const has = (flag: string): boolean => given.includes(flag);
  if (has('--trace') && has('--text')) return '--trace and --text exclude each other';
  return { trace: has('--trace'), text: has('--text'), summary: has('--summary'), files };
}

/** Runs `iommuscope run`. @returns the exit status */
export async function runCommand(args: readonly string[], io: Io): Promise<number> {
  const end = args.indexOf('--');
  if ((end < 0 ? args : args.slice(0, end)).some((a) => a === '--help' || a === '-h')) {
    io.out(runHelp);
    return 0;
  }
  const options = optionsOf(args);
  if (typeof options === 'string') {
    io.err(`run: ${options}\n`);
    return 2;
  }
  let status = 0;
  for (const file of options.files) {
    status = Math.max(status, await runFile(file, options, io));
    if (!(await io.flush())) break;
  }
  return status;
}

async function runFile(file: string, options: Options, io: Io): Promise<number> {
  const name = file === '-' ? '(standard input)' : file;
  const bad = (message: string): number => {
    io.err(`${name}: ${message}\n`);
    return 2;
  };
  let text: string;
  try {
    text = await (file === '-' ? io.stdin('document') : io.readFile(file));
  } catch (e) {
    if (e instanceof InputError) return bad(e.message);
    throw e;
  }
  await loadVendors(vendorsIn(text));
  const parsed = parseDocument(text);
  if (!parsed.ok) {
    const { path, message, line, column } = parsed.error;
    const place = line === undefined ? name : `${name}:${line}:${column}`;
    io.err(`${place}: ${path ? `${path}: ` : ''}${message}\n`);
    return 2;
  }
  const reason = whyNotRunnable(parsed.document);
  if (reason) return bad(`${reason.path}: ${reason.message}`);
  let session: Session;
  try {
    session = new Session(parsed.document);
  } catch (e) {
    return bad(`the machine cannot be made: ${e instanceof Error ? e.message : String(e)}`);
  }
  return play(session, file, name, options, io);
}

async function play(session: Session, file: string, name: string, options: Options, io: Io): Promise<number> {
  const doc = session.document;
  const failed: Failed[] = [];
  if (options.text) io.out(`${doc.title}\n`);
  for (let i = 0; i <= doc.steps.length; i++) {
    session.runTo(i);
    const record = session.steps[i]!;
    printEvents(i, record, file, options, io);
    for (const f of record.failures) {
      const what = f.path.replace(/^expect\./, '');
      failed.push({ step: i, expected: what ? `${what}: ${f.expected}` : f.expected, actual: f.actual });
      io.err(
        `${name}: step ${i} (${record.operation.do})${what ? `, ${what}` : ''}: expected ${f.expected}; found ${f.actual}\n`,
      );
    }
    if (i % 64 === 63 && !(await io.flush())) break;
  }
  if (options.summary) io.out(`${summary(file, doc, failed)}\n`);
  io.err(
    `${name}: ${failed.length ? 'failed' : 'ok'}, ${count(doc.steps.length, 'step')}${failed.length ? `, ${count(failed.length, 'expectation')} not met` : ''}\n`,
  );
  return failed.length ? 1 : 0;
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function summary(file: string, doc: ScenarioDocument, failed: readonly Failed[]): string {
  return JSON.stringify({ file, title: doc.title, ok: failed.length === 0, steps: doc.steps.length, failed });
}

function printEvents(i: number, record: StepRecord, file: string, options: Options, io: Io): void {
  if (options.trace) {
    const head = options.files.length > 1 ? `"file":${JSON.stringify(file)},` : '';
    const lines = record.events.map((e, n) => `{${head}"step":${i},"event":${n},${eventToJson(e).slice(1)}\n`);
    if (lines.length) io.out(lines.join(''));
  }
  if (options.text) {
    const lines = record.events.map((e, n) => `  ${String(n).padStart(4)} ${eventLine(e)}\n`);
    const hazards = record.hazards.map(
      (h) => `       stale: ${h.text.replace(/\.$/, '')}; now ${h.now}; missing ${h.missing}\n`,
    );
    io.out(`step ${i} ${record.operation.do}: ${record.result.text}\n${lines.join('')}${hazards.join('')}`);
  }
}
