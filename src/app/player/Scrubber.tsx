import { type KeyboardEvent, type PointerEvent, useEffect, useMemo, useRef } from 'react';
import { bandOfOperation, bandStyle } from '../actors.ts';
import { useApp, useAppStore } from '../context.ts';
import { stepTitle } from '../describe.ts';
import { makeTrack, placeAt, positionOf } from './track.ts';

/** More marks than that would be a solid line. */
const mostMarks = 120;

/** The slider over all events, with a mark in the actor's colour at the end of each step. It moves without React. */
export function Scrubber() {
  const app = useAppStore();
  const records = useApp((s) => s.records);
  const step = useApp((s) => s.place.step);
  const track = useMemo(() => makeTrack(records.length), [records]);
  const bar = useRef<HTMLDivElement>(null);
  const done = useRef<HTMLDivElement>(null);
  const thumb = useRef<HTMLDivElement>(null);

  useEffect(() => {
    const draw = (): void => {
      const s = app.store.getState();
      const p = positionOf(track, s.place, s.lengths, app.head.getState().progress);
      if (done.current) done.current.style.transform = `scaleX(${p})`;
      if (thumb.current) thumb.current.style.left = `${p * 100}%`;
    };
    draw();
    const a = app.store.subscribe(draw);
    const b = app.head.subscribe(draw);
    return () => {
      a();
      b();
    };
  }, [app, track]);

  const seek = (e: PointerEvent<HTMLDivElement>): void => {
    const r = bar.current?.getBoundingClientRect();
    if (!r || r.width === 0) return;
    app.moveTo(placeAt(track, (e.clientX - r.left) / r.width, app.store.getState().lengths));
  };
  const onKeyDown = (e: KeyboardEvent<HTMLDivElement>): void => {
    // Up and down as for every slider; all other keys are the player's.
    if (e.key === 'ArrowUp') app.stepEvent(1, false);
    else if (e.key === 'ArrowDown') app.stepEvent(-1, false);
    else return;
    e.preventDefault();
  };
  const title = records[step] ? stepTitle(records[step].step) : '';
  return (
    <div
      className="relative flex h-8 max-[860px]:order-first max-[860px]:basis-full min-w-24 flex-1 cursor-pointer touch-none items-center rounded-md px-2.5 select-none"
      role="slider"
      tabIndex={0}
      aria-label="Position"
      aria-valuemin={0}
      aria-valuemax={Math.max(0, records.length - 1)}
      aria-valuenow={step}
      aria-valuetext={`Step ${step}: ${title}`}
      onKeyDown={onKeyDown}
      onPointerDown={(e) => {
        if (e.button !== 0) return;
        e.currentTarget.setPointerCapture(e.pointerId);
        seek(e);
      }}
      onPointerMove={(e) => {
        if (e.currentTarget.hasPointerCapture(e.pointerId)) seek(e);
      }}
    >
      <div ref={bar} className="relative h-1 w-full rounded-full bg-line-strong">
        <div ref={done} className="absolute inset-0 origin-left rounded-full bg-solid" />
        {records.length <= mostMarks &&
          records.map((r, i) => (
            <span
              // biome-ignore lint/suspicious/noArrayIndexKey: a mark is its place
              key={i}
              title={`Step ${i}: ${stepTitle(r.step)}`}
              style={{ left: `${track.ends[i]! * 100}%` }}
              className={`absolute top-1/2 size-2 -translate-1/2 rounded-full ring-2 ring-panel ${bandStyle[bandOfOperation(r.operation)].dot}`}
            />
          ))}
        <div
          ref={thumb}
          className="absolute top-1/2 size-4 -translate-1/2 rounded-full border-[2.5px] border-solid bg-panel"
        />
      </div>
    </div>
  );
}
