#!/usr/bin/env node
import process from 'node:process';
import { nodeIo } from './io.ts';
import { program } from './program.ts';

process.exitCode = await program(process.argv.slice(2), nodeIo());
