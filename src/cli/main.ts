#!/usr/bin/env node
import process from 'node:process';
import { nodeIo } from './io.ts';
import { program } from './program.ts';

try {
  process.exitCode = await program(process.argv.slice(2), nodeIo());
} catch (e) {
  // A mistake of this program, not of its input: the stack belongs into the report.
  process.stderr.write(`iommuscope: internal error: ${e instanceof Error ? (e.stack ?? e.message) : String(e)}\n`);
  process.exitCode = 3;
}
