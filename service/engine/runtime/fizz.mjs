// React's server renderer without stream comments, and with patience: it waits for what suspends.
import { internals, shared } from 'fizz';

export { shared };

const DOCTYPE =
  '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">';
const PRELOAD = /\brel\s*=\s*["']?preload\b/i;
const OF_IMAGE = /\bas\s*=\s*["']?image\b/i;

/** Start to render an element. What is not done at once goes on in microtasks. */
export function begin(element) {
  const work = { failed: false, error: undefined, components: '', request: null, waiting: null };
  const resumable = internals.createResumableState(undefined);
  work.request = internals.createRequest(
    element, resumable, internals.createRenderState(resumable, true), internals.createFormatContext(0, null, 0, null),
    Infinity,
    (error, { componentStack }) => {
      if (!work.failed) [work.failed, work.error, work.components] = [true, error, componentStack ?? ''];
      work.waiting?.();
    },
    undefined, () => work.waiting?.(),
  );
  internals.performWork(work.request);
  if (work.request.status === 10) work.request.status = 11;
  return work;
}

export const isDone = (work) => work.failed || work.request.allPendingTasks === 0;

/** Let it be: what it waits for may still come, but nothing is rendered then. */
export function abandon(work) {
  work.request.status = 13; // closed
}

export function settled(work) {
  return isDone(work) ? Promise.resolve() : new Promise((resolve) => { work.waiting = resolve; });
}

/** The document. Throws what a component threw, wherever in the tree. */
export function finish(work) {
  let html = '';
  if (!work.failed) {
    internals.startFlowing(work.request, {
      push(chunk) { if (chunk !== null) html += chunk; return true; },
      destroy(error) { [work.failed, work.error] = [true, error]; },
    });
  }
  if (work.failed) throw work.error;
  return DOCTYPE + withoutPreloads(html).replace(/<!DOCTYPE.*?>/, '');
}

function withoutPreloads(html) {
  if (!html.includes('preload')) return html;
  return html.replace(/<link\b[^>]*\/?>/gi, (tag) => (PRELOAD.test(tag) && OF_IMAGE.test(tag) ? '' : tag));
}
