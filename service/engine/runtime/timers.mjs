// Timers without time: nobody waits for them, but they fire in their order, one by one, once all else has been done.
const NEVER = 2 ** 31;

/** `{id, at, every, run}`, in no order. */
let waiting = [];
let now = 0;
let latest = 0;

/** Forgets what earlier calls have left. */
export function reset() {
  [waiting, now] = [[], 0];
}

function add(run, milliseconds, values, repeats) {
  if (typeof run !== 'function') throw new TypeError('The "callback" argument must be of type function');
  const delay = Number(milliseconds);
  const every = delay >= 1 && delay < NEVER ? Math.trunc(delay) : 1;
  waiting.push({ id: ++latest, at: now + every, every: repeats ? every : 0, run: () => run(...values) });
  return latest;
}

function remove(id) {
  waiting = waiting.filter((timer) => timer.id !== id);
}

/** Fires the next timer; false if there is none. Throws what it throws. */
export function fire() {
  if (!waiting.length) return false;
  const next = waiting.reduce((first, timer) => (timer.at < first.at ? timer : first));
  now = next.at;
  if (next.every) next.at += next.every;
  else remove(next.id);
  next.run();
  return true;
}

export const globals = {
  setTimeout: (run, milliseconds, ...values) => add(run, milliseconds, values, false),
  setInterval: (run, milliseconds, ...values) => add(run, milliseconds, values, true),
  setImmediate: (run, ...values) => add(run, 0, values, false),
  clearTimeout: remove,
  clearInterval: remove,
  clearImmediate: remove,
  queueMicrotask(run) {
    if (typeof run !== 'function') throw new TypeError('The "callback" argument must be of type function');
    Promise.resolve().then(() => run());
  },
};
