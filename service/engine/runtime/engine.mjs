// The engine's calls, as the host sees them: strings in, one string out, whose first letter says what it is.
//   d  done; of a render what follows is `{length of subject} {length of text}:{subject}{text}{html}`, lengths in code points;
//      -1 for the text: there is one, and it is not known here
//   p  pending: call `resume` once the microtasks have run, as often as this is the answer
//   f  failed: JSON {message, file, line, column}
//   s  Tailwind has been set up for this template, which takes longer than a render may: now ask again. A few times per revision,
//      for one that has several <Tailwind>
//   u  unknown revision
import './shims.mjs';
import { jsx } from 'react/jsx-runtime';
import warmUp from './warm-up.tsx';
import * as bake from './bake.mjs';
import { compile } from './compile.mjs';
import { Fault, assignment, declaration, describe } from './faults.mjs';
import * as fizz from './fizz.mjs';
import { lock } from './lockdown.mjs';
import * as revisions from './revisions.mjs';
import { plain } from './text.mjs';
import { belongTo, setupsBegun } from './tailwind.mjs';
import * as timers from './timers.mjs';

const NOTHING = new Map();
const PAIRS = /[\ud800-\udbff][\udc00-\udfff]/g;
let largest = 2 ** 21;
/** The call that waits for microtasks: `{revision, finish}`. */
let pending = null;
/** How often revisions have had the answer `s`. */
const setUp = new Map();
const MOST_SET_UP = 4096;
const MOST_SETUPS = 4; // of a revision: one that makes a configuration of its own in each render has no end of them
const SOON = 50; // milliseconds after which there may be no time to render again, to see where a fault is

/** The fault of a call. `work` is what was being rendered, if it came to that. */
function failed(error, revision, work, again) {
  return `f${JSON.stringify(describe(error, revision?.files ?? NOTHING, revisions.PREFIX.length, work?.components, again))}`;
}

/** A call with everything around it that each one needs. */
function guarded(revision, work) {
  pending = null;
  try {
    return work();
  } catch (error) {
    return failed(error, revision);
  }
}

/** Renders, or begins to. */
function render(digest, data, extra) {
  const revision = revisions.get(digest);
  if (!revision) return 'u';
  timers.reset();
  return guarded(revision, () => {
    belongTo(digest);
    const component = revision.component();
    const props = data === '' ? previewProps(revision, component) : { ...JSON.parse(extra), ...JSON.parse(data) };
    const given = revision.exports.subject ?? component.subject ?? '';
    const subject = { value: typeof given === 'function' ? given(props) : given, settled: true, error: null };
    if (typeof subject.value?.then === 'function') wait(subject);
    const [begun, start] = [setupsBegun(), Date.now()];
    const begin = () => fizz.begin(jsx(component, props));
    const work = begin();
    if (setupsBegun() > begun && mayAskAgain(digest)) {
      fizz.abandon(work);
      return 's';
    }
    const again = () => Date.now() - start < SOON && fizz.abandon(begin());
    return finishOrWait({ revision, subject, work, again });
  });
}

function mayAskAgain(digest) {
  const times = setUp.get(digest) ?? 0;
  if (times === MOST_SETUPS) return false;
  if (setUp.size >= MOST_SET_UP) setUp.clear();
  setUp.set(digest, times + 1);
  return true;
}

const example = (revision, component) => component.PreviewProps ?? revision.exports.PreviewProps;

/** The example's props, none if there is no example. Throws Fault for what is no object. */
function previewProps(revision, component) {
  const props = example(revision, component) ?? {};
  if (typeof props === 'object' && !Array.isArray(props)) return { ...props };
  const { line, column } = assignment('PreviewProps', revision.entry, revision.files) ?? {};
  throw new Fault(`\`PreviewProps\` must be an object of props, not ${Array.isArray(props) ? 'an array' : `a ${typeof props}`}`, revision.entry, line, column);
}

function wait(subject) {
  subject.settled = false;
  subject.value.then(
    (value) => Object.assign(subject, { value, settled: true }),
    (error) => Object.assign(subject, { error: { thrown: error }, settled: true }),
  );
}

function finishOrWait(call) {
  const { revision, subject, work } = call;
  if (!subject.settled || !fizz.isDone(work)) {
    pending = call;
    return 'p';
  }
  if (subject.error) throw subject.error.thrown;
  if (typeof subject.value !== 'string' && typeof subject.value !== 'number') {
    const { line, column } = declaration('subject', revision.entry, revision.files) ?? {};
    throw new Fault('`subject` must be a string, or a function that returns one', revision.entry, line, column);
  }
  const title = String(subject.value);
  if (work.failed) return failed(work.error, revision, work, call.again);
  const html = fizz.finish(work);
  if (title.length + html.length > largest) throw new Fault(`makes more than ${largest} characters`, revision.entry);
  const text = plain(html);
  return `d${codePoints(title)} ${text === null ? -1 : codePoints(text)}:${title}${text ?? ''}${html}`;
}

const codePoints = (text) => text.length - (text.match(PAIRS)?.length ?? 0);

function resume() {
  const call = pending;
  return guarded(call.revision, () => {
    const answer = finishOrWait(call);
    if (answer === 'p' && !timers.fire()) throw new Fault('waits for something that never comes: there is no network here', call.revision.entry);
    return answer;
  });
}

globalThis.__mailboat = {
  /** Compiles `{entry, files}`; what follows `d` is JSON: code by file. */
  compile: (json) => guarded(null, () => {
    const { entry, files } = JSON.parse(json);
    return `d${JSON.stringify(compile(entry, files))}`;
  }),
  /** Keeps `{entry, codes}` ready and runs its modules. `d1`: there is an example to render, `d0`: there is none. */
  define: (digest, json) => {
    const { entry, codes } = JSON.parse(json);
    const revision = revisions.add(digest, entry, codes);
    const answer = guarded(revision, () => ((example(revision, revision.component()) ?? null) !== null ? 'd1' : 'd0'));
    if (answer[0] === 'f') revisions.remove(digest);
    return answer;
  },
  /** Renders with data (a JSON object; '' for the example), to which `extra` (another) lends what it lacks. */
  render,
  resume,
  /** Tailwind for a template that is not React: `bake.begin` with a request, `bake.finish` without, until it is not `p`. */
  bake: (json) => guarded(null, () => {
    if (json !== '') {
      bake.begin(json);
      return 'p';
    }
    const baked = bake.finish();
    return baked ? `d${JSON.stringify(baked)}` : 'p';
  }),
  /** Compiles, defines and renders a mail of its own, so that no author's pays for the first time. */
  warmUp: (digest) => {
    revisions.add(digest, 'warm-up.tsx', compile('warm-up.tsx', { 'warm-up.tsx': warmUp }));
    return render(digest, '', '{}');
  },
  /** Ends the preparations: `{environment, largest}` are for good, and everything within reach is frozen. */
  lock: (json) => {
    const settings = JSON.parse(json);
    largest = settings.largest;
    revisions.provide(settings.environment);
    lock(revisions.reachable);
  },
};
