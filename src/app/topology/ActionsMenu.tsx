import type { ObjectAction } from '../../store/index.ts';
import { useAppStore } from '../context.ts';
import { Menu } from '../Menu.tsx';

interface Props {
  readonly anchor: DOMRect;
  readonly actions: readonly ObjectAction[];
  readonly onClose: () => void;
}

/** What can be done with an object, beside it. */
export function ActionsMenu({ anchor, actions, onClose }: Props) {
  const app = useAppStore();
  const items = [
    ...actions.map((a) => ({ title: a.title, run: () => app.runOperation(a.step, a.title) })),
    { title: 'Inspect', apart: true, run: () => app.setSettings({ inspectorOpen: true }) },
  ];
  return <Menu label="What can be done here" anchor={anchor} items={items} onClose={onClose} />;
}
