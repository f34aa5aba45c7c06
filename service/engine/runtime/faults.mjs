// What went wrong, in the author's terms.
const LONGEST = 500;

/** A fault whose place is known. */
export class Fault extends Error {
  constructor(message, file = '', line = 0, column = 0) {
    super(message);
    Object.assign(this, { file, line, column });
  }
}

// React's own words for what authors meet most; its build for production has only numbers.
const REACT_ERRORS = {
  31: (what) => `an object is not something to show (found: ${what}); show one of its properties, or an array`,
  130: (what) => `what is used as a component is ${what || 'nothing'}: is it exported by the file or package that it is imported from?`,
  152: (what) => `${what} returns nothing: a component must return an element, a string or null`,
};

/** Message and place of anything that was thrown: the innermost frame in one of these files, of `components` if need be. */
export function describe(thrown, files, prefix, components = '') {
  try {
    if (thrown instanceof Fault) {
      return { message: thrown.message, file: thrown.file, line: thrown.line, column: thrown.column };
    }
    if (!(thrown instanceof Error)) return { message: `threw ${String(thrown).slice(0, LONGEST)}`, file: '', line: 0, column: 0 };
    const place = placeOf(String(thrown.stack), files, prefix) ?? placeOf(components, files, prefix);
    const inside = place ? null : /\n\s+at ([A-Z]\w*)/.exec(components);
    return { message: text(thrown) + (inside ? ` (in <${inside[1]}>)` : ''), ...(place ?? { file: '', line: 0, column: 0 }) };
  } catch {
    return { message: 'threw something that cannot be described', file: '', line: 0, column: 0 };
  }
}

function text(error) {
  const [name, message] = [String(error.name), String(error.message)];
  if (name === 'RangeError' && message.includes('call stack')) return 'calls itself too deeply';
  const coded = /^Minified React error #(\d+); visit \S+?(?:\?args\[\]=([^&\s]*))?[&\s]/.exec(message);
  if (coded && Object.hasOwn(REACT_ERRORS, coded[1])) return REACT_ERRORS[coded[1]](decodeURIComponent(coded[2] ?? ''));
  return (name === 'Error' ? message || name : `${name}: ${message}`).slice(0, LONGEST);
}

function placeOf(stack, files, prefix) {
  for (const frame of stack.split('\n')) {
    const found = /(?:\(|at )(?:async )?([^()]+?)(?:, <anonymous>)?:(\d+):(\d+)\)?$/.exec(frame);
    if (!found || !files.has(found[1])) continue;
    const [line, column] = [Number(found[2]), Number(found[3])];
    return { file: found[1], line, column: line === 1 ? Math.max(column - prefix, 1) : column };
  }
  return null;
}
