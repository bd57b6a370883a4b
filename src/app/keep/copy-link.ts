import { encodeLink, longestLink } from '../../export/link.ts';
import type { AppStore } from '../../store/index.ts';

const title = 'The link is copied';
/** Long enough to read it. */
const shownMs = 8000;

/**
 * Copies a link that holds the whole document and this position. Where it would be too long a file is offered, and where
 * the page may not write to the clipboard the link is shown.
 */
export async function copyLink(app: AppStore): Promise<void> {
  const { document: doc, place } = app.store.getState();
  if (!doc) return;
  const page = location.href.replace(/#.*$/, '');
  const fragment = encodeLink(app.engine().serialize(doc), place, longestLink - page.length - 1);
  if (fragment === null) {
    app.showDialog({ kind: 'link', link: null, characters: longestLink });
    return;
  }
  const link = `${page}#${fragment}`;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    app.showDialog({ kind: 'link', link, characters: link.length });
    return;
  }
  app.notify('info', title, [
    `It holds the whole document at this position, in ${link.length} characters. Nothing was sent anywhere.`,
  ]);
  const key = app.store.getState().notices.find((n) => n.title === title)?.key;
  if (key !== undefined) setTimeout(() => app.dismiss(key), shownMs);
}
