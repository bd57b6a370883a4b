import { loadVendors } from '../../engine/machine/vendors.ts';
import type { LibraryScenario } from '../../library/index.ts';
import { useApp, useAppStore } from '../context.ts';
import { TourPlace } from '../help/TourPlace.tsx';
import { InspectorPanel } from '../inspector/InspectorPanel.tsx';
import { late } from '../lazy.tsx';
import { Player } from '../player/Player.tsx';
import { Strip } from '../strip/Strip.tsx';
import { TopologyPane } from '../topology/TopologyPane.tsx';
import { Announcer } from './Announcer.tsx';
import { Header } from './Header.tsx';
import { LeftPanel } from './LeftPanel.tsx';
import { Notices } from './Notices.tsx';
import { Working } from './Working.tsx';

const Palette = late(() => import('../palette/Palette.tsx').then((m) => m.Palette));
const KeysDialog = late(() => import('./KeysDialog.tsx').then((m) => m.KeysDialog));
const GlossaryDialog = late(() => import('../help/GlossaryDialog.tsx').then((m) => m.GlossaryDialog));
const Presentation = late(() => import('../present/Presentation.tsx').then((m) => m.Presentation));
const LogDialog = late(async () => {
  // A log can be of any vendor.
  const [m] = await Promise.all([import('../logs/LogDialog.tsx'), loadVendors()]);
  return m.LogDialog;
});
const OperationDialog = late(() => import('../operations/OperationDialog.tsx').then((m) => m.OperationDialog));
const DocumentsDialog = late(() => import('../keep/DocumentsDialog.tsx').then((m) => m.DocumentsDialog));
const LinkDialog = late(() => import('../keep/LinkDialog.tsx').then((m) => m.LinkDialog));
const PictureDialog = late(() => import('../keep/PictureDialog.tsx').then((m) => m.PictureDialog));
const CutDialog = late(() => import('./CutDialog.tsx').then((m) => m.CutDialog));

function Dialogs({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const dialog = useApp((s) => s.dialog);
  const cut = useApp((s) => s.cut);
  return (
    <>
      {dialog?.kind === 'palette' && <Palette scenarios={scenarios} />}
      {dialog?.kind === 'keys' && <KeysDialog />}
      {dialog?.kind === 'glossary' && <GlossaryDialog term={dialog.term} />}
      {dialog?.kind === 'documents' && <DocumentsDialog scenarios={scenarios} />}
      {dialog?.kind === 'link' && <LinkDialog link={dialog.link} characters={dialog.characters} />}
      {dialog?.kind === 'picture' && <PictureDialog format={dialog.format} />}
      {dialog?.kind === 'log' && <LogDialog text={dialog.text ?? ''} />}
      {dialog?.kind === 'operation' && <OperationDialog key={dialog.name} name={dialog.name} values={dialog.values} />}
      {cut && <CutDialog question={cut} />}
    </>
  );
}

/** The page: header, steps, topology with the strip and the player below it, inspector. Only its panels scroll. */
function Page({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const inspector = useApp((s) => s.settings.inspectorOpen);
  const strip = useApp((s) => s.settings.stripOpen);
  const large = useApp((s) => s.settings.large && s.settings.stripOpen);
  return (
    <div className="shell" data-inspector={inspector} data-strip={strip} data-large={large}>
      <Header scenarios={scenarios} />
      <LeftPanel scenarios={scenarios} />
      <main className="shell-main" aria-label="Diagram and views">
        {!large && <TopologyPane />}
        <Strip />
        <Player />
      </main>
      {inspector && <InspectorPanel onClose={() => app.setSettings({ inspectorOpen: false })} />}
    </div>
  );
}

/** The page, or the slides of a presentation; messages, windows and what is read aloud belong to both. */
export function Shell({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const presenting = useApp((s) => s.presenting !== null);
  return (
    <>
      {presenting ? <Presentation /> : <Page scenarios={scenarios} />}
      <Notices />
      <Working />
      <Announcer />
      <Dialogs scenarios={scenarios} />
      <TourPlace />
      <div className="drop-hint" aria-hidden="true">
        Drop a document or a log
      </div>
    </>
  );
}
