import { useEffect, useRef, useState } from 'react';
import type { State } from '../../store/index.ts';
import { useAppStore } from '../context.ts';
import { announcement, type Heard } from './announce.ts';

/** Says each stepped event in a sentence, and what a step did when the head has come to rest after it. */
export function Announcer() {
  const app = useAppStore();
  const [text, setText] = useState('');
  const heard = useRef<Heard | null>(null);
  useEffect(() => {
    const hear = (s: State): void => {
      const now: Heard = { place: s.place, playing: s.playing };
      const simulation = app.simulation();
      if (!s.document || !simulation || s.records.length === 0) return;
      const columns = (id: string): readonly string[] | undefined =>
        simulation.scene(s.place).objects.find((o) => o.id === id)?.cache?.columns;
      setText(announcement(heard.current, now, s.records, columns));
      heard.current = now;
    };
    hear(app.store.getState());
    return app.store.subscribe((s, before) => {
      if (s.place === before.place && s.playing === before.playing && s.records === before.records) return;
      // While it plays nothing is said, and so nothing is worked out.
      if (s.playing && before.playing) heard.current = { place: s.place, playing: true };
      else hear(s);
    });
  }, [app]);
  return (
    <output aria-live="polite" className="sr-only">
      {text}
    </output>
  );
}
