import { useApp, useAppStore } from '../context.ts';
import { Dialog } from '../Dialog.tsx';
import { formsOf } from './forms.ts';
import { OperationForm } from './OperationForm.tsx';

/** The form of one operation in a window: from the palette. */
export function OperationDialog({ name, values }: { name: string; values?: Readonly<Record<string, unknown>> }) {
  const app = useAppStore();
  const vendor = useApp((s) => s.document?.platform.iommu ?? '');
  const form = formsOf(vendor).find((f) => f.name === name);
  const close = (): void => app.showDialog(null);
  if (!form) return null;
  return (
    <Dialog title={form.title} width="w-[30rem]" onClose={close}>
      <div className="scroll-thin overflow-y-auto p-4">
        <p className="mb-3 text-ink-2">{form.about}</p>
        <OperationForm form={form} values={values} onRun={close} />
      </div>
    </Dialog>
  );
}
