import { useEffect, useState } from 'react';
import { keyOf } from '../commands/registry.ts';
import { Markdown } from '../Markdown.tsx';
import { elapsedText } from './slides.ts';
import { actionOfKey, channelName, type FromSpeaker, type Slide, type SpeakerAction, type ToSpeaker } from './talk.ts';

const buttons: readonly { readonly action: SpeakerAction; readonly title: string }[] = [
  { action: 'first', title: 'First' },
  { action: 'previous', title: 'Back' },
  { action: 'next', title: 'Next' },
  { action: 'last', title: 'Last' },
  { action: 'view', title: 'Another view' },
];

function Clock({ since }: { since: number }) {
  const [from, setFrom] = useState(since);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => setFrom(since), [since]);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className="flex items-center gap-3">
      <span role="timer" aria-label="Elapsed" className="text-[1.6rem] leading-none font-semibold tabular-nums">
        {elapsedText(now - from)}
      </span>
      <button
        type="button"
        className="btn"
        onClick={() => {
          setFrom(Date.now());
          setNow(Date.now());
        }}
      >
        From zero
      </button>
    </span>
  );
}

/** The speaker's window: what is said now, what comes next, the time; it steers the page that opened it. */
export function NotesWindow({ id }: { id: string }) {
  const [slide, setSlide] = useState<Slide | null>(null);
  const [over, setOver] = useState(false);
  const [send, setSend] = useState<(m: FromSpeaker) => void>(() => () => {});
  useEffect(() => {
    const channel = new BroadcastChannel(channelName(id));
    const say = (m: FromSpeaker): void => channel.postMessage(m);
    channel.onmessage = (e: MessageEvent<ToSpeaker>) => {
      setOver(e.data.kind === 'over');
      if (e.data.kind !== 'slide') return;
      setSlide(e.data.slide);
      document.documentElement.dataset.theme = e.data.slide.theme;
    };
    setSend(() => say);
    say({ kind: 'hello' });
    const onKey = (e: KeyboardEvent): void => {
      const key = keyOf(e);
      const action = actionOfKey(key);
      if (!action || e.altKey || (key === 'Space' && e.target instanceof HTMLButtonElement)) return;
      e.preventDefault();
      say({ kind: 'act', action });
    };
    window.addEventListener('keydown', onKey);
    return () => {
      window.removeEventListener('keydown', onKey);
      channel.close();
    };
  }, [id]);

  useEffect(() => {
    document.title = slide ? `Notes: ${slide.document}` : 'Notes';
    document.documentElement.dataset.idle = 'true';
  }, [slide]);

  if (!slide)
    return (
      <main className="p-6 text-base">
        <h1 className="font-semibold">No presentation is heard here yet</h1>
        <p className="mt-1 text-ink-2">This window follows a presentation: in iommuscope press Present, then N.</p>
      </main>
    );
  const act = (action: SpeakerAction): void => send({ kind: 'act', action });
  return (
    <main className="flex h-dvh flex-col">
      <header className="flex shrink-0 items-center justify-between gap-4 border-b border-line bg-panel px-5 py-3">
        <p className="min-w-0 truncate text-sm text-ink-2">{slide.document}</p>
        <Clock since={slide.since} />
      </header>
      {over && (
        <p role="status" className="shrink-0 border-b border-line bg-stale-soft px-5 py-2 text-sm text-stale-ink">
          The presentation is over. Press Present once more in iommuscope and this window goes on.
        </p>
      )}
      <div className="scroll-thin min-h-0 flex-1 space-y-5 overflow-y-auto px-5 py-4">
        <section aria-label="Now">
          <p className="text-xs text-ink-3 tabular-nums">
            Slide {slide.number} of {slide.count}
            {slide.events > 0 && ` · event ${slide.event} of ${slide.events}`}
            {slide.blank && ' · the screen is black'}
          </p>
          <h1 className="mt-1 text-[1.4rem] leading-tight font-bold">{slide.title}</h1>
          <Markdown text={slide.say} className="mt-2 text-[1.15rem] leading-relaxed" />
          {slide.result !== '' && <p className="mt-2 text-sm text-ink-2">Result: {slide.result}</p>}
          {slide.hazards > 0 && (
            <p className="mt-1 text-sm font-semibold text-stale-ink">
              ⚠ {slide.hazards === 1 ? '1 stale entry' : `${slide.hazards} stale entries`}
            </p>
          )}
        </section>
        {slide.notes.length > 0 && (
          <section aria-label="Notes">
            <h2 className="text-xs font-semibold text-ink-3">Notes</h2>
            <ul className="mt-1 list-disc space-y-1 pl-5 text-base">
              {slide.notes.map((n, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: notes have no name
                <li key={i}>
                  <Markdown text={n} />
                </li>
              ))}
            </ul>
          </section>
        )}
        <section aria-label="Next" className="rounded-lg border border-line bg-panel p-4">
          <h2 className="text-xs font-semibold text-ink-3">Next</h2>
          {slide.next ? (
            <>
              <p className="mt-1 text-base font-semibold">{slide.next.title}</p>
              <Markdown text={slide.next.say} className="mt-1 text-sm text-ink-2" />
            </>
          ) : (
            <p className="mt-1 text-base text-ink-2">This is the last slide.</p>
          )}
        </section>
      </div>
      <footer className="flex shrink-0 flex-wrap gap-2 border-t border-line bg-panel px-5 py-3">
        {buttons.map((b) => (
          <button
            key={b.action}
            type="button"
            className={`btn h-10 px-4 text-sm ${b.action === 'next' ? 'btn-primary' : ''}`}
            onClick={() => act(b.action)}
          >
            {b.title}
          </button>
        ))}
        <button type="button" aria-pressed={slide.blank} className="btn h-10 px-4 text-sm" onClick={() => act('blank')}>
          Black screen
        </button>
        <button
          type="button"
          aria-pressed={slide.by === 'event'}
          className="btn h-10 px-4 text-sm"
          onClick={() => act('by')}
        >
          By event
        </button>
      </footer>
    </main>
  );
}
