// react-email's <Tailwind> with a memory: its own functions, but once per class and configuration instead of in every render.
import * as React from 'react';
import { jsx } from 'react/jsx-runtime';
import { List, generate, walk } from 'css-tree/dist/csstree.esm';
import { elementMarker, getElementOptions } from 'react-email:element-marker';
import { sanitizeStyleSheet } from 'react-email:tailwind/sanitize-stylesheet';
import { sanitizeClassName } from 'react-email:tailwind/utils/compatibility/sanitize-class-name';
import { downlevelForEmailClients } from 'react-email:tailwind/utils/css/downlevel-for-email-clients';
import { extractRulesPerClass } from 'react-email:tailwind/utils/css/extract-rules-per-class';
import { getCustomProperties } from 'react-email:tailwind/utils/css/get-custom-properties';
import { makeInlineStylesFor } from 'react-email:tailwind/utils/css/make-inline-styles-for';
import { sanitizeNonInlinableRules } from 'react-email:tailwind/utils/css/sanitize-non-inlinable-rules';
import { separateAdjacentClosingBraces } from 'react-email:tailwind/utils/css/separate-adjacent-closing-braces';
import { setupTailwind } from 'react-email:tailwind/utils/tailwindcss/setup-tailwind';

const MOST_CLASSES = 4000;
const MOST_SHARED = 600; // a setup that knows more is made anew: to learn one class it goes through all of them
const MOST_STRINGS = 4000;
const LONGEST_STRING = 1000; // a longer one is not remembered
const MOST_HEADS = 500;
const MOST_SETUPS = 12; // each is a compiler of its own, of some megabytes
const MOST_WAITING = 100;

/** Setups by key; the one that was used longest ago first. */
const setups = new Map();
/** The key of a configuration object, for templates that make theirs once. */
let keys = new WeakMap();
/** How many setups were begun. */
export const setupsBegun = () => begun;
let begun = 0;
let latest = null;

/** Whose template is being rendered: configurations with functions are not shared between revisions. */
let owner = '';

export function belongTo(digest) {
  if (digest !== owner) [owner, keys] = [digest, new WeakMap()];
}

function isPlain(value) {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function' && typeof value !== 'symbol';
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== Array.prototype && prototype !== null) return false;
  return Reflect.ownKeys(value).every((key) => {
    const property = Object.getOwnPropertyDescriptor(value, key);
    return typeof key === 'string' && 'value' in property && isPlain(property.value);
  });
}

/** What names a setup, and the configuration to compile: a copy where it is plain, so that the name tells all of it. */
function identify(config, theme, utility) {
  const known = typeof config === 'object' && config !== null && theme === undefined && utility === undefined ? keys.get(config) : undefined;
  if (known) return known;
  const plain = isPlain(config) && isCss(theme) && isCss(utility);
  const source = JSON.stringify([config, theme, utility], (_, value) => (typeof value === 'function' ? value.toString() : value));
  const identity = plain ? { key: source, config: config && JSON.parse(source)[0] } : { key: owner + source, config };
  if (typeof config === 'object' && config !== null && theme === undefined && utility === undefined) keys.set(config, identity);
  return identity;
}

/** Whether this is what it says: an object could name itself one thing, and be read as another. */
const isCss = (value) => value === undefined || typeof value === 'string';

export class Setup {
  constructor(tailwind) {
    this.tailwind = tailwind;
    this.classes = new Set();
    this.inlinable = new Map();
    this.nonInlinable = new Map();
    this.properties = new Map();
    this.styles = new Map();
    this.heads = new Map();
  }

  sheet() {
    const sheet = this.tailwind.getStyleSheet();
    sanitizeStyleSheet(sheet);
    return sheet;
  }

  /** Compile classes that were not seen before. False if there would be too many. */
  learn(classes) {
    if (classes.length > MOST_CLASSES || (this.classes.size > 0 && this.classes.size + classes.length > MOST_SHARED)) return false;
    for (const name of classes) this.classes.add(name);
    this.tailwind.addUtilities(classes);
    const sheet = this.sheet();
    ({ inlinable: this.inlinable, nonInlinable: this.nonInlinable } = extractRulesPerClass(sheet, [...this.classes]));
    this.properties = getCustomProperties(sheet);
    this.styles.clear();
    this.heads.clear();
    return true;
  }

  /** What a `className` means for its element. */
  style(className) {
    let style = this.styles.get(className);
    if (style === undefined) {
      style = this.resolve(className);
      if (className.length > LONGEST_STRING) return style;
      if (this.styles.size >= MOST_STRINGS) this.styles.clear();
      this.styles.set(className, style);
    }
    return style;
  }

  resolve(className) {
    const residual = [];
    const classProperties = Object.create(null);
    const rules = [];
    for (const name of className.trim().split(/\s+/)) {
      const inlinable = this.inlinable.get(name);
      if (inlinable) rules.push(...inlinable);
      const others = this.nonInlinable.get(name);
      if (others) {
        const safe = sanitizeClassName(name);
        residual.push(safe);
        classProperties[safe] = declared(others);
      } else if (!inlinable) residual.push(name);
    }
    return {
      style: Object.freeze(makeInlineStylesFor(rules, this.properties)),
      className: residual.length ? residual.join(' ') : undefined,
      classProperties: Object.freeze(classProperties),
    };
  }

  /** The CSS that these classes need in <head>. */
  head(classes) {
    const needed = [...classes].filter((name) => this.nonInlinable.has(name)).sort();
    const key = needed.join(' ');
    let css = this.heads.get(key);
    if (css === undefined) {
      if (this.heads.size >= MOST_HEADS) this.heads.clear();
      this.heads.set(key, (css = needed.length ? headCss(this.sheet(), needed) : ''));
    }
    return css;
  }
}

function declared(rules) {
  const properties = [];
  for (const rule of rules) walk(rule, { visit: 'Declaration', enter(declaration) { properties.push(declaration.property); } });
  return Object.freeze(properties);
}

function headCss(sheet, classes) {
  const { nonInlinable } = extractRulesPerClass(sheet, classes);
  const rules = { type: 'StyleSheet', children: new List().fromArray(Array.from(nonInlinable.values()).flat()) };
  sanitizeNonInlinableRules(rules);
  downlevelForEmailClients(rules);
  return generate(rules, { decorator: separateAdjacentClosingBraces });
}

/** The setup for a configuration. Suspends the component, by throwing a promise, until there is one. */
function setupFor(config, theme, utility) {
  const { key, config: compiled } = identify(config, theme, utility);
  const held = setups.get(key);
  if (held?.setup) {
    if (held !== latest) {
      latest = held;
      setups.delete(key);
      setups.set(key, held);
    }
    return held.setup;
  }
  if (held?.failed) throw held.error;
  throw (held ?? renew(key, { config: compiled, theme, utility })).promise;
}

function renew(key, { config, theme, utility }) {
  begun++;
  if (setups.size >= MOST_SETUPS) setups.delete(setups.keys().next().value);
  const held = { setup: null, failed: false, error: undefined, promise: null, origin: { config, theme, utility }, key };
  held.promise = setupTailwind({ config, cssConfigs: { theme, utility } }).then(
    (tailwind) => { held.setup = new Setup(tailwind); },
    (error) => { [held.failed, held.error] = [true, error]; },
  );
  setups.set(key, held);
  return held;
}

const isComponent = (type) => (typeof type === 'function' || type.render !== undefined) && !(elementMarker in type);

/** The classes of a `className`, by it: to split costs more than to know. */
const written = new Map();

function namesOf(className) {
  if (typeof className !== 'string' || className.length > LONGEST_STRING) return className.split(/\s+/);
  let names = written.get(className);
  if (names === undefined) {
    if (written.size >= MOST_STRINGS) written.clear();
    written.set(className, (names = className.split(/\s+/)));
  }
  return names;
}

/** Calls every component below, as react-email does, and notes the elements that have classes. */
class Expansion {
  constructor(waiting) {
    this.classes = new Set();
    this.strings = new Set();
    this.styled = [];
    this.heads = [];
    this.waiting = waiting;
    this.awaited = 0;
  }

  children(node) {
    if (node === null || node === undefined) return node;
    const mapped = [];
    this.add(node, mapped);
    return mapped.length === 1 ? mapped[0] : mapped;
  }

  add(node, mapped) {
    if (node === null || node === undefined || typeof node === 'boolean') return;
    if (typeof node !== 'object') mapped.push(node);
    else if (Array.isArray(node)) for (const each of node) this.add(each, mapped);
    else if (React.isValidElement(node)) this.element(node, mapped);
    else if (typeof node.then === 'function') this.add(this.result(node), mapped);
    else if (typeof node[Symbol.iterator] === 'function') for (const each of node) this.add(each, mapped);
    else mapped.push(node);
  }

  element({ type, props, key }, mapped) {
    const { className } = props;
    if (className && !this.strings.has(className)) {
      this.strings.add(className);
      for (const name of namesOf(className)) this.classes.add(name);
    }
    if (isComponent(type)) {
      this.add(typeof type === 'object' ? type.render(props) : type(props), mapped);
      return;
    }
    const own = { ...props };
    if (props.children) own.children = this.children(props.children);
    const element = jsx(type, own, key);
    if (className) this.styled.push(element);
    if (type === 'head') this.heads.push(element);
    mapped.push(element);
  }

  /** What a promise among the children has come to; the n-th in one attempt is the n-th in the next. */
  result(promise) {
    const at = this.awaited++;
    if (at >= MOST_WAITING) throw new Error(`more than ${MOST_WAITING} async components inside one <Tailwind>`);
    const held = (this.waiting[at] ??= { promise, done: false });
    if (held.failed) throw held.error;
    if (held.done) return held.value;
    promise.then(
      (value) => { [held.done, held.value] = [true, value]; },
      (error) => { [held.failed, held.error] = [true, error]; },
    );
    throw promise;
  }
}

const waitingFor = new WeakMap();
function waitingOf(children) {
  if (typeof children !== 'object' || children === null) return [];
  if (!waitingFor.has(children)) waitingFor.set(children, []);
  return waitingFor.get(children);
}

export function Tailwind({ children, config, theme, utility }) {
  const setup = setupFor(config, theme, utility);
  const expansion = new Expansion(waitingOf(children));
  const mapped = expansion.children(children);
  const fresh = [...expansion.classes].filter((name) => !setup.classes.has(name));
  if (fresh.length && !setup.learn(fresh)) throw tooMany(fresh, config, theme, utility);
  for (const element of expansion.styled) applyStyle(element, setup);
  const css = setup.head(expansion.classes);
  if (css && !expansion.heads.length) {
    const needing = [...expansion.classes].filter((name) => setup.nonInlinable.has(name)).join(' ');
    throw new Error(
      `Tailwind: <head> not found inside <Tailwind>.\nMove <Head /> inside <Tailwind>, or remove these classes that require a <head>: ${needing}.`,
    );
  }
  for (const { props } of expansion.heads) {
    props.children = [jsx('style', { dangerouslySetInnerHTML: { __html: css } }, 'tailwind'), props.children];
  }
  return mapped;
}

/** A setup that has learnt all it may is made anew; a template that needs more than that alone is refused. */
function tooMany(fresh, config, theme, utility) {
  if (fresh.length > MOST_CLASSES) return new Error(`more than ${MOST_CLASSES} classes in one <Tailwind>`);
  const { key } = identify(config, theme, utility);
  const { origin } = setups.get(key);
  setups.delete(key);
  return renew(key, origin).promise;
}

function applyStyle({ type, props }, setup) {
  const { style, className, classProperties } = setup.style(props.className);
  const full = props.style ? { ...style, ...props.style } : style;
  const resolveTailwind = getElementOptions(type)?.resolveTailwind;
  if (resolveTailwind) Object.assign(props, resolveTailwind(props, { style: { ...full }, className, classProperties }));
  else [props.style, props.className] = [full, className];
}
