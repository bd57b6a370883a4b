import { useApp, useAppStore } from '../context.ts';

/** The sign that a long document is being run, and the way out. */
export function Working() {
  const app = useAppStore();
  const work = useApp((s) => s.work);
  if (!work) return null;
  const percent = Math.floor((work.done / work.total) * 100);
  return (
    <section
      aria-label="Running a long document"
      className="fixed top-16 left-1/2 z-50 w-88 max-w-[90vw] -translate-x-1/2 rounded-lg border border-line-strong bg-panel p-3 shadow-(--shadow)"
    >
      <p className="truncate font-semibold">{work.label}</p>
      <div className="mt-2 flex items-center gap-3">
        <progress
          className="h-2 min-w-0 flex-1 accent-accent"
          aria-label="Steps that have run"
          max={work.total}
          value={work.done}
        />
        <span className="w-10 text-right text-xs tabular-nums text-ink-2">{percent} %</span>
        <button type="button" className="btn" onClick={app.cancelWork}>
          Cancel
        </button>
      </div>
      <p className="mt-1 text-xs text-ink-2">
        {work.done.toLocaleString('en')} of {work.total.toLocaleString('en')} steps run. What is open stays until the
        end.
      </p>
    </section>
  );
}
