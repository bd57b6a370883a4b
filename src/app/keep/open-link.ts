import { decodeLink } from '../../export/link.ts';
import type { AppStore } from '../../store/index.ts';

/** Opens what a link holds as a local document of its own; what was open is kept. A bad link changes nothing. */
export async function openLink(app: AppStore, data: string): Promise<boolean> {
  const link = decodeLink(data);
  if (!link.ok) {
    app.notify('error', 'The link was not opened', [link.problem, link.remedy]);
    return false;
  }
  await app.engine().loadChecks(link.text);
  const opened = app.open(link.text, 'The link', null, link.place);
  if (opened) app.setSettings({ panel: 'steps' });
  return opened;
}
