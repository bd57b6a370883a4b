import { cleanup, fireEvent, render } from '@testing-library/react';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { exampleEvents } from './fixtures/events.ts';
import { exampleScene } from './fixtures/scenes.ts';
import { Topology, type TopologyProps } from './Topology.tsx';

afterEach(cleanup);

const scene = exampleScene();
const events = exampleEvents();

function draw(over: Partial<TopologyProps> = {}) {
  const props: TopologyProps = {
    scene,
    events,
    event: -1,
    progress: 1,
    hazards: [],
    selection: null,
    onSelect: () => {},
    width: 806,
    height: 600,
    ...over,
  };
  const r = render(<Topology {...props} />);
  const again = (more: Partial<TopologyProps>): void => r.rerender(<Topology {...props} {...more} />);
  const item = (key: string): SVGGElement => {
    const el = [...r.container.querySelectorAll<SVGGElement>('[data-key]')].find((e) => e.dataset.key === key);
    if (!el) throw new Error(`no ${key}`);
    return el;
  };
  const svg = r.container.querySelector('svg')!;
  return { ...r, again, item, svg };
}

describe('Topology', () => {
  it('has a named button for every object', () => {
    const { item, getByRole } = draw();
    for (const o of scene.objects) {
      expect(item(o.id).getAttribute('role')).toBe('button');
      expect(item(o.id).getAttribute('aria-label')).toContain(o.title);
    }
    expect(getByRole('group', { name: /^Topology/ })).toBeTruthy();
    expect(item('guest.cmdq[6]').getAttribute('aria-label')).toBe(
      'vCMDQ entry 6: TLBI_NH_VA asid 1 va 0x10000, pending',
    );
    expect(item('hw.iotlb#103').getAttribute('aria-label')).toBe(
      'IOTLB: VMID 3, ASID 2, VA 0x1_3000, PA 0x1_4020_3000',
    );
  });

  it('selects objects, rows and queue entries', () => {
    const onSelect = vi.fn();
    const { item } = draw({ onSelect });
    fireEvent.click(item('kernel.obj.3').querySelector('text')!);
    fireEvent.click(item('hw.iotlb#103'));
    fireEvent.click(item('guest.cmdq[6]'));
    expect(onSelect.mock.calls).toEqual([
      ['kernel.obj.3', undefined],
      ['hw.iotlb', { row: 103 }],
      ['guest.cmdq', { index: 6 }],
    ]);
  });

  it('is one stop of the tabulator, with arrow keys inside and Enter to select', () => {
    const onSelect = vi.fn();
    const player = vi.fn();
    document.addEventListener('keydown', player);
    const { svg, item } = draw({ onSelect, selection: { id: 'kernel.obj.2' } });
    expect(svg.tabIndex).toBe(0);
    fireEvent.focus(svg);
    svg.focus();
    expect(document.activeElement).toBe(item('kernel.obj.2'));
    expect(svg.tabIndex).toBe(-1);
    fireEvent.keyDown(document.activeElement!, { key: 'ArrowRight' });
    expect(document.activeElement).toBe(item('kernel.obj.3'));
    expect(player).not.toHaveBeenCalled();
    fireEvent.keyDown(document.activeElement!, { key: 'Enter' });
    expect(onSelect).toHaveBeenCalledWith('kernel.obj.3', undefined);
    fireEvent.keyDown(document.activeElement!, { key: ' ' });
    expect(player.mock.calls.map(([e]) => (e as KeyboardEvent).key)).toContain(' ');
    fireEvent.blur(document.activeElement!);
    expect(svg.tabIndex).toBe(0);
    document.removeEventListener('keydown', player);
  });

  it('asks for actions by right click and by keyboard', () => {
    const onActions = vi.fn();
    const { item } = draw({ onActions });
    const opened = !fireEvent.contextMenu(item('hw.iotlb#103'));
    expect(opened).toBe(true);
    item('kernel.obj.3').focus();
    fireEvent.keyDown(item('kernel.obj.3'), { key: 'F10', shiftKey: true });
    fireEvent.keyDown(item('kernel.obj.3'), { key: 'ContextMenu' });
    expect(onActions.mock.calls.map(([id, , part]) => [id, part])).toEqual([
      ['hw.iotlb', { row: 103 }],
      ['kernel.obj.3', undefined],
      ['kernel.obj.3', undefined],
    ]);
  });

  it('touches nothing but the message while the head moves', async () => {
    let progress = 0;
    const listeners = new Set<() => void>();
    const source = {
      get: () => progress,
      subscribe: (f: () => void) => {
        listeners.add(f);
        return () => listeners.delete(f);
      },
    };
    const { container } = draw({ event: 5, progress: source });
    const changed: string[] = [];
    const observer = new MutationObserver((l) => {
      for (const m of l) changed.push(`${(m.target as Element).tagName} ${m.attributeName ?? m.type}`);
    });
    observer.observe(container, { subtree: true, attributes: true, childList: true, characterData: true });
    for (progress = 0.1; progress < 1; progress += 0.1) for (const f of listeners) f();
    await Promise.resolve();
    expect(changed.length).toBeGreaterThan(0);
    expect(new Set(changed)).toEqual(new Set(['g style']));
  });

  it('redraws only the boxes that an event touches', async () => {
    const { again, svg, item } = draw({ event: 9 });
    const touched = new Set<string>();
    const observer = new MutationObserver((l) => {
      for (const m of l) {
        // The messages are drawn anew.
        if ((m.target as Element).closest('.topo-over')) continue;
        const box =
          (m.target as Element).closest?.('[data-key]') ?? (m.target as Element).querySelector?.('[data-key]');
        touched.add(box?.getAttribute('data-id') ?? (m.target as Element).tagName);
      }
    });
    observer.observe(svg, { subtree: true, attributes: true, childList: true, characterData: true });
    again({ event: 10 });
    await Promise.resolve();
    expect([...touched].sort()).toEqual(['hw.cmdq', 'hw.iotlb']);
    expect(item('hw.iotlb#100').getAttribute('aria-label')).toMatch(/, removed$/);
  });

  it('turns flight into its end when motion is to be reduced', () => {
    const { container } = draw({ event: 5, progress: 0, reducedMotion: true });
    const moving = [...container.querySelectorAll<SVGGElement>('.topo-over g[style]')];
    expect(moving.map((g) => g.style.opacity)).toContain('0');
    expect(moving.map((g) => g.style.transform)).toContain('translate(0.0px, 0.0px)');
    expect(container.querySelector('.topo-moving')).toBeNull();
  });

  it('shows what the step destroyed until it ends', () => {
    const now = { objects: scene.objects.filter((o) => o.id !== 'kernel.obj.12') };
    const { item, again, container } = draw();
    again({ scene: now, previousScene: scene, event: 0 });
    expect(item('kernel.obj.12').getAttribute('aria-label')).toMatch(/destroyed$/);
    again({ scene: now, previousScene: now, event: 0 });
    expect(
      [...container.querySelectorAll('[data-key]')].some((e) => e.getAttribute('data-key') === 'kernel.obj.12'),
    ).toBe(false);
  });

  it('says why a row is stale', () => {
    const hazard = (entry: number, text: string) => ({
      at: 'hw.iotlb',
      cache: 'IOTLB',
      entry,
      cells: [],
      text,
      now: '',
      missing: '',
      depends: [],
    });
    const { item } = draw({ hazards: [hazard(102, 'The guest unmapped it.'), hazard(103, 'Another page.')] });
    const title = (key: string): string => item(key).querySelector(':scope > title')!.textContent!;
    expect(title('hw.iotlb#103')).toMatch(/stale\. Another page\.$/);
    expect(title('hw.iotlb#102')).toMatch(/stale\. The guest unmapped it\.$/);
  });

  it('opens the fold and closes it', () => {
    const onFold = vi.fn();
    const many = exampleScene({ devices: Array.from({ length: 16 }, (_, i) => `vf${i}`) });
    const { item, container } = draw({ scene: many, onFold, selection: { id: 'guest.device.vf9' } });
    expect(item('guest.device.vf9')).toBeTruthy();
    expect(item('fold').getAttribute('aria-label')).toContain('vf15');
    fireEvent.click(item('fold'));
    expect(onFold).toHaveBeenCalledWith(false);
    expect(container.querySelectorAll('[data-id^="guest.device."]')).toHaveLength(16);
    expect(item('fold').getAttribute('aria-expanded')).toBe('true');
    fireEvent.click(item('fold'));
    expect(onFold).toHaveBeenLastCalledWith(true);
    expect(item('fold').getAttribute('aria-expanded')).toBe('false');
  });

  it('folds a guest and shows it again, by its switch and by its box', () => {
    const onSelect = vi.fn();
    const objects = scene.objects.map((o) =>
      o.band === 'guest' || o.band === 'vmm' ? { ...o, section: o.device === 'gpu0' ? 'vm1' : 'vm0' } : o,
    );
    const { item, svg } = draw({ scene: { objects }, onSelect, selection: { id: 'guest.cmdq' } });
    expect(item('chip:vm0').getAttribute('aria-expanded')).toBe('true');
    fireEvent.click(item('chip:vm0'));
    expect(svg.querySelector('[data-key="guest.cmdq"]')).toBeNull();
    const box = item('section:guest:vm0');
    expect(box.getAttribute('aria-label')).toContain('vm0');
    fireEvent.click(box);
    expect(item('guest.cmdq')).toBeTruthy();
    expect(onSelect).not.toHaveBeenCalled();
  });
});
