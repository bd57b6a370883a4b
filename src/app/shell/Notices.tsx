import { useApp, useAppStore } from '../context.ts';
import { Icon } from '../Icon.tsx';

/** What went wrong or was done, with its reason; errors stay until they are closed. */
export function Notices() {
  const app = useAppStore();
  const notices = useApp((s) => s.notices);
  return (
    <section
      aria-label="Messages"
      aria-live="assertive"
      className="fixed right-4 bottom-4 z-40 flex w-96 max-w-[92vw] flex-col gap-2"
    >
      {notices.map((n) => (
        <div
          key={n.key}
          role={n.tone === 'error' ? 'alert' : 'status'}
          className={`flex items-start gap-2 rounded-lg border bg-panel p-3 shadow-(--shadow) ${n.tone === 'error' ? 'border-removed' : 'border-line-strong'}`}
        >
          {n.tone === 'error' && <Icon name="warning" className="mt-0.5 size-4 text-removed" />}
          <div className="min-w-0 flex-1">
            <p className="font-semibold">{n.title}</p>
            {n.details.map((d) => (
              <p key={d} className="mt-0.5 text-xs break-words text-ink-2">
                {d}
              </p>
            ))}
          </div>
          <button
            type="button"
            className="btn h-6 border-transparent px-1"
            aria-label={`Close: ${n.title}`}
            onClick={() => app.dismiss(n.key)}
          >
            <Icon name="close" className="size-3.5" />
          </button>
        </div>
      ))}
    </section>
  );
}
