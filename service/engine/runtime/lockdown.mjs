// Templates share one isolate: nothing that one of them can reach may be changed by it for another.
const CAPABILITIES = [
  'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'FinalizationRegistry', 'WeakRef', 'ReadableStream', 'Deno',
];
const ERRORS = [Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError, AggregateError];
const REMEMBERS = ['input', '$_', 'lastMatch', '$&', 'lastParen', '$+', 'leftContext', '$`', 'rightContext', "$'", ...'123456789'.replace(/./g, ' $$$&').trim().split(' ')];
const HIDDEN = [
  function* () {}, async function () {}, async function* () {}, [][Symbol.iterator](), new Map().entries(), new Set().entries(), ''[Symbol.iterator](),
  /a/[Symbol.matchAll](''), Object.getPrototypeOf(Uint8Array), [].values().map((x) => x), Iterator.from({ next() {} }),
].map(Object.getPrototypeOf);

const { freeze, getOwnPropertyDescriptor, getPrototypeOf, defineProperty } = Object;
const { ownKeys } = Reflect;
const seen = new Set();
const softened = [];

/**
 * Freezes a value and all that can be reached from it. RegExp.prototype too: whoever could replace its `exec` for a moment would be
 * handed the engine's own expressions, and with them what others write. `replace` and `split` are slow then, `exec` is not.
 */
export function harden(value) {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
  seen.add(value);
  const prototype = getPrototypeOf(value);
  freeze(value);
  harden(prototype);
  for (const key of ownKeys(value)) {
    const property = getOwnPropertyDescriptor(value, key);
    if ('value' in property) harden(property.value);
    else {
      harden(property.get);
      harden(property.set);
    }
  }
}

/** Frozen, a property of a prototype could not be shadowed by assignment (`error.name = …`): make it an accessor that can. */
function soften(prototype, names) {
  for (const name of names) {
    const property = getOwnPropertyDescriptor(prototype, name);
    if (!property || !('value' in property)) continue;
    const { value, enumerable } = property;
    softened.push(value);
    defineProperty(prototype, name, {
      enumerable, configurable: false, get: () => value,
      set(own) {
        if (this === prototype) throw new TypeError(`Cannot assign to '${name}' of a frozen intrinsic`);
        defineProperty(this, name, { value: own, writable: true, enumerable: true, configurable: true });
      },
    });
  }
}

/** What no name leads to, but an object that every template can make. */
const made = () => {
  const segments = new Intl.Segmenter('en').segment('a');
  const { get, set } = getOwnPropertyDescriptor(new Error(), 'stack') ?? {};
  return [...[segments, segments[Symbol.iterator](), new URLSearchParams('a=b').entries(), globalThis].map(getPrototypeOf), get, set];
};

/** Once, before the first template: take capabilities away and freeze the rest, these modules included. */
export function lock(modules) {
  for (const name of [...CAPABILITIES, ...Object.getOwnPropertyNames(globalThis).filter((name) => name.startsWith('__'))]) delete globalThis[name];
  for (const name of REMEMBERS) delete RegExp[name]; // they would tell a template what another one has matched
  Error.stackTraceLimit = 50;
  soften(Object.prototype, ['toString', 'valueOf', 'constructor', 'toLocaleString']);
  soften(Function.prototype, ['toString', 'constructor']);
  for (const kind of ERRORS) soften(kind.prototype, ['name', 'message', 'constructor', 'toString']);
  for (const module of modules) {
    freeze(module);
    for (const key of ownKeys(module)) {
      const { value, get } = getOwnPropertyDescriptor(module, key);
      [value, get].forEach(harden);
    }
  }
  for (const name of ownKeys(globalThis)) if (name !== 'globalThis') harden(globalThis[name]);
  [...HIDDEN, ...softened, ...made()].forEach(harden);
  freeze(globalThis);
}
