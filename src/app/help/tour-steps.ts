import type { AppStore, State } from '../../store/index.ts';
import { appCommand } from '../commands/app-commands.ts';

/** One stop of the tour: something real to look at, and something real to do there. */
export interface TourStop {
  readonly title: string;
  /** Markdown. */
  readonly text: string;
  /** What it is about, on the page. */
  readonly target: string;
  /** Does it for who wants to see it done. */
  readonly act?: { readonly title: string; readonly run: (app: AppStore) => void };
  /** True once the person has done it; the tour then says so. */
  readonly done?: (s: State) => boolean;
  /** What the page must show for it. */
  readonly before?: (app: AppStore) => void;
}

/** The scenario that the tour plays. */
export const tourScenario = 'smmuv3-map-unmap';
/** The rule that it breaks, and the step that shows the harm. */
export const tourRule = 'guest.no-atc-inv';

const steps = (app: AppStore): void => app.setSettings({ panel: 'steps' });
const broken = (s: State): boolean => s.document?.platform.deviations?.includes(tourRule) ?? false;
const firstHazard = (s: State): number => s.records.findIndex((r) => r.hazards.length > 0);

export const tourStops: readonly TourStop[] = [
  {
    title: 'Four bands, one message',
    text: 'From top to bottom: **guest**, **VMM**, **host kernel**, **hardware**. What a guest does falls through them, and is rewritten on its way. The tour takes about five minutes; Escape leaves it, and Help takes you back to the same place.',
    target: '.shell-topology',
    before: steps,
  },
  {
    title: 'Play',
    text: 'Every step is one operation. Press **Play** (or Space) and watch the guest attach a device and map a page.',
    target: '.shell-main > [aria-label="Player"]',
    done: (s) => s.playing || s.place.step > 1 || s.place.event > 0,
    act: { title: 'Play', run: (app) => app.play() },
  },
  {
    title: 'Step by event',
    text: '`→` goes forward by one event, `←` back; with Shift by a whole step. Nothing happens in between: each event is one write, trap, call, command or cache entry.',
    target: '.shell-main > [aria-label="Player"]',
    act: { title: 'One event', run: (app) => appCommand('player.nextEvent').run(app) },
    before: (app) => app.pause(),
  },
  {
    title: 'Select anything',
    text: 'Click an object, a queue entry or a cache row. The inspector shows its bytes, bit by bit, as they lie in simulated memory.',
    target: '.shell-topology',
    done: (s) => s.selection !== null,
    act: {
      title: 'Select the last object of the hardware',
      run: (app) => {
        const s = app.store.getState();
        const scene = app.simulation()?.scene(s.place);
        const ste = scene?.objects.findLast((o) => o.band === 'hardware');
        if (ste) app.select({ id: ste.id });
      },
    },
  },
  {
    title: 'Break a rule',
    text: `Rules are what drivers must keep. Break **${tourRule}**: the guest’s driver then forgets the device’s own cache when it unmaps. The same steps run again without it.`,
    target: '.shell-left',
    before: (app) => app.setSettings({ panel: 'machine' }),
    done: broken,
    act: {
      title: 'Break it',
      run: (app) => {
        const platform = app.store.getState().document?.platform;
        if (!platform || broken(app.store.getState())) return;
        const deviations = [...(platform.deviations ?? []), tourRule];
        app.changeMachine({ platform: { ...platform, deviations } }, `Break ${tourRule}`);
      },
    },
  },
  {
    title: 'See the hazard',
    text: 'A cached entry that a fresh walk would not give any more is **stale**: the device still reaches memory that was taken back. The inspector names the entry, the write that made it stale and the command that is missing.',
    target: '.shell-inspector',
    before: (app) => {
      app.setSettings({ panel: 'steps', inspectorOpen: true });
      app.select(null);
    },
    done: (s) => (s.records[s.place.step]?.hazards.length ?? 0) > 0,
    act: {
      title: 'Go to the step',
      run: (app) => {
        const s = app.store.getState();
        const step = firstHazard(s);
        if (step >= 0) app.moveTo({ step, event: s.lengths[step]! });
      },
    },
  },
  {
    title: 'Mend it',
    text: 'The hazard offers the command that was forgotten. Send it, and the entry goes. Undo (Ctrl Z) takes back whatever you did.',
    target: '.shell-inspector',
  },
  {
    title: 'Share it',
    text: 'The whole document fits into a link: nothing is sent to a server. **Share** copies it; **File** saves it or makes a picture of it. **Present** shows the steps as slides.',
    target: '.shell-header',
  },
  {
    title: 'That is all',
    text: '`?` shows the keys, `Ctrl K` finds every operation, event and address, and the glossary under **Help** explains the words. Change something and see what follows.',
    target: '.shell-topology',
  },
];
