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

/** Freezes a value and all that can be reached from it, RegExp.prototype excepted: frozen, it costs every render 40 %. */
export function harden(value) {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
  seen.add(value);
  const prototype = getPrototypeOf(value);
  if (value !== RegExp.prototype) freeze(value);
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
    defineProperty(prototype, name, {
      enumerable, configurable: false, get: () => value,
      set(own) {
        if (this === prototype) throw new TypeError(`Cannot assign to '${name}' of a frozen intrinsic`);
        defineProperty(this, name, { value: own, writable: true, enumerable: true, configurable: true });
      },
    });
  }
}

const guarded = ownKeys(RegExp.prototype).map((key) => ({ key, ...getOwnPropertyDescriptor(RegExp.prototype, key) }));

/** Whether RegExp.prototype is what it was. */
export function isIntact() {
  if (ownKeys(RegExp.prototype).length !== guarded.length || getPrototypeOf(RegExp.prototype) !== Object.prototype) return false;
  for (const { key, value, get, configurable } of guarded) {
    const now = getOwnPropertyDescriptor(RegExp.prototype, key);
    if (now === undefined || now.value !== value || now.get !== get || now.configurable !== configurable) return false;
  }
  return true;
}

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
    for (const key of ownKeys(module)) harden(getOwnPropertyDescriptor(module, key).value);
  }
  for (const name of ownKeys(globalThis)) if (name !== 'globalThis') harden(globalThis[name]);
  HIDDEN.forEach(harden);
  freeze(globalThis);
}
