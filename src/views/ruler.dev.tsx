import { useState } from 'react';
import { createRoot } from 'react-dom/client';
import '../app/index.css';
import { cdLayout, commandLayout, encodeCommand, steLayout } from '../engine/smmuv3/layout/index.ts';
import { BitRuler } from './ruler/BitRuler.tsx';

const q = new URLSearchParams(location.search);
if (q.get('dark')) document.documentElement.dataset.theme = 'dark';
const ste = [
  0x0800_0000_5021_000fn | (1n << 60n),
  0x1000_0000_2008_00d5n | (1n << 60n),
  0x0400_0001_0c00_0000n | 3n | (0x2d5n << 32n),
  0x10200000n,
  0n,
  0n,
  0n,
  0n,
];
const cd = [0x0001_e205_8000_3510n | (1n << 45n), 0x5020_1000n, 0n, 0xf404ff44n, 0n, 0n, 0n, 0n];
const cmd = encodeCommand('TLBI_NH_VA', { VMID: 3, ASID: 1, Address: 0x10000, Leaf: 1 });
function App() {
  const [f, setF] = useState<string | null>(q.get('field'));
  const w = Number(q.get('w') ?? 290);
  return (
    <div className="ready" style={{ padding: 8, overflow: 'auto', height: '100vh' }}>
      <BitRuler layout={commandLayout(cmd)} words={cmd} width={w} field={f} onField={setF} />
      <hr />
      <BitRuler layout={steLayout} words={ste} width={w} field={f} onField={setF} skipZero />
      <hr />
      <BitRuler layout={cdLayout} words={cd} width={w} field={f} onField={setF} skipZero />
    </div>
  );
}
createRoot(document.getElementById('root')!).render(<App />);
