import { createRoot } from 'react-dom/client';
import '../app/index.css';
import { parseDocument, Session } from '../engine/document/index.ts';
import { scenarios } from '../library/index.ts';
import { exampleEvents } from './topology/fixtures/events.ts';
import { exampleScene } from './topology/fixtures/scenes.ts';
import { Topology } from './topology/Topology.tsx';

const q = new URLSearchParams(location.search);
const n = Number(q.get('n') ?? 2);
if (q.get('dark')) document.documentElement.dataset.theme = 'dark';
const common = {
  progress: Number(q.get('p') ?? 1),
  selection: q.get('sel') ? { id: q.get('sel')! } : null,
  onSelect: () => {},
  width: Number(q.get('w') ?? 720),
  height: Number(q.get('h') ?? 430),
  folded: q.get('open') === null,
};
const root = createRoot(document.getElementById('root')!);
if (q.get('s') !== null) {
  const parsed = parseDocument(await scenarios[Number(q.get('s'))]!.load());
  if (!parsed.ok) throw new Error(parsed.error.message);
  const session = new Session(parsed.document);
  session.runAll();
  const step = Number(q.get('step') ?? session.steps.length - 1);
  const r = session.steps[step]!;
  const events = r.events;
  const event = Math.min(Number(q.get('event') ?? events.length - 1), events.length - 1);
  const end = event === events.length - 1;
  const hazards = end ? r.hazards : step > 0 ? session.steps[step - 1]!.hazards : [];
  const reserve = q.get('noreserve') ? undefined : session.steps.map((x, i) => session.platformAt(i).scene(x.hazards));
  const scene = session.platformAt(step, event + 1).scene(hazards);
  const previous = step > 0 ? session.platformAt(step - 1).scene([]) : null;
  root.render(
    <Topology
      scene={scene}
      previousScene={previous}
      events={events}
      event={event}
      hazards={hazards}
      reserve={reserve}
      {...common}
    />,
  );
} else {
  const names = ['nic0', 'gpu0', ...Array.from({ length: 50 }, (_, i) => `vf${i + 1}`)].slice(0, n);
  const scene = exampleScene({ devices: names, rows: Number(q.get('rows') ?? 4), stale: q.get('stale') !== null });
  root.render(
    <Topology scene={scene} events={exampleEvents()} event={Number(q.get('event') ?? -1)} hazards={[]} {...common} />,
  );
}
