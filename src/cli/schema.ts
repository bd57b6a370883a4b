import { documentJsonSchema } from '../engine/document/json-schema.ts';
import type { Io } from './io.ts';

export const schemaHelp = `iommuscope schema - prints the JSON Schema of scenario documents

Usage: iommuscope schema > iommuscope.schema.json

An editor that knows JSON Schema completes and checks a document that names the file in "$schema". What a schema cannot
say (names that must exist, a vendor's own features and commands) is checked by "iommuscope run".

Options:
  -h, --help   this text
`;

/** Runs `iommuscope schema`. @returns the exit status */
export async function schemaCommand(args: readonly string[], io: Io): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.out(schemaHelp);
    return 0;
  }
  if (args.length > 0) {
    io.err(`schema: unexpected argument ${JSON.stringify(args[0])}; it takes none (see --help)\n`);
    return 2;
  }
  io.out(`${JSON.stringify(documentJsonSchema(), null, 2)}\n`);
  return 0;
}
