/**
 * Files under /sys/kernel/debug/iommu/intel, as people paste them: with the command in front, columns broken into blocks.
 * Source: Linux drivers/iommu/intel/debugfs.c and Documentation/ABI/testing/debugfs-intel-iommu.
 */

import type { Lines, TextLine } from '../../lines.ts';
import type { Sink } from '../../reader.ts';
import { domainFile } from './domain.ts';
import { interruptFile } from './interrupts.ts';
import { latencyFile } from './latency.ts';
import { queueFile } from './queue.ts';
import { registerFile } from './registers.ts';
import { translationFile } from './translation.ts';

/** One file that is being read. */
export interface OpenFile {
  /** Takes a line if it can be one of the file. */
  line(text: string, line: TextLine): boolean;
  end(): void;
}

/** A kind of file: begins at a line that it knows. */
export interface FileKind {
  /** @returns null when the line does not begin such a file; `next` is the line behind it */
  begin(text: string, next: string, line: TextLine, sink: Sink): OpenFile | null;
}

const kinds: readonly FileKind[] = [registerFile, latencyFile, translationFile, domainFile, queueFile, interruptFile];

/** The command that printed a file. */
const COMMAND = /(?:^|[\s#$])(?:cat|head|less|tail|more|grep)\s.{0,40}\/sys\/kernel\/debug\/iommu\/intel\//;
/** Where a poster left lines out. */
const LEFT_OUT = /^\s*(?:\[?\.{3}\]?|…|\*{4})\s*$/;

export class DebugFiles {
  readonly #sink: Sink;
  #open: OpenFile | null = null;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** @returns how many lines were read */
  read(lines: Lines): number {
    const line = lines.peek(0);
    if (!line || line.headed) return 0;
    const text = line.text.trim();
    if (COMMAND.test(text)) {
      this.end();
      return 1;
    }
    if (this.#open && (LEFT_OUT.test(text) || this.#open.line(text, line))) return 1;
    let next = '';
    for (let k = 1; k < 3 && next === ''; k++) next = lines.peek(k)?.text.trim() ?? '';
    for (const kind of kinds) {
      const file = kind.begin(text, next, line, this.#sink);
      if (!file) continue;
      this.end();
      this.#open = file;
      return 1;
    }
    this.end();
    return 0;
  }

  end(): void {
    this.#open?.end();
    this.#open = null;
  }
}
