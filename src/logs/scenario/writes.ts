/** Memory of an image as steps of a document. */

import { hexPlain } from '../../engine/bits/index.ts';
import type { ScenarioDocument } from '../../engine/document/index.ts';
import type { Image } from '../image.ts';

export type Step = ScenarioDocument['steps'][number];

/** Words of one step; a run is split where this many zeros stand, as memory is zero where nothing is written. */
const GAP = 8;
const MOST_WORDS = 512;
/** More steps than anybody walks. */
export const MOST_STEPS = 4000;

/**
 * @param labels what lies at an address; a labelled entry begins a step of its own and is written whole
 * @param role what lies at the beginning of a step that has no label
 */
export function writes(image: Image, labels: ReadonlyMap<number, string>, role: (at: number) => string | null): Step[] {
  const out: Step[] = [];
  const write = (at: number, words: readonly bigint[]): void => {
    const label = labels.get(at) ?? role(at);
    out.push({
      do: 'memory.write',
      space: 'host',
      at: hexPlain(at),
      u64: words.map(hexPlain),
      ...(label ? { say: label } : {}),
    } as Step);
  };
  for (const run of image.runs()) {
    let from = -1;
    let zeros = 0;
    for (let i = 0; i <= run.words.length; i++) {
      const at = run.address + 8 * i;
      const word = run.words[i];
      const border = from >= 0 && (labels.has(at) || i - from >= MOST_WORDS);
      zeros = word === 0n ? zeros + 1 : 0;
      if (from >= 0 && (word === undefined || zeros > GAP || border)) {
        const end = zeros > GAP ? i - zeros + 1 : i;
        if (end > from) write(run.address + 8 * from, run.words.slice(from, end));
        from = -1;
      }
      if (from < 0 && word !== undefined && (word !== 0n || labels.has(at))) {
        from = i;
        zeros = 0;
      }
    }
  }
  return out;
}
