import { appCommands } from '../commands/app-commands.ts';
import { useApp, useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { keyGroups } from '../help/key-groups.ts';

function Row({ keys, title }: { keys: readonly string[]; title: string }) {
  return (
    <tr>
      <th scope="row" className="w-48 py-1 pr-4 text-left align-baseline font-normal whitespace-nowrap">
        {keys.map((k, i) => (
          <span key={k}>
            {i > 0 && <span className="px-1 text-ink-3">or</span>}
            <kbd className="rounded border border-line-strong bg-sunken px-1.5 py-0.5 font-sans text-xs">{k}</kbd>
          </span>
        ))}
      </th>
      <td className="py-1 text-ink-2">{title}</td>
    </tr>
  );
}

/** Every key, by room: generated from the commands, so that none is missing. */
export function KeysDialog() {
  const app = useAppStore();
  const presenting = useApp((s) => s.presenting !== null);
  return (
    <Dialog title="Keys" width="w-[42rem]" onClose={() => app.showDialog(null)}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that scrolls must be reached by keyboard */}
      <section aria-label="All keys" tabIndex={0} className="scroll-thin overflow-y-auto px-4 pb-3">
        {keyGroups(appCommands, presenting).map((g) => (
          <section key={g.title} aria-label={g.title}>
            <h3 className="mt-3 mb-1 text-xs font-semibold text-ink-3">{g.title}</h3>
            <table className="w-full">
              <tbody>
                {g.rows.map((r) => (
                  <Row key={r.title} {...r} />
                ))}
              </tbody>
            </table>
          </section>
        ))}
      </section>
    </Dialog>
  );
}
