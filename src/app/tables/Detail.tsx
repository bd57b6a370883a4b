import type { Layout } from '../../engine/bits/index.ts';
import { type InspectedRecord, rawLayout } from '../../engine/machine/index.ts';
import type { RecordRef } from '../../store/index.ts';
import { RecordView } from '../inspector/RecordView.tsx';

/** What is shown beside the tree. */
export interface Shown {
  readonly record: InspectedRecord;
  readonly before?: readonly bigint[];
}

const RAW = rawLayout(8);

/** The record, and for raw bytes the choice how to read them. */
export function Detail({
  shown,
  raw,
  layouts,
  onRaw,
}: {
  shown: Shown;
  raw: RecordRef | null;
  layouts: readonly Layout[];
  onRaw: (r: RecordRef) => void;
}) {
  return (
    <>
      {raw && (
        <div className="mb-2 flex flex-wrap items-center gap-1.5">
          <select
            aria-label="Read these bytes as"
            className="btn max-w-56 min-w-0 appearance-none"
            value={layouts.some((l) => l.id === raw.layout) ? raw.layout : RAW.id}
            onChange={(e) => onRaw({ ...raw, layout: e.target.value })}
          >
            <option value={RAW.id}>raw words</option>
            {layouts
              .filter((l) => !l.id.includes('.reg.'))
              .map((l) => (
                <option key={l.id} value={l.id}>
                  {l.name}: {l.title}
                </option>
              ))}
          </select>
          <button
            type="button"
            className="btn"
            onClick={() => onRaw({ ...raw, address: Math.max(0, raw.address - shown.record.layout.words * 8) })}
          >
            Before
          </button>
          <button
            type="button"
            className="btn"
            onClick={() => onRaw({ ...raw, address: raw.address + shown.record.layout.words * 8 })}
          >
            After
          </button>
        </div>
      )}
      <RecordView record={shown.record} {...(shown.before ? { before: shown.before } : {})} />
    </>
  );
}
