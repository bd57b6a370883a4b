import { performance } from 'node:perf_hooks';
import { checkScenario } from '../../engine/document/authoring.ts';
import { Session } from '../../engine/document/index.ts';
import { loadVendors } from '../../engine/machine/vendors.ts';
import type { MeasuredBenchmark } from '../bench.ts';

await loadVendors(['smmuv3']);

/** Steps of the document that is measured: a page is mapped, used three times, unmapped, over and over. */
const STEPS = 10_000;
const SEEKS = 200;

const hex = (n: number): string => `0x${n.toString(16)}`;

function document(): Parameters<typeof newSession>[0] {
  const steps: object[] = [{ do: 'guest.attach', device: 'nic0', domain: 'dma0' }];
  for (let i = 0; steps.length < STEPS; i++) {
    const iova = hex(0x10000 + (i % 64) * 4096);
    steps.push(
      { do: 'guest.map', domain: 'dma0', iova, gpa: hex(0x40200000 + (i % 512) * 4096) },
      { do: 'device.dma', device: 'nic0', iova },
      { do: 'device.dma', device: 'nic0', iova, ats: 'translated' },
      { do: 'device.dma', device: 'nic0', iova, access: 'write' },
      { do: 'guest.unmap', domain: 'dma0', iova },
    );
  }
  const r = checkScenario({
    format: 'iommuscope/1',
    title: 'benchmark',
    platform: { iommu: 'smmuv3' },
    devices: [{ name: 'nic0', rid: '0000:01:00.0' }],
    setup: 'booted',
    steps: steps.slice(0, STEPS),
  });
  if (!r.ok) throw new Error(`${r.error.path}: ${r.error.message}`);
  return r.document;
}

const newSession = (d: ConstructorParameters<typeof Session>[0]): Session => new Session(d);

/** A session that has run to its end; throws when a step did not do what it should. */
function played(): Session {
  const s = newSession(document());
  s.runAll();
  const wrong = s.steps.findIndex((r) => r.failures.length > 0 || r.crash !== undefined);
  if (wrong >= 0) throw new Error(`step ${wrong}: ${s.steps[wrong]!.result.text}`);
  return s;
}

/** Runs the document from its start to its end, with traces, hazards and checkpoints, as the page does. */
function replay(): { n: number; ns: number } {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3; i++) {
    const s = newSession(document());
    const t = performance.now();
    s.runAll();
    best = Math.min(best, performance.now() - t);
    if (s.steps.length !== STEPS + 1) throw new Error('the document did not run to its end');
  }
  return { n: STEPS, ns: (best * 1e6) / STEPS };
}

/** Times of going to steps in a scattered order, into the middle of each, sorted. */
function seekTimes(): number[] {
  const s = played();
  const times: number[] = [];
  for (let i = 0; i < SEEKS; i++) {
    const step = 1 + ((Math.imul(i + 1, 2654435761) >>> 0) % STEPS);
    const event = Math.floor(s.steps[step]!.eventCount / 2);
    const t = performance.now();
    s.platformAt(step, event);
    times.push((performance.now() - t) * 1e6);
  }
  return times.sort((a, b) => a - b);
}

let times: number[] | null = null;
const seeks = (): number[] => (times ??= seekTimes());

export const documentBenchmarks: readonly MeasuredBenchmark[] = [
  { name: 'document.replay', measured: replay },
  // The page's bar is 50 ms for any of them.
  { name: 'document.seek', measured: () => ({ n: SEEKS, ns: seeks()[Math.floor(SEEKS / 2)]! }) },
  { name: 'document.seek.worst', measured: () => ({ n: SEEKS, ns: seeks()[SEEKS - 1]! }) },
];
