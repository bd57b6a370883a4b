import { it } from 'vitest';
import { exampleScene } from '/work/main/src/views/topology/fixtures/scenes.ts';
import { layoutTopology } from '/work/main/src/views/topology/layout.ts';
it('x', () => {
  for (const size of [{ width: 720, height: 430 }, { width: 806, height: 600 }]) {
  const l = layoutTopology(exampleScene(), size);
  const pieces = l.arrows.flatMap((a) => a.points.slice(1).map((q, i) => ({ a, p: a.points[i]!, q })));
  pieces.forEach((s, i) => { for (const t of pieces.slice(i + 1)) {
      if (s.a === t.a || s.a.to === t.a.to || (s.p.x === s.q.x) === (t.p.x === t.q.x)) continue;
      const [v, h] = s.p.x === s.q.x ? [s, t] : [t, s];
      const within = (x: number, a: number, b: number): boolean => x > Math.min(a, b) + 0.1 && x < Math.max(a, b) - 0.1;
      if (within(v.p.x, h.p.x, h.q.x) && within(h.p.y, v.p.y, v.q.y)) console.log(v.a.id, h.a.id, v.p.x, h.p.y);
  }});
  console.log('--');
  const t0 = performance.now(); for (let i=0;i<20;i++) layoutTopology(exampleScene(), size, {slots: l.slots}); console.log('ms/layout cached', (performance.now()-t0)/20);
  const t1 = performance.now(); for (let i=0;i<10;i++) layoutTopology(exampleScene(), {...size, width: size.width + i + 1}); console.log('ms/layout cold', (performance.now()-t1)/10);
  }
  const t2 = performance.now(); layoutTopology(exampleScene({devices: Array.from({length:16},(_, i) => 'vf'+i)}), {width: 806, height: 600}, {open: true}); console.log('16 open', performance.now()-t2);
  const t3 = performance.now(); layoutTopology(exampleScene({devices: Array.from({length:16},(_, i) => 'vf'+i)}), {width: 806, height: 600}, {}); console.log('16 folded', performance.now()-t3);
});
