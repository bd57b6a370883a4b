import { createRoot } from 'react-dom/client';
import '../app/index.css';
import { exampleEvents } from './topology/fixtures/events.ts';
import { exampleScene } from './topology/fixtures/scenes.ts';
import { Topology } from './topology/Topology.tsx';

const q = new URLSearchParams(location.search);
const n = Number(q.get('n') ?? 2);
if (q.get('dark')) document.documentElement.dataset.theme = 'dark';
const names = ['nic0', 'gpu0', ...Array.from({ length: 50 }, (_, i) => `vf${i + 1}`)].slice(0, n);
const scene = exampleScene({ devices: names, rows: Number(q.get('rows') ?? 4), stale: q.get('stale') !== null });
const events = exampleEvents();
const event = Number(q.get('event') ?? -1);
createRoot(document.getElementById('root')!).render(
  <Topology
    scene={scene}
    events={events}
    event={event}
    progress={Number(q.get('p') ?? 1)}
    hazards={[]}
    selection={q.get('sel') ? { id: q.get('sel')! } : null}
    onSelect={() => {}}
    width={Number(q.get('w') ?? 720)}
    height={Number(q.get('h') ?? 430)}
    folded={q.get('open') === null}
  />,
);
