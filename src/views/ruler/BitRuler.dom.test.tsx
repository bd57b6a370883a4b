import { cleanup, fireEvent, render } from '@testing-library/react';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { commandLayout, encodeCommand } from '../../engine/smmuv3/layout/index.ts';
import { BitRuler } from './BitRuler.tsx';

afterEach(cleanup);

const words = encodeCommand('TLBI_NH_VA', { VMID: 3, ASID: 1, Address: 0x10000, Leaf: 1 });
const layout = commandLayout(words);

describe('BitRuler', () => {
  it('says each field in words, and lights up the one that is selected', () => {
    const { container, rerender } = render(
      <BitRuler layout={layout} words={words} width={290} field={null} onField={() => {}} />,
    );
    const of = (name: string): Element => container.querySelector(`[data-field="${name}"]`)!;
    expect(of('VMID').getAttribute('aria-label')).toMatch(/^VMID, bits 47:32: 3\. /);
    expect(of('VMID').getAttribute('aria-pressed')).toBe('false');
    rerender(<BitRuler layout={layout} words={words} width={290} field="VMID" onField={() => {}} />);
    expect(of('VMID').getAttribute('aria-pressed')).toBe('true');
    const bold = [...container.querySelectorAll('svg > g > text[font-weight="700"]')].map((t) => t.textContent);
    expect(bold).toEqual(['03', '00']);
  });

  it('tells which field the pointer or the keyboard is on', () => {
    const onField = vi.fn();
    const { container } = render(<BitRuler layout={layout} words={words} width={290} field={null} onField={onField} />);
    fireEvent.pointerEnter(container.querySelector('[data-field="ASID"]')!);
    expect(onField).toHaveBeenLastCalledWith('ASID');
    const svg = container.querySelector('svg')!;
    fireEvent.pointerLeave(svg);
    expect(onField).toHaveBeenLastCalledWith(null);
    svg.focus();
    expect(onField).toHaveBeenLastCalledWith('ASID');
    fireEvent.keyDown(document.activeElement!, { key: 'ArrowRight' });
    expect(onField).toHaveBeenLastCalledWith('VMID');
  });
});
