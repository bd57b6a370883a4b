import { decodeCommand } from './decode.ts';
import { InputError, type Io } from './io.ts';
import { runCommand } from './run.ts';
import { schemaCommand } from './schema.ts';

const help = `iommuscope - nested I/O translation under Linux iommufd, simulated and explained

Usage: iommuscope VERB [OPTION]... [ARGUMENT]...

  run DOC...          runs scenario documents and checks their expectations
  decode              reads kernel log text on standard input and explains the records in it
  schema              prints the JSON Schema of scenario documents
  render DOC -o FILE  draws one view at one step (not available yet)
  explore DOC         tries the interleavings of concurrent actors (not available yet)

"iommuscope VERB --help" tells more. Standard output is data, standard error is for people.
Exit status: 0 done and all expectations met; 1 an expectation was not met; 2 bad input.
`;

interface Verb {
  run(args: string[], io: Io): Promise<number>;
}

/** A verb of the command line that a later version brings: it says so instead of doing half of it. */
function later(name: string, usage: string): Verb {
  return {
    run: async (args, io) => {
      const text = `iommuscope ${usage}\n\nNot available yet: this version has no "${name}". It comes with a later one.\n`;
      if (args.includes('--help') || args.includes('-h')) {
        io.out(text);
        return 0;
      }
      io.err(`${name}: not available yet; this version can run, decode and schema (see --help)\n`);
      return 2;
    },
  };
}

const verbs: Readonly<Record<string, Verb>> = {
  run: { run: runCommand },
  decode: { run: decodeCommand },
  schema: { run: schemaCommand },
  render: later('render', 'render DOC -o FILE - draws one view of a scenario at one step'),
  explore: later('explore', 'explore DOC - looks for the shortest interleaving that reaches each hazard'),
};

/**
 * The command line: `iommuscope VERB ...`.
 * @param args without the program's name
 * @returns the exit status: 0, 1 or 2
 */
export async function program(args: readonly string[], io: Io): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === undefined) {
    io.err(help);
    return 2;
  }
  if (verb === '--help' || verb === '-h' || verb === 'help') {
    io.out(help);
    return 0;
  }
  if (!Object.hasOwn(verbs, verb)) {
    io.err(
      `iommuscope: unknown verb ${JSON.stringify(verb)}; there are ${Object.keys(verbs).join(', ')} (see --help)\n`,
    );
    return 2;
  }
  try {
    return await verbs[verb]!.run(rest, io);
  } catch (e) {
    if (!(e instanceof InputError)) throw e;
    io.err(`${verb}: standard input ${e.message}\n`);
    return 2;
  }
}
