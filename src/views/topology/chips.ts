import { textWidth } from './measure.ts';
import type { BandBox, Chip, LayoutOptions, PlacedText } from './types.ts';

const end = (t: PlacedText): number => t.x + textWidth(t.text, t.face, t.size) * (t.face === 'title' ? 1.2 : 1);

/** The switches of all sections, side by side after what else stands on the title line of their first band. */
export function placeChips(
  sections: NonNullable<LayoutOptions['sections']>,
  bands: readonly BandBox[],
  refold: PlacedText | null,
  scale: number,
): Chip[] {
  const size = 11 * scale;
  return bands.flatMap((band, i) => {
    const before = [band.title, band.subtitle, i === 0 ? refold : null];
    let x = Math.max(...before.map((t) => (t ? end(t) : 0))) + 16 * scale;
    return sections
      .filter((s) => s.bands[0] === band.band)
      .map((s): Chip => {
        const text = `${s.folded ? '+' : '−'} ${s.name}`;
        const w = Math.ceil(textWidth(text, 'text', size)) + 12 * scale;
        const h = Math.min(size * 1.4, band.lane.h - 1);
        const y = band.lane.y + (band.lane.h - h) / 2;
        const at: PlacedText = { text, x: x + 6 * scale, y: band.title.y, size, face: 'text', anchor: 'start' };
        const chip = { section: s.name, folded: s.folded, text: at, x, y, w, h };
        x += w + 6 * scale;
        return chip;
      });
  });
}
