import { type FormEvent, useMemo, useState } from 'react';
import type { Layout } from '../../engine/bits/index.ts';
import type { OperationForm as Form, Step } from '../../engine/document/index.ts';
import { checkStep } from '../../store/checks.ts';
import { useApp, useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';
import { CommandFields } from './CommandFields.tsx';
import { commandName, commandOf, firstFields, initialValues, shownFields, stepOfForm } from './form-values.ts';
import { OperationField } from './OperationFields.tsx';

interface Props {
  readonly form: Form;
  readonly values?: Readonly<Record<string, unknown>>;
  /** Called when the operation was taken (it may still ask before it cuts). */
  readonly onRun?: () => void;
}

type Command = Readonly<Record<string, unknown>>;

const noErrors: ReadonlyMap<string, string> = new Map();

function startLayout(layouts: readonly Layout[], command: Command | undefined): Layout | null {
  const named = (name: string): Layout | undefined => layouts.find((l) => commandName(l) === name.replace(/^CMD_/, ''));
  const usual = ['TLBI_NH_VA', 'P_IOTLB_INV'].map(named).find((l) => l !== undefined);
  return named(String(command?.['name'] ?? '')) ?? usual ?? layouts[0] ?? null;
}

const startFields = (command: Command | undefined): Record<string, string> =>
  Object.fromEntries(
    Object.entries(command ?? {})
      .filter(([k]) => k !== 'name')
      .map(([k, v]) => [k, String(v)]),
  );

/** An operation's fields, checked while they are typed. Running it adds it as a step after the playing head. */
export function OperationForm({ form, values: given, onRun }: Props) {
  const app = useAppStore();
  const doc = useApp((s) => s.document);
  const at = useApp((s) => s.place.step);
  const [changed, setChanged] = useState<Readonly<Record<string, string | boolean>>>({});
  const start = useMemo(() => (doc ? initialValues(form, doc, at, given) : {}), [form, doc, at, given]);
  const values = { ...start, ...changed };

  const hasCommand = form.fields.some((f) => f.name === 'command');
  const layouts = app.simulation()?.vendor.commands ?? [];
  const givenCommand = given?.['command'] as Command | undefined;
  const [layout, setLayout] = useState(() => (hasCommand ? startLayout(layouts, givenCommand) : null));
  const [command, setCommand] = useState<Readonly<Record<string, string>>>(() =>
    givenCommand ? startFields(givenCommand) : firstFields(layout),
  );
  const [pressed, setPressed] = useState(false);
  if (!doc) return null;

  const raw = String(values['bytes'] ?? '').trim() !== '';
  const built = layout && !raw ? commandOf(layout, command) : null;
  const { step, errors: fieldErrors } = stepOfForm(form, values, built?.command ?? null);
  const errors = new Map(fieldErrors);
  if (errors.size === 0 && !built?.errors.size) {
    const checked = checkStep(doc, at, step);
    if (!checked.ok) errors.set(/^[A-Za-z]+/.exec(checked.problem.path)?.[0] ?? '', checked.problem.text);
  }
  const bad = errors.size > 0 || (built?.errors.size ?? 0) > 0;
  const general = [...errors].filter(([name]) => !form.fields.some((f) => f.name === name)).map(([, text]) => text);
  // What is merely empty is not yet wrong.
  const shownError = (name: string): string | undefined => {
    const text = errors.get(name);
    return text === 'needed' && !pressed && changed[name] === undefined ? undefined : text;
  };

  const submit = (e: FormEvent): void => {
    e.preventDefault();
    setPressed(true);
    if (bad) return;
    const ready = step as unknown as Step;
    onRun?.();
    app.runOperation(ready, stepTitle(ready));
  };
  return (
    <form className="space-y-3" onSubmit={submit} noValidate>
      {shownFields(form, doc).map((f) =>
        f.name === 'command' && layout ? (
          !raw && (
            <CommandFields
              key={f.name}
              layouts={layouts}
              layout={layout}
              values={command}
              errors={built?.errors ?? noErrors}
              onLayout={(l) => {
                setLayout(l);
                setCommand({ ...firstFields(l), ...command });
              }}
              onValue={(name, v) => setCommand({ ...command, [name]: v })}
            />
          )
        ) : (
          <OperationField
            key={f.name}
            field={f}
            doc={doc}
            values={values}
            value={values[f.name] ?? ''}
            error={shownError(f.name)}
            onChange={(v) => setChanged({ ...changed, [f.name]: v })}
          />
        ),
      )}
      {general.map((text) => (
        <p key={text} role="alert" className="text-xs text-removed-ink">
          {text}
        </p>
      ))}
      <button type="submit" className="btn btn-primary h-8 w-full" aria-disabled={bad}>
        Run after {at === 0 ? 'the setup' : `step ${at}`}
      </button>
    </form>
  );
}
