import { useApp } from '../context.ts';
import { stepTitle } from '../describe.ts';

/** Tells a screen reader where the playing head has come to rest. */
export function Announcer() {
  const text = useApp((s) => {
    if (s.playing || !s.document) return '';
    const record = s.records[s.place.step];
    if (!record) return '';
    const n = s.lengths[s.place.step] ?? 0;
    const where = s.place.event < n ? `event ${s.place.event} of ${n}` : record.result.text;
    return `Step ${s.place.step}, ${stepTitle(record.step)}: ${where}`;
  });
  return (
    <output aria-live="polite" className="sr-only">
      {text}
    </output>
  );
}
