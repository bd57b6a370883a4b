import { type Speed, speeds } from '../../store/index.ts';
import { appCommand } from '../commands/app-commands.ts';
import { keyText, runCommand } from '../commands/registry.ts';
import { useApp, useAppStore } from '../context.ts';
import { Icon, type IconName } from '../Icon.tsx';
import { Scrubber } from './Scrubber.tsx';

function PlayerButton({ id, label, icon, solid }: { id: string; label: string; icon: IconName; solid?: boolean }) {
  const app = useAppStore();
  const command = appCommand(id);
  const enabled = useApp((s) => command.when?.(s) ?? true);
  const key = command.keys?.[0];
  return (
    <button
      type="button"
      className={`btn h-8 ${solid ? 'btn-solid w-11' : 'w-8 px-0'}`}
      aria-label={label}
      title={key ? `${label} (${keyText(key)})` : label}
      // The focus would be lost if the button it is on were switched off at the end.
      aria-disabled={!enabled}
      onClick={() => runCommand(app, command)}
    >
      <Icon name={icon} />
    </button>
  );
}

function Where() {
  const step = useApp((s) => s.place.step);
  const steps = useApp((s) => Math.max(0, s.lengths.length - 1));
  const event = useApp((s) => s.place.event);
  const events = useApp((s) => s.lengths[s.place.step] ?? 0);
  return (
    <div className="min-w-28 shrink-0 leading-tight whitespace-nowrap max-[860px]:min-w-0 tabular-nums">
      <div className="text-sm font-semibold">{step === 0 ? 'Setup' : `Step ${step} of ${steps}`}</div>
      <div className="text-2xs text-ink-3">{events === 0 ? 'no events' : `event ${event} of ${events}`}</div>
    </div>
  );
}

export function Player() {
  const app = useAppStore();
  const playing = useApp((s) => s.playing);
  const speed = useApp((s) => s.settings.speed);
  const loop = useApp((s) => s.settings.loop);
  return (
    <section
      aria-label="Player"
      className="flex min-h-15 items-center gap-3 border-t border-line bg-panel px-4 max-[860px]:flex-wrap max-[860px]:justify-between max-[860px]:gap-y-1 max-[860px]:py-2"
    >
      <div className="flex shrink-0 items-center gap-1">
        <PlayerButton id="player.previousStep" label="One step back" icon="stepBack" />
        <PlayerButton id="player.previousEvent" label="One event back" icon="eventBack" />
        <PlayerButton id="player.toggle" label={playing ? 'Pause' : 'Play'} icon={playing ? 'pause' : 'play'} solid />
        <PlayerButton id="player.nextEvent" label="One event forward" icon="eventNext" />
        <PlayerButton id="player.nextStep" label="One step forward" icon="stepNext" />
      </div>
      <Scrubber />
      <Where />
      <div className="flex shrink-0 items-center gap-1">
        <select
          aria-label="Speed"
          title="Speed"
          className="btn h-8 appearance-none px-2 tabular-nums"
          value={speed}
          onChange={(e) => app.setSettings({ speed: Number(e.target.value) as Speed })}
        >
          {speeds.map((v) => (
            <option key={v} value={v}>
              {v}×
            </option>
          ))}
        </select>
        <button
          type="button"
          aria-pressed={loop}
          aria-label="Loop"
          title="Loop (L)"
          className={`btn h-8 w-8 px-0 ${loop ? 'border-accent bg-accent-soft text-accent-ink' : ''}`}
          onClick={() => app.setSettings({ loop: !loop })}
        >
          <Icon name="loop" />
        </button>
        <button
          type="button"
          aria-label="Keys"
          title="Keys (?)"
          className="btn h-8 w-8 px-0"
          onClick={() => app.showDialog({ kind: 'keys' })}
        >
          ?
        </button>
      </div>
    </section>
  );
}
