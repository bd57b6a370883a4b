import type { LogRecord } from '../../logs/index.ts';

interface Entry {
  readonly index: number;
  readonly input: string;
  readonly raw: string;
  readonly form: string;
  readonly out?: string;
  readonly access?: string;
}

const most = 64;

/** The entries of a page table that are not zero. */
export function TableEntries({ record }: { record: LogRecord }) {
  const entries = (record['entries'] as readonly Entry[] | undefined) ?? [];
  if (entries.length === 0) return null;
  return (
    <div className="scroll-thin mt-3 overflow-x-auto">
      <table className="w-full text-left font-mono text-2xs">
        <thead className="text-ink-2">
          <tr>
            <th className="pr-2 font-normal">entry</th>
            <th className="pr-2 font-normal">input</th>
            <th className="pr-2 font-normal">descriptor</th>
            <th className="pr-2 font-normal">form</th>
            <th className="pr-2 font-normal">output</th>
            <th className="font-normal">access</th>
          </tr>
        </thead>
        <tbody>
          {entries.slice(0, most).map((e) => (
            <tr key={e.index}>
              <td className="pr-2">{e.index}</td>
              <td className="pr-2">{e.input}</td>
              <td className="pr-2">{e.raw}</td>
              <td className="pr-2">{e.form}</td>
              <td className="pr-2">{e.out ?? ''}</td>
              <td>{e.access ?? ''}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {entries.length > most && <p className="mt-1 text-xs">Only the first {most} are shown.</p>}
    </div>
  );
}
