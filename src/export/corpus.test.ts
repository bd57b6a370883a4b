import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { describe, expect, it } from 'vitest';
import { parseDocument } from '../engine/document/authoring.ts';
import { type ScenarioDocument, Session, serializeDocument } from '../engine/document/index.ts';
import { findVendor, loadVendors } from '../engine/machine/vendors.ts';
import { eventText } from '../engine/trace/index.ts';
import { scenarios } from '../library/index.ts';
import { decodeLink, encodeLink } from './link.ts';

/**
 * What people have kept, in every format version that there was: links, files, and what the page's storage held. Each must
 * open for ever and replay to the trace that it had. Entries are added, never changed:
 * `IOMMUSCOPE_CORPUS=add npx vitest run src/export/corpus.test.ts` writes those of the current versions that are not there yet.
 */

interface Entry {
  readonly kind: 'link 1' | 'file iommuscope/1' | 'storage 1';
  readonly input: string;
  readonly place?: { readonly step: number; readonly event: number };
  /** SHA-256 of the texts of all events, a line each, a blank line behind each step. */
  readonly trace: string;
}

const folder = new URL('./fixtures/corpus/', import.meta.url);
await loadVendors();

function traceOf(document: ScenarioDocument): string {
  const session = new Session(document, findVendor);
  session.runAll();
  const hash = createHash('sha256');
  for (const step of session.steps) {
    for (const e of step.events) hash.update(`${eventText(e)}\n`);
    hash.update('\n');
  }
  return hash.digest('hex');
}

/** The document's text in what was kept, by the version's own reader. */
function textOf(e: Entry): string {
  switch (e.kind) {
    case 'link 1': {
      const link = decodeLink(e.input);
      if (!link.ok) throw new Error(link.problem);
      expect(link.place).toEqual(e.place);
      return link.text;
    }
    case 'file iommuscope/1':
      return e.input;
    case 'storage 1': {
      const saved = JSON.parse(e.input) as { version: number; entries: { text: string }[]; at: number };
      expect(saved.version).toBe(1);
      return saved.entries[saved.at]!.text;
    }
  }
}

async function add(): Promise<void> {
  const place = { step: 2, event: 3 };
  for (const s of scenarios) {
    const document = await s.load();
    const text = serializeDocument(document);
    const history = {
      version: 1,
      entries: [{ text, scenario: s.id, label: 'Add', opened: false, place }],
      at: 0,
    };
    const trace = traceOf(document);
    const made: readonly Entry[] = [
      { kind: 'link 1', input: encodeLink(text, place)!.slice(2), place, trace },
      { kind: 'file iommuscope/1', input: text, trace },
      ...(s.id.endsWith('first-dma') ? [{ kind: 'storage 1', input: JSON.stringify(history), trace } as const] : []),
    ];
    for (const e of made) {
      const file = new URL(`${s.id}.${e.kind.replace(/[^a-z0-9]+/g, '-')}.json`, folder);
      if (!existsSync(file)) writeFileSync(file, `${JSON.stringify(e, null, 2)}\n`);
    }
  }
}

if (process.env.IOMMUSCOPE_CORPUS === 'add') await add();

describe('what was kept once', () => {
  const files = readdirSync(folder).filter((f) => f.endsWith('.json'));

  it('is there in every version', () => {
    for (const kind of ['link-1', 'file-iommuscope-1', 'storage-1'])
      expect(files.filter((f) => f.includes(`.${kind}.`)).length, kind).toBeGreaterThan(1);
  });

  it.each(files)('%s opens and replays to its trace', (name) => {
    const entry = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Entry;
    const parsed = parseDocument(textOf(entry));
    expect(parsed).toMatchObject({ ok: true });
    if (parsed.ok) expect(traceOf(parsed.document)).toBe(entry.trace);
  });
});
