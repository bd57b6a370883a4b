import { appCommands } from '../commands/app-commands.ts';
import { keyText } from '../commands/registry.ts';
import { useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';

const inDiagram: readonly (readonly [string, string])[] = [
  ['Tab', 'Into the diagram, and out of it'],
  ['← ↑ → ↓', 'To the neighbouring object'],
  ['Enter', 'Inspect the object'],
  ['Shift F10', 'What can be done with the object'],
];

function Row({ keys, title }: { keys: readonly string[]; title: string }) {
  return (
    <tr>
      <th scope="row" className="py-1 pr-4 text-left font-normal whitespace-nowrap">
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

export function KeysDialog() {
  const app = useAppStore();
  return (
    <Dialog title="Keys" onClose={() => app.showDialog(null)}>
      <div className="scroll-thin overflow-y-auto px-4 py-3">
        <table className="w-full">
          <tbody>
            {appCommands
              .filter((c) => c.keys)
              .map((c) => (
                <Row key={c.id} keys={c.keys!.map(keyText)} title={c.title} />
              ))}
          </tbody>
        </table>
        <h3 className="mt-4 mb-1 text-xs font-semibold text-ink-3">In the diagram</h3>
        <table className="w-full">
          <tbody>
            {inDiagram.map(([k, title]) => (
              <Row key={k} keys={[k]} title={title} />
            ))}
          </tbody>
        </table>
      </div>
    </Dialog>
  );
}
