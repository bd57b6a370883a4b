import { useMemo, useState } from 'react';
import type { Layout } from '../../engine/bits/index.ts';
import { loadedVendors } from '../../engine/machine/vendors.ts';
import { decodeLog, type LogRecord } from '../../logs/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { takeFile } from '../files.ts';
import { RecordView } from '../inspector/RecordView.tsx';
import { cardsOf, titleOf } from './cards.ts';
import { OpenAsScenario } from './OpenAsScenario.tsx';
import { TableEntries } from './TableEntries.tsx';

/** Facts that are shown in other ways than as a line of the list. */
const apart = new Set(
  ['type', 'vendor', 'arch', 'line', 'explain', 'where', 'raw', 'layout', 'fields', 'entries', 'candidates'].concat([
    'illegal',
    'needs',
    'part_of',
    'lines',
    'model',
    'event',
    'failed',
    'words',
  ]),
);
/** What to paste, by the architecture of the open document. */
const examples = {
  smmuv3: `[ 6542.670624] arm-smmu-v3 arm-smmu-v3.2.auto: event 0x10 received:
[ 6542.670630] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00007d1200000010
[ 6542.670631] arm-smmu-v3 arm-smmu-v3.2.auto: 0x000012000000007c
[ 6542.670633] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00000000fffef040
[ 6542.670634] arm-smmu-v3 arm-smmu-v3.2.auto: 0x00000000fffef000`,
  vtd: `[ 6542.670624] DMAR: DRHD: handling fault status reg 2
[ 6542.670630] DMAR: [DMA Write PASID 0x1] Request device [3b:00.0] fault addr 0x7f0012345000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear
[ 6550.112031] DMAR: VT-d detected Invalidation Time-out Error: SID 3b00
[ 6550.112040] DMAR: QI HEAD: Device-TLB Invalidation qw0 = 0x3b0000000003, qw1 = 0x7ffffffffffff001`,
};

function factText(v: unknown): string {
  if (v === null) return 'none';
  if (Array.isArray(v)) return v.length ? v.map(factText).join(', ') : 'none';
  return typeof v === 'object' ? JSON.stringify(v) : String(v);
}

/** The layout of a record's raw words. */
const layoutOf = (r: LogRecord): Layout | undefined =>
  loadedVendors()
    .flatMap((v) => [...v.layouts, ...v.commands])
    .find((l) => l.id === r['layout']);

const texts = (v: unknown): readonly string[] => (Array.isArray(v) ? v.map(String) : []);

/** What makes an entry illegal, what it needs, or what bytes can be: a line each. */
function Reasons({ record }: { record: LogRecord }) {
  const candidates = (record['candidates'] as { kind: string; fit: string; reason: string }[] | undefined) ?? [];
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ['Illegal', texts(record['illegal'])],
    ['Needs', texts(record['needs'])],
    ['Can it be', candidates.map((c) => `${c.kind}: ${c.fit === 'no' ? 'no' : c.fit}: ${c.reason}`)],
  ];
  return lists.map(([title, list]) =>
    list.length === 0 ? null : (
      <div key={title} className="mt-2 text-xs">
        <strong>{title}</strong>
        <ul className="ml-4 list-disc">
          {list.map((t) => (
            <li key={t} className="break-words">
              {t}
            </li>
          ))}
        </ul>
      </div>
    ),
  );
}

/** The lines of a guest command or the entries of a file, each with what it means. */
function Parts({ parts }: { parts: readonly LogRecord[] }) {
  if (parts.length === 0) return null;
  return (
    <ol className="mt-2 space-y-1 border-l-2 border-line pl-3 text-xs">
      {parts.map((p, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have no name and come in the order of the text
        <li key={i}>
          <span className="text-ink-3">line {p.line}</span> {p.explain}
        </li>
      ))}
    </ol>
  );
}

function RecordCard({ record, parts }: { record: LogRecord; parts: readonly LogRecord[] }) {
  const app = useAppStore();
  const raw = Array.isArray(record['raw']) ? record['raw'].map((w) => BigInt(String(w))) : [];
  const layout = raw.length > 0 ? layoutOf(record) : undefined;
  const facts = Object.entries(record).filter(([k, v]) => !apart.has(k) && v !== undefined);
  const { where } = record;
  const show = (): void => {
    if (!where) return;
    app.showDialog(null);
    app.setSettings({ inspectorOpen: true });
    app.select({ id: where.at });
  };
  return (
    <li className="rounded-lg border border-line p-3">
      <div className="flex items-baseline justify-between gap-3">
        <h3 className="min-w-0 font-semibold break-words">{titleOf(record)}</h3>
        <span className="shrink-0 text-2xs text-ink-3">
          {record.arch}, line {record.line}
        </span>
      </div>
      <p className="mt-1 break-words">{record.explain}</p>
      {where && (
        <button type="button" className="btn mt-2" onClick={show}>
          Show on the diagram
        </button>
      )}
      <dl className="mt-3 grid grid-cols-[max-content_1fr_max-content_1fr] gap-x-3 gap-y-0.5 text-xs">
        {facts.map(([name, v]) => (
          <div key={name} className="contents">
            <dt className="text-ink-2">{name.replaceAll('_', ' ')}</dt>
            <dd className="font-mono break-all">{factText(v)}</dd>
          </div>
        ))}
      </dl>
      <Reasons record={record} />
      <Parts parts={parts} />
      <TableEntries record={record} />
      {layout && (
        <div className="mt-3 border-t border-line pt-3">
          <RecordView
            record={{
              title: raw.length < layout.words ? `Raw record, ${raw.length} of ${layout.words} words` : 'Raw record',
              layout,
              words: raw,
            }}
          />
        </div>
      )}
    </li>
  );
}

/** Log text goes in; every record comes out field by field, with what it means and where on the diagram it arises. */
export function LogDialog({ text: given }: { text: string }) {
  const app = useAppStore();
  const [text, setText] = useState(given);
  const vendor = useApp((s) => s.document?.platform.iommu);
  const example = vendor === 'vtd' ? examples.vtd : examples.smmuv3;
  const decoded = useMemo(() => decodeLog(text), [text]);
  const cards = useMemo(() => cardsOf(decoded.records), [decoded]);
  return (
    <Dialog title="Read a log" width="w-[54rem]" onClose={() => app.showDialog(null)}>
      <div className="scroll-thin grid min-h-0 gap-4 overflow-y-auto p-4 md:grid-cols-[1fr_1.25fr]">
        <div>
          <label className="mb-1 block text-xs font-semibold" htmlFor="log-text">
            Kernel log, QEMU trace, or bytes in hexadecimal
          </label>
          <textarea
            id="log-text"
            autoFocus
            spellCheck={false}
            rows={14}
            placeholder={example}
            className="field scroll-thin font-mono text-2xs whitespace-pre"
            value={text}
            onChange={(e) => setText(e.target.value)}
          />
          <div className="mt-2 flex flex-wrap items-center gap-2">
            <button type="button" className="btn" onClick={() => setText(example)}>
              An example
            </button>
            <label className="btn cursor-pointer focus-within:outline-2 focus-within:outline-(--focus)">
              From a file…
              <input
                type="file"
                accept=".txt,.log,text/plain"
                className="sr-only"
                onChange={(e) => {
                  const file = e.target.files?.[0];
                  if (file) void takeFile(app, file);
                }}
              />
            </label>
          </div>
          <p className="mt-2 text-xs text-ink-2">The text stays in this page; nothing is sent anywhere.</p>
        </div>
        <div aria-live="polite" className="min-w-0">
          {text.trim() === '' ? (
            <p className="text-ink-2">
              Paste what the kernel or QEMU printed, its trace events or debugfs files, or a dump of tables as gdb,
              crash, QEMU’s xp, hexdump or xxd show it. What is known of SMMUv3 and VT-d (faults, errors, commands,
              table entries, page tables) is decoded field by field, and a dump can be walked. Lines of other IOMMUs are
              named as such.
            </p>
          ) : (
            <p className="text-xs font-semibold">
              {decoded.records.length === 1 ? '1 record' : `${decoded.records.length} records`}
            </p>
          )}
          {decoded.dump && <OpenAsScenario log={decoded} />}
          <ul className="mt-2 space-y-3">
            {cards.slice(0, 200).map((c, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: records have no name and come in the order of the text
              <RecordCard key={i} record={c.record} parts={c.parts} />
            ))}
          </ul>
          {cards.length > 200 && <p className="mt-2 text-xs">Only the first 200 are shown.</p>}
          {decoded.unread.length > 0 && text.trim() !== '' && (
            <section className="mt-4">
              <h3 className="text-xs font-semibold">Not decoded</h3>
              <ul className="mt-1 space-y-1 text-xs">
                {decoded.unread.slice(0, 100).map((u) => (
                  <li key={u.line}>
                    <strong>
                      Line {u.line}
                      {u.lines ? ` to ${u.line + u.lines - 1}` : ''}
                    </strong>
                    : {u.why}
                    <code className="block truncate font-mono text-2xs text-ink-3">{u.text}</code>
                  </li>
                ))}
              </ul>
            </section>
          )}
        </div>
      </div>
    </Dialog>
  );
}
