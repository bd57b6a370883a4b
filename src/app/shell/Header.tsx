import type { LibraryScenario } from '../../library/index.ts';
import { isEdited, type Theme } from '../../store/index.ts';
import { appCommand, appCommands } from '../commands/app-commands.ts';
import { keyText, runCommand } from '../commands/registry.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon, type IconName } from '../Icon.tsx';
import { counterpart, openScenario } from '../start.ts';
import { CommandMenu } from './CommandMenu.tsx';

const later = 'Comes in a later version';
const vendors = [
  { id: 'smmuv3', title: 'Arm SMMUv3' },
  { id: 'vtd', title: 'Intel VT-d' },
  { id: 'amdvi', title: 'AMD-Vi' },
  { id: 'compare', title: 'Compare' },
] as const;

/** Another vendor opens with its scenario of the same title, so that the two can be compared. */
function VendorTabs({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const vendor = useApp((s) => s.document?.platform.iommu ?? 'smmuv3');
  const title = useApp((s) => s.document?.title);
  return (
    <ul aria-label="Architecture" className="hidden items-center gap-1 lg:flex">
      {vendors.map((v) => {
        const on = v.id === vendor;
        const to = on ? undefined : counterpart(scenarios, v.id, title);
        const off = !on && !to;
        return (
          // A narrow page has no room for what cannot be chosen yet.
          <li key={v.id} className={off ? 'max-[1380px]:hidden' : undefined}>
            <button
              type="button"
              aria-current={on ? 'true' : undefined}
              aria-disabled={off || undefined}
              title={off ? `${v.title}: ${later.toLowerCase()}` : to && `${v.title}: ${to.title}`}
              onClick={() => to && void openScenario(app, to)}
              className={`btn ${on ? 'border-accent bg-accent-soft font-semibold text-accent-ink' : 'border-transparent bg-transparent'}`}
            >
              {v.title}
              {off && <span className="text-2xs text-ink-3">later</span>}
            </button>
          </li>
        );
      })}
    </ul>
  );
}

const themeIcon: Readonly<Record<Theme, IconName>> = { system: 'system', light: 'sun', dark: 'moon' };
const nextTheme: Readonly<Record<Theme, Theme>> = { system: 'light', light: 'dark', dark: 'system' };

function ThemeButton() {
  const app = useAppStore();
  const theme = useApp((s) => s.settings.theme);
  const text = `Colours: ${theme}. Change to ${nextTheme[theme]}`;
  return (
    <button
      type="button"
      className="btn px-1.5"
      aria-label={text}
      title={text}
      onClick={() => app.setSettings({ theme: nextTheme[theme] })}
    >
      <Icon name={themeIcon[theme]} />
    </button>
  );
}

function CommandButton({ id, label, icon }: { id: string; label: string; icon?: IconName }) {
  const app = useAppStore();
  const command = appCommand(id);
  const enabled = useApp((s) => command.when?.(s) ?? true);
  const key = command.keys?.[0];
  return (
    <button
      type="button"
      className={icon ? 'btn px-1.5' : 'btn'}
      disabled={!enabled}
      title={key ? `${command.title} (${keyText(key)})` : command.title}
      aria-label={icon ? label : undefined}
      onClick={() => runCommand(app, command)}
    >
      {icon ? <Icon name={icon} /> : label}
    </button>
  );
}

const fileCommands = [
  'document.new',
  'document.list',
  'document.open',
  'document.save',
  'picture.svg',
  'picture.png',
  'log.paste',
];
const helpCommands = ['help.tour', 'app.keys', 'help.glossary'];
const shareAndPresent = [
  { id: 'share.copyLink', label: 'Share' },
  { id: 'present.start', label: 'Present' },
].filter((c) => appCommands.some((a) => a.id === c.id));

/** A document with a broken rule says so wherever it is shown; the badge leads to the rules. */
function BrokenRules() {
  const app = useAppStore();
  const names = useApp((s) => s.document?.platform.deviations);
  if (!names?.length) return null;
  return (
    <button
      type="button"
      className="shrink-0 rounded-full border border-stale bg-stale-soft px-2 py-0.5 text-2xs font-semibold text-stale-ink"
      title={`Broken on purpose: ${names.join(', ')}`}
      onClick={() => app.setSettings({ panel: 'machine' })}
    >
      {names.length === 1 ? '1 rule broken' : `${names.length} rules broken`}
    </button>
  );
}

export function Header({ scenarios }: { scenarios: readonly LibraryScenario[] }) {
  const app = useAppStore();
  const title = useApp((s) => s.document?.title ?? (s.started ? 'No document' : ''));
  const edited = useApp((s) => isEdited(s.history));
  const badge = useApp((s) => (s.document?.platform.deviations?.length ?? 0) > 0);
  return (
    <header className="shell-header flex items-center gap-3 border-b border-line bg-panel px-3.5 max-[860px]:flex-wrap max-[860px]:py-2">
      <div className="flex min-w-0 flex-1 items-center gap-2.5 max-[860px]:basis-full">
        <span
          aria-hidden="true"
          className="grid size-5 shrink-0 place-items-center rounded-[5px] bg-solid text-2xs font-bold text-on-solid"
        >
          io
        </span>
        {/* Beside a badge a narrow page has no room for both names; the document's tells more. */}
        <h1 className={`text-sm font-bold ${badge ? 'max-[1360px]:sr-only' : ''}`}>iommuscope</h1>
        <span className="h-5 w-px bg-line" />
        <span className="truncate text-sm font-medium" title={title}>
          {title}
        </span>
        <BrokenRules />
        {edited && <span className="text-2xs text-ink-3">edited</span>}
        <div className="flex gap-0.5">
          <CommandButton id="edit.undo" label="Undo" icon="undo" />
          <CommandButton id="edit.redo" label="Redo" icon="redo" />
        </div>
      </div>
      <VendorTabs scenarios={scenarios} />
      <div className="flex min-w-0 flex-1 items-center justify-end gap-1.5 max-[860px]:justify-start">
        <button
          type="button"
          className="btn w-44 shrink justify-start text-ink-3 max-[860px]:w-auto"
          onClick={() => app.showDialog({ kind: 'palette' })}
        >
          <Icon name="search" className="size-3.5" />
          <span className="truncate max-[860px]:sr-only">Search or run…</span>
          <kbd className="ml-auto font-sans text-2xs max-[860px]:hidden">Ctrl K</kbd>
        </button>
        <CommandMenu label="File" ids={fileCommands} />
        {shareAndPresent.map((c) => (
          <CommandButton key={c.id} {...c} />
        ))}
        <CommandMenu label="Help" ids={helpCommands} />
        <ThemeButton />
      </div>
    </header>
  );
}
