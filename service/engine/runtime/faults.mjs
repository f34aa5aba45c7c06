// What went wrong, in the author's terms.
import { sourceColumn } from './maps.mjs';
import { isRelative, resolve } from './paths.mjs';

const LONGEST = 500;
const LONGEST_OWN = 5000;
const FRAME = /(?:\(|at )(?:async )?([^()]+?)(?:, <anonymous>)?:(\d+):(\d+)\)?$/;
/** A component in React's stack; react-email's own have lost their names, but for a letter or two. */
const NAMED = /\n\s+at ([A-Z]\w{2,})/;
/** What V8 says of a class that React calls, since it is none of React's. */
const NO_FUNCTION = /Class constructor (\w+) cannot be invoked without 'new'/;
const NOWHERE = { file: '', line: 0, column: 0 };

/** A fault whose place is known. */
export class Fault extends Error {
  constructor(message, file = '', line = 0, column = 0) {
    super(message);
    Object.assign(this, { file, line, column });
  }
}

// What browsers and Node have, and a template has not.
const NOT_HERE = {
  fetch: 'there is no network in a template, what it needs is given to it as data',
  window: 'a template runs in no browser',
  document: 'a template runs in no browser',
  Buffer: 'this is not Node, but there are TextEncoder, btoa and atob',
  crypto: 'make what is random where the mail is sent, and give it to the template as data',
};

// React's own words for what authors meet most; its build for production has only numbers.
const REACT_ERRORS = {
  31: (what) => `an object is not something to show (found: ${what}); show one of its properties, or an array`,
  60: () => 'an element has either children or `dangerouslySetInnerHTML`, not both',
  61: () => '`dangerouslySetInnerHTML` must be an object: {{ __html: … }}',
  62: () => '`style` must be an object of properties, not a string: {{ color: "red" }}',
  130: (what) => `what is used as a component is ${what || 'nothing'}: is it exported by the file or package that it is imported from?`,
  152: (what) => `${what} returns nothing: a component must return an element, a string or null`,
  321: () => 'hooks can be used only inside of a component, while it is rendered',
  399: (what) => `<${what}> is a void element: it can have neither children nor \`dangerouslySetInnerHTML\``,
  460: () => '`use` threw, and this was caught: do not wrap it in try/catch',
  482: () => 'an async component is used where it cannot be waited for',
};

/**
 * Message and place of anything that was thrown: the innermost frame in one of these files. What React or react-email
 * throws has none: then `again` renders once more, to see where the element was written; else it is where its component is.
 */
export function describe(thrown, files, prefix, components = '', again = null) {
  const { message, file, line, column } = described(thrown, files, prefix, components, again);
  return { message: message.toWellFormed(), file: file.toWellFormed(), line: number(line), column: number(column) };
}

/** A line or column that the host can read: a template may write a stack of its own. */
const number = (value) => (value > 0 && value < 2 ** 31 ? Math.trunc(value) : 0);

function described(thrown, files, prefix, components, again) {
  try {
    if (thrown instanceof Fault) {
      return { message: `${thrown.message}`.slice(0, LONGEST_OWN), file: `${thrown.file}`.slice(0, LONGEST), line: Number(thrown.line), column: Number(thrown.column) };
    }
    if (!(thrown instanceof Error)) {
      return { message: `threw ${String(thrown).slice(0, LONGEST)}`, ...(authored(placeOf(components, files, prefix), files) ?? definition(components, files) ?? NOWHERE) };
    }
    const thrownAt = placeOf(String(thrown.stack), files, prefix);
    const message = (thrownAt && explained(thrown, thrownAt, files)) ?? text(thrown);
    const place = thrownAt ?? (again && written(message, files, prefix, again)) ?? placeOf(components, files, prefix);
    if (place) return { message, ...authored(place, files) };
    const uncallable = NO_FUNCTION.exec(message)?.[1];
    const declared = uncallable && [...files.keys()].map((file) => declaration(uncallable, file, files)).find(Boolean);
    if (declared) return { message: `${uncallable} is a class, but no component: extend React.Component, or write a function`, ...declared };
    const inside = NAMED.exec(components);
    return { message: message + (inside ? ` (in <${inside[1]}>)` : ''), ...(definition(components, files) ?? NOWHERE) };
  } catch {
    return { message: 'threw something that cannot be described', ...NOWHERE };
  }
}

function text(error) {
  const [name, message] = [String(error.name), String(error.message)];
  if (name === 'RangeError' && message.includes('call stack')) return 'calls itself too deeply';
  if (/^Cannot read properties of null \(reading 'use\w*'\)/.test(message)) return REACT_ERRORS[321]();
  const coded = /^Minified React error #(\d+); visit \S+?(?:\?args\[\]=([^&\s]*))?[&\s]/.exec(message);
  if (coded && Object.hasOwn(REACT_ERRORS, coded[1])) return REACT_ERRORS[coded[1]](decodeURIComponent(coded[2] ?? ''));
  const missing = name === 'ReferenceError' && /^(\w+) is not defined$/.exec(message)?.[1];
  if (missing && Object.hasOwn(NOT_HERE, missing)) return `${missing} is not defined: ${NOT_HERE[missing]}`;
  return (name === 'Error' ? message || name : `${name}: ${message}`).slice(0, LONGEST);
}

/** The innermost frame in one of these files: where in the code that was made of it. */
function placeOf(stack, files, prefix) {
  for (const frame of stack.split('\n')) {
    const found = FRAME.exec(frame);
    if (!found || !files.has(found[1])) continue;
    const [line, column] = [Number(found[2]), Number(found[3])];
    return { file: found[1], line, column: line === 1 ? Math.max(column - prefix, 1) : column };
  }
  return null;
}

/** The same place in the author's source. */
function authored(place, files) {
  return place && { ...place, column: sourceColumn(files.get(place.file), place.line, place.column) };
}

/** Where the innermost of these components is defined, for what React finds fault with itself. */
function definition(components, files) {
  for (const [, name] of components.matchAll(new RegExp(NAMED, 'g'))) {
    for (const file of files.keys()) {
      const place = declaration(name, file, files);
      if (place) return place;
    }
  }
  return null;
}

/** Where a file declares a name, or null. */
export const declaration = (name, file, files) => firstMatch(`\\b(?:function|class|const|let|var)\\s+${name}\\b`, file, files);

/** Where a file gives a name its value, or null. */
export const assignment = (name, file, files) => firstMatch(`\\b${name}\\s*=(?!=)`, file, files);

function firstMatch(pattern, file, files) {
  const code = files.get(file);
  const found = new RegExp(pattern).exec(code);
  if (!found) return null;
  const before = code.slice(0, found.index).split('\n');
  return authored({ file, line: before.length, column: before.at(-1).length + 1 }, files);
}

/** Better words for what is undefined since an import is: V8 tells of the code that was made of it. */
function explained(error, place, files) {
  const line = files.get(place.file).split('\n')[place.line - 1] ?? ''; // a template may write a stack of its own
  const at = place.column - 1;
  const [before, after] = [line.slice(Math.max(at - LONGEST, 0), at), line.slice(at, at + LONGEST)];
  const message = String(error.message);
  if (error instanceof NoComponent) {
    const used = /^call\(void 0, ([\w$.]+)/.exec(after)?.[1];
    return (used && unavailable(used, place.file, files)) ?? `${used ? `<${own(used)}>` : 'what is used as a component'} ${message}`;
  }
  if (error instanceof TypeError && message.startsWith('Cannot read properties of undefined')) {
    const used = /([\w$]+(?:\.[\w$]+)*)\.$/.exec(before)?.[1];
    const why = used && unavailable(used, place.file, files);
    if (why) return why;
    return used && after.startsWith('call(void 0') ? `TypeError: ${own(used)} is not a function` : null;
  }
  if (error instanceof TypeError && /^Class extends value undefined/.test(message)) {
    return unavailable(/[\w$.]*$/.exec(before)[0] + /^[\w$.]*/.exec(after)[0], place.file, files);
  }
  return null;
}

/** A name as the author wrote it. */
const own = (expression) => expression.replace(/^_\w+\./, '');

/** Why an imported name, `_module.name` in the code, is undefined, if that can be told. */
function unavailable(expression, importer, files) {
  const found = /^(_\w+)\.([\w$]+)$/.exec(expression);
  const specifier = found && imported(found[1], files.get(importer));
  if (!specifier) return null;
  const what = found[2] === 'default' ? 'default' : `'${found[2]}'`;
  const file = isRelative(specifier) ? resolve(specifier, importer, (name) => files.has(name)) : null;
  if (file === null) return isRelative(specifier) ? null : `'${specifier}' has no export ${what}`;
  if (file.endsWith('.json')) return null;
  const code = files.get(file);
  if (!new RegExp(`\\bexports\\.${found[2]}\\b|\\b_createNamedExportFrom\\b.*'${found[2]}'`).test(code)) {
    return /_createStarExport|\bmodule\.exports\b/.test(code) ? null : `'${specifier}' has no export ${what}`;
  }
  if (!reaches(file, importer, files)) return null;
  return `${what} of '${specifier}' is not there yet: ${importer} and ${file} import each other, and it is used while they load`;
}

/** What a variable of the code was required from. */
function imported(variable, code) {
  const wrapped = new RegExp(`\\b${variable.replaceAll('$', '\\$')} = _interopRequire\\w+\\((\\w+)\\)`).exec(code)?.[1];
  return new RegExp(`\\b${(wrapped ?? variable).replaceAll('$', '\\$')} = require\\('([^']+)'\\)`).exec(code)?.[1];
}

/** Whether one file imports another, by way of others too. */
function reaches(from, to, files) {
  const queue = [from];
  for (const file of queue) {
    if (file === to) return true;
    for (const [, specifier] of files.get(file).matchAll(/\brequire\('([^']+)'\)/g)) {
      const next = isRelative(specifier) ? resolve(specifier, file, (name) => files.has(name)) : null;
      if (next && !queue.includes(next)) queue.push(next);
    }
  }
  return false;
}

/** Where the element was written that is wrong by this message, or whose component throws it. */
function written(message, files, prefix, again) {
  const elements = watching(again);
  const found = elements.find(({ fault }) => fault === message) ?? elements.findLast(({ thrown }) => thrown && text(thrown) === message);
  return found ? placeOf(found.stack, files, prefix) : null;
}

/** The elements that are being made, while somebody wants to know; else null. */
let watched = null;
const MOST_WATCHED = 5000;

function watching(work) {
  watched = [];
  try {
    work();
    return watched;
  } finally {
    watched = null;
  }
}

/** Notes an element; what is returned is its type, which notes in its turn what it throws. */
function watch(type, props) {
  if (watched.length >= MOST_WATCHED) return type;
  const element = { fault: faultOf(type, props ?? {}), stack: new Error().stack, thrown: null };
  watched.push(element);
  if (typeof type === 'object' && typeof type?.render === 'function') return { ...type, render: noting(type.render, element) };
  const isPlain = typeof type === 'function' && !type.prototype?.isReactComponent && !Object.getOwnPropertySymbols(type).length;
  return isPlain ? noting(type, element) : type;
}

function noting(component, element) {
  return (...given) => {
    try {
      return component(...given);
    } catch (error) {
      if (error instanceof Error) element.thrown ??= error; // React calls it again, with nothing, for its stack
      throw error;
    }
  };
}

const VOID = new Set('area base br col embed hr img input link meta param source track wbr'.split(' '));

/** What React will say of an element, if that is one of the usual things. */
function faultOf(type, { style, children, dangerouslySetInnerHTML: html }) {
  const shown = children === undefined ? null : notShown(children);
  if (shown) return REACT_ERRORS[31](shown);
  if (typeof type !== 'string') return null;
  if (VOID.has(type) && (children != null || html != null)) return REACT_ERRORS[399](type);
  if (style != null && typeof style !== 'object') return REACT_ERRORS[62]();
  if (html == null) return null;
  if (children != null) return REACT_ERRORS[60]();
  return typeof html === 'object' && '__html' in html ? null : REACT_ERRORS[61]();
}

/** React's name for an object among the children that it cannot show. */
function notShown(child) {
  if (typeof child !== 'object' || child === null || '$$typeof' in child || typeof child.then === 'function') return null;
  if (Array.isArray(child)) return child.map(notShown).find((each) => each !== null) ?? null;
  if (typeof child[Symbol.iterator] === 'function') return null;
  const named = Object.prototype.toString.call(child);
  return named === '[object Object]' ? `object with keys {${Object.keys(child).join(', ')}}` : named;
}

/** Something was used as a component that is none; made where that was written. */
export class NoComponent extends Error {}

/** `make`, React's `jsx`, for templates: what is no component tells, when it is rendered, where it was written. */
export function telling(make) {
  return (type, props, key) => {
    if (watched !== null) type = watch(type, props);
    return make(typeof type === 'function' || typeof type === 'string' || isType(type) ? type : failing(type), props, key);
  };
}

const isType = (type) => typeof type === 'symbol' || (typeof type === 'object' && type !== null && '$$typeof' in type && !('props' in type));

function failing(type) {
  const kind = type === null ? 'null' : typeof type === 'object' ? ('$$typeof' in type ? 'an element' : 'an object') : typeof type;
  const error = new NoComponent(`is ${kind}, not a component: is it exported by the file or package that it is imported from?`);
  return () => { throw error; };
}

/** The place of what V8's parser refuses, which it does not tell: the first end of the code that it refuses in the same words. */
export function refusedAt(code, error, parse) {
  const refused = (end) => {
    try {
      parse(code.slice(0, end));
    } catch (other) {
      return other.message === error.message;
    }
    return false;
  };
  let [low, high] = [0, code.length];
  if (!refused(high)) return { line: 0, column: 0 };
  while (low < high) {
    const middle = (low + high) >> 1;
    if (refused(middle)) high = middle;
    else low = middle + 1;
  }
  const start = code.slice(0, low).replace(/(?:[\w$]+|[^\w$])\s*$/, '').length;
  const before = code.slice(0, start).split('\n');
  return { line: before.length, column: sourceColumn(code, before.length, before.at(-1).length + 1) };
}
