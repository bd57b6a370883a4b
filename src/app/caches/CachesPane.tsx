import { useCallback, useEffect, useMemo, useState } from 'react';
import { createPortal } from 'react-dom';
import { noFilter } from '../../views/caches/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { CachesBar } from './CachesBar.tsx';
import { CachesList } from './CachesList.tsx';
import { CachesText } from './CachesText.tsx';
import { type Look, useCaches } from './use-caches.ts';

const firstLook: Look = { filter: noFilter, group: null, sort: null, folded: new Set() };
/** While another view is shown. */
let kept = firstLook;

/** What to do where there is nothing to see. */
function Nothing({
  shown,
  look,
  setLook,
}: {
  shown: ReturnType<typeof useCaches>;
  look: Look;
  setLook: (l: Look) => void;
}) {
  const app = useAppStore();
  const records = useApp((s) => s.records);
  const { lives, entries } = shown;
  const first = lives.find((l) => l.filled)?.filled;
  const line = 'flex flex-wrap items-center gap-2 p-3 text-xs text-ink-2';
  if (records.length === 0) return <p className={line}>Open a scenario: what its caches hold appears here.</p>;
  if (lives.length === 0 || !first)
    return (
      <p className={line}>
        Nothing is cached in any step. An access of a device fills the caches: add one from the Operations panel.
      </p>
    );
  if (entries.length === 0)
    return (
      <p className={line}>
        Nothing is cached yet. The first entry is filled in {first.step === 0 ? 'the setup' : `step ${first.step}`}.
        <button type="button" className="btn" onClick={() => app.moveTo(first)}>
          Go there
        </button>
      </p>
    );
  const { text, cache, device, show } = look.filter;
  const onlyShow = text === '' && cache === null && device === null;
  return (
    <p className={line}>
      {onlyShow && show === 'stale'
        ? 'No entry is stale at this moment.'
        : onlyShow && show === 'step'
          ? 'This step has not touched any entry so far.'
          : onlyShow && show === 'removed'
            ? 'Nothing has been removed so far.'
            : onlyShow
              ? 'Every entry has been removed.'
              : 'No entry is as the filter says.'}
      <button
        type="button"
        className="btn"
        onClick={() => setLook({ ...look, filter: onlyShow ? { ...noFilter, show: 'all' } : noFilter })}
      >
        {onlyShow ? 'Show all entries' : 'Clear the filter'}
      </button>
    </p>
  );
}

/**
 * What every cache holds: by cache and tag, with what filled and removed each entry, and its life over the steps.
 * @param bar place at the right of the tabs for what the view filters and switches
 */
export function CachesPane({ bar }: { bar: HTMLElement | null }) {
  const asText = useApp((s) => s.settings.asText);
  const document = useApp((s) => s.document);
  const [look, setWholeLook] = useState(kept);
  const setLook = useCallback((change: Partial<Look>) => setWholeLook((l) => ({ ...l, ...change })), []);
  useEffect(() => {
    kept = look;
  }, [look]);
  const devices = useMemo(() => (document?.devices ?? []).map((d) => d.name), [document]);
  // A cache, a device or a column of another document's machine says nothing here.
  const { filter, group } = look;
  const found = useCaches(look);
  const { caches } = found;
  const strange =
    (filter.cache !== null && !caches.some((c) => c.id === filter.cache)) ||
    (filter.device !== null && !devices.includes(filter.device)) ||
    (group !== null && !caches.some((c) => c.columns.includes(group)));
  useEffect(() => {
    if (strange) setLook({ filter: { ...filter, cache: null, device: null }, group: null });
  }, [strange, filter, setLook]);
  const nothing = found.groups.length === 0;
  return (
    <>
      {bar &&
        createPortal(
          <CachesBar look={look} setLook={setLook} caches={caches} entries={found.entries} devices={devices} />,
          bar,
        )}
      {nothing ? (
        <Nothing shown={found} look={look} setLook={setLook} />
      ) : asText ? (
        <CachesText groups={found.groups} />
      ) : (
        <CachesList {...found} look={look} setLook={setLook} />
      )}
    </>
  );
}
