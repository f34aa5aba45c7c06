"""Templates that try to take all time or memory, to reach out, or to change what others render: through a real pool.

Each is answered, with a fault or with harmless output; the pool is whole again, and another template's output is what
it was before.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from mailboat.domain.message import Rendered
from mailboat.errors import TemplateFault
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import NONE, Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

Patiently = Callable[[Pool, list[Job]], Awaitable[list[Outcome]]]

# Bodies of a component.
BOMBS = {
    "while": "while (true);",
    "while in finally": "try { while (true); } finally { while (true); }",
    "while in catch": "for (;;) try { for (;;); } catch {}",
    "microtasks": "(async () => { while (true) await 0; })();",
    "promise chain": "const f = () => Promise.resolve().then(f); f();",
    "promises that multiply": "const f = () => { Promise.resolve().then(f); Promise.resolve().then(f); }; f();",
    "never resolved": "throw new Promise(() => {});",
    "suspends again and again": "throw Promise.resolve();",
    "thenable that never ends": "throw { then(f) { f(); this.then(f); } };",
    "regex": "/^(a+)+$/.test('a'.repeat(60) + 'b');",
    "regex with lookbehind": "/(?<=(x+)+)y$/.test('x'.repeat(40000));",
    "regex backreference": r"/^(\w+\s?)*\1$/.test('word '.repeat(30) + '!');",
    "bigint power": "2n ** (2n ** 40n);",
    "bigint squares": "let n = 3n; for (;;) n *= n;",
    "bigint text": "(10n ** 10000000n).toString();",
    "sort": "for (;;) Array.from({ length: 5e6 }, Math.random).sort();",
    "arrays": "const a = []; for (;;) a.push(new Array(1e6).fill(1));",
    "one array": "new Array(1e8).fill(1.5);",
    "sparse array": "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);",
    "join of nothing": "Array(2 ** 29).join('ab');",
    "big string": "let s = 'x'; for (;;) s += s;",
    "string split": "'a'.repeat(5e8).split('');",
    "pad": "return <p>{'x'.padEnd(5e8)}</p>;",
    "json nesting": "JSON.parse('['.repeat(1e7));",
    "json growth": "let a = [1]; for (let i = 0; i < 40; i++) a = [a, a]; JSON.stringify(a);",
    "buffers": "const a = []; for (;;) a.push(new Uint8Array(1e7).fill(7));",
    "one buffer": "new ArrayBuffer(2 ** 40);",
    "growing buffer": "new ArrayBuffer(1, { maxByteLength: 2 ** 36 }).resize(2 ** 35);",
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set({ i }, 'x'.repeat(i));",
    "closures": "let f = () => 0; for (;;) { const g = f; f = () => g() + 1; }",
    "stack": "(function f() { return f() + 1; })();",
    "stack of getters": "const o = { get a() { return this.a; } }; o.a;",
    "stack of proxies": "let p = {}; for (let i = 0; i < 1e5; i++) p = new Proxy(p, {}); p.x;",
    "deep tree": "let e = <i />; for (let i = 0; i < 200000; i++) e = <b>{e}</b>; return e;",
    "wide tree": "return <p>{Array.from({ length: 3e6 }, () => <i />)}</p>;",
    "endless component": "const F = () => <F />; return <F />;",
    "endless iterator": "return <p>{{ *[Symbol.iterator]() { for (;;) yield 1; } }}</p>;",
    "much output": "return <p>{'x'.repeat(3e8)}</p>;",
    "just too much output": "return <p>{'x'.repeat(2 ** 21)}</p>;",
    "output of entities": "return <p>{'&'.repeat(4e7)}</p>;",
    "many classes": (
        "const { Tailwind } = E; return <Tailwind>{Array.from({ length: 9000 },"
        " (_, i) => <p className={`p-[${i}px]`} />)}</Tailwind>;"
    ),
    "css bomb": "const { Tailwind } = E; return <Tailwind theme={'a{'.repeat(1e6)}><p className='p-1' /></Tailwind>;",
    "markdown bomb": "const { Markdown } = E; return <Markdown>{'['.repeat(1e5) + '>'.repeat(1e5)}</Markdown>;",
    "intl": "for (;;) new Intl.DateTimeFormat('en').format(0);",
    "intl padding": "(1e300).toLocaleString('en', { minimumFractionDigits: 100 }).repeat(1e6);",
    "normalize": "for (;;) '\\ufdfa'.repeat(1e6).normalize('NFKD');",
    "proxy error": "throw new Proxy(new Error('x'), { get() { for (;;); } });",
    "getter error": "const e = new Error('x'); Object.defineProperty(e, 'message', { get() { for (;;); } }); throw e;",
    "toString error": "throw { toString() { for (;;); } };",
    "error without prototype": "throw Object.create(null);",
    "long error": "throw new Error('x'.repeat(1e8));",
    "symbol error": "throw Symbol('x');",
    "subclass of Function": "class F extends Function {}; new F('for (;;);')();",
    "new Function": "new Function('for (;;);')();",
    "indirect eval": "(0, eval)('for (;;);');",
    "with a generator": "function* g() { for (;;) yield* g(); } [...g()];",
    "date": "for (;;) new Date(8.64e15).toLocaleString('th-TH-u-ca-buddhist');",
    "structuredClone": "const a = {}; a.a = a; structuredClone(a);",
    "atob": "atob('A'.repeat(4e8));",
    "array species": "class A extends Array { static get [Symbol.species]() { for (;;); } } new A(1, 2).map((x) => x);",
    "Atomics.wait": "Atomics.wait(new Int32Array(new SharedArrayBuffer(8)), 0, 0);",
    "WebAssembly": "new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));",
    "async generator": "(async () => { for await (const x of (async function* () { for (;;) yield 1; })()); })();",
    "await of thenables": "(async () => { for (;;) await { then(f) { f(); } }; })();",
    "microtasks that fill memory": "const f = () => { for (;;) Promise.resolve({}).then(f); }; f();",
    "rejections": "for (let i = 0; i < 3e5; i++) Promise.reject(new Error('x'));",
    "a throw in a microtask": "Promise.resolve().then(() => { throw new Error('later'); });",
    "finally for ever": "const f = () => Promise.reject(1).finally(f); f();",
    "bigint shift": "1n << (2n ** 30n);",
    "bigint digits": "BigInt('9'.repeat(5e6));",
    "bigint division": "const n = 3n ** 5000000n; n / (n >> 2500000n);",
    "bigint asUintN": "BigInt.asUintN(2 ** 53 - 1, -1n);",
    "regex of properties": r"/^(\p{L}+\s?)+$/u.test('ä'.repeat(60) + '1');",
    "regex of groups": "/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(80));",
    "regex that is long": "new RegExp('('.repeat(1e5) + ')'.repeat(1e5)).test('x');",
    "regex of alternatives": "new RegExp(Array.from({ length: 1e6 }, (_, i) => 'a' + i).join('|')).test('b');",
    "regex quantifiers": "new RegExp('(?:(?:(?:a{1000}){1000}){1000})').test('a'.repeat(1e6));",
    "matchAll": "[...'a'.repeat(5e6).matchAll(/(a)(?=.*(b)?)/g)];",
    "replace by a function": "'a'.repeat(1e6).replace(/a/g, () => 'b'.repeat(1e4));",
    "replaceAll": "'a'.repeat(1e6).replaceAll('a', 'b'.repeat(1e4));",
    "rope": "let s = ''; for (let i = 0; i < 5e6; i++) s = 'a' + s + 'b'; s.charCodeAt(1);",
    "concat": "'x'.repeat(2 ** 28).concat('x'.repeat(2 ** 28)).concat('x'.repeat(2 ** 28));",
    "toUpperCase": "'ß'.repeat(2e8).toUpperCase();",
    "encodeURIComponent": "encodeURIComponent('é'.repeat(1e8));",
    "localeCompare": "for (;;) 'é'.repeat(1e6).localeCompare('e'.repeat(1e6));",
    "Intl.Segmenter": "[...new Intl.Segmenter('th', { granularity: 'word' }).segment('ก'.repeat(5e6))];",
    "Intl.ListFormat": "new Intl.ListFormat('en').format(new Array(1e7).fill('x'));",
    "Intl with a trap": "new Intl.NumberFormat('en', { get style() { for (;;); } });",
    "style that is a trap": "return <p style={new Proxy({}, { ownKeys() { for (;;); } })}>x</p>;",
    "prop with toString": "return <p title={{ toString() { for (;;); } }}>x</p>;",
    "prop with toPrimitive": "return <p title={{ [Symbol.toPrimitive]() { for (;;); } }} />;",
    "class with toString": "return <E.Tailwind><p className={{ toString() { for (;;); } }} /></E.Tailwind>;",
    "children that are a trap": "return <p>{new Proxy([], { get() { for (;;); } })}</p>;",
    "props that are a trap": "return R.createElement('p', new Proxy({ a: 1 }, { ownKeys() { for (;;); } }));",
    "element of its own making": "return { ...<p />, props: { get children() { for (;;); } } };",
    "lazy for ever": "const L = R.lazy(() => ({ then(f) { for (;;); } })); return <L />;",
    "state for ever": "const [n, set] = R.useState(0); set(n + 1);",
    "stack that is a trap": (
        "const e = new Error('x'); Object.defineProperty(e, 'stack', { get() { for (;;); } }); throw e;"
    ),
    "stack that is no text": "const e = new Error('x'); e.stack = { toString() { for (;;); } }; throw e;",
    "name that is a trap": (
        "const e = new Error('x'); Object.defineProperty(e, 'name', { get() { for (;;); } }); throw e;"
    ),
    "error without an end": "const e = new Error('x'); e.cause = e; e.stack = e; throw e;",
    "many errors": "throw new AggregateError(Array.from({ length: 1e6 }, () => new Error('x')));",
    "prototype that is a trap": "throw new Proxy({}, { getPrototypeOf() { for (;;); }, has() { for (;;); } });",
    "Error.prepareStackTrace": "Error.prepareStackTrace = () => { for (;;); }; throw new Error('x');",
    "toJSON": "JSON.stringify({ toJSON() { for (;;); } });",
    "reviver": "JSON.parse('[1]', () => { for (;;); });",
    "json indented": "JSON.stringify(new Array(1e7).fill(0), null, 10);",
    "return of a generator": "function* g() { try { yield 1; } finally { for (;;); } } for (const x of g()) break;",
    "many functions": "const a = []; for (let i = 0; ; i++) a.push(new Function(`return ${i}`));",
    "long code": "(0, eval)('['.repeat(1e6));",
    "wide code": "(0, eval)('1+'.repeat(3e6) + '1');",
    "symbols": "for (let i = 0; ; i++) Symbol.for('x'.repeat(1000) + i);",
    "debugger": "debugger; for (const k in console) console[k]?.('x'); globalThis.gc?.(); globalThis.quit?.();",
    "length": "const a = []; a.length = 2 ** 32 - 1; a.fill(0);",
    "Array.from": "Array.from({ length: 2 ** 53 - 1 });",
    "spread": "Math.max(...new Array(1e7).fill(1));",
    "apply": "String.fromCharCode.apply(null, { length: 1e8 });",
    "flat": "const a = []; a.push(a, a); a.flat(Infinity);",
    "text of nested arrays": "let a = [1]; for (let i = 0; i < 1e6; i++) a = [a]; String(a);",
    "copyWithin": "Array.prototype.copyWithin.call({ length: 2 ** 53 - 1 }, 0, 1);",
    "reverse": "Array.prototype.reverse.call({ length: 2 ** 53 - 1 });",
    "typed sort": "new Float64Array(4e6).sort(() => { for (;;); });",
    "CodeBlock": "return <E.CodeBlock code={'<'.repeat(3e5)} language='html' theme={E.dracula} />;",
    "Markdown of emphasis": "return <E.Markdown>{'*a_'.repeat(1e5)}</E.Markdown>;",
    "timers": "const f = () => setTimeout(f, 0); f(); throw new Promise(() => {});",
    "an interval": "setInterval(() => {}, 1); throw new Promise(() => {});",
    "many timers": "for (;;) setTimeout(() => {}, 1e9);",
    "a timer that loops": "setTimeout(() => { for (;;); }); throw new Promise(() => {});",
    "queueMicrotask": "const f = () => queueMicrotask(f); f();",
    "a long address": "new URL('http://' + 'a'.repeat(1e7));",
    "an address of dots": "new URL('../'.repeat(1e6), 'http://a/' + 'b/'.repeat(1e6));",
    "an address of letters": "new URL(`http://${'ü'.repeat(2e5)}.de`);",
    "a query": "new URLSearchParams('a=b&'.repeat(3e6)).sort();",
    "TextDecoder": "new TextDecoder().decode(new Uint8Array(3e7).fill(200));",
    "Font": "return <E.Font fontFamily={'x'.repeat(4e6)} fallbackFontFamily='Arial' />;",
}
# Whole modules.
MODULES = {
    "a subject that loops": "export const subject = () => { for (;;); };\nexport default () => <p />;",
    "a subject whose then loops": "export const subject = { get then() { for (;;); } };\nexport default () => <p />;",
    "a subject that never comes": "export const subject = new Promise(() => {});\nexport default () => <p />;",
    "a long subject": "export const subject = 'x'.repeat(3e6);\nexport default () => <p />;",
    "a component that is a trap": "export default new Proxy(function () {}, { apply() { for (;;); } });",
    "a class whose getter loops": "export default class extends (class { get render() { for (;;); } }) {}",
    "a default that loops": "export default function M({ a = (() => { for (;;); })() }) { return <p>{a}</p>; }",
    "an example that throws": "export default () => <p />;\nexport const PreviewProps = { get a() { throw 1; } };",
    "microtasks at load": "const f = () => Promise.resolve().then(f); f();\nexport default () => <p />;",
    "an export that is a trap": "Object.defineProperty(exports, 'default', { get() { for (;;); } });",
}
# What would change another template, if it could. Each is tried while the modules load, and in a render.
ATTACKS = {
    "Object.prototype": "Object.prototype.x = 1; Object.prototype.dangerouslySetInnerHTML = { __html: 'evil' };",
    "__proto__": "({}).__proto__.z = 1;",
    "constructor.prototype": "({}).constructor.prototype.q = 1;",
    "defineProperty": "Object.defineProperty(Object.prototype, 'className', { get: () => 'evil' });",
    "setPrototypeOf": "Object.setPrototypeOf(Object.prototype, { evil: 1 });",
    "Array.prototype.map": "Array.prototype.map = () => ['evil'];",
    "Array iterator": "Object.getPrototypeOf([][Symbol.iterator]()).next = () => ({ done: true });",
    "Map.prototype.get": "Map.prototype.get = () => 'evil';",
    "String.prototype.replace": "String.prototype.replace = () => 'evil';",
    "JSON.parse": "JSON.parse = () => ({ name: 'evil' });",
    "Promise.prototype.then": "Promise.prototype.then = () => 'evil';",
    "Symbol.iterator": "Array.prototype[Symbol.iterator] = function* () {};",
    "Function.prototype.call": "Function.prototype.call = () => 'evil';",
    "async generator": "(async function* () {}).constructor.prototype.evil = 1;",
    "a component": "E.Text.render = () => 'evil';",
    "the components": "E.Text = () => 'evil';",
    "the default theme": "E.pixelBasedPreset.theme.extend.spacing[4] = '999px';",
    "a code theme": "E.dracula.base.color = 'evil';",
    "React": "R.createElement = () => 'evil';",
    "jsx": "J.jsx = () => 'evil';",
    "React's component": "R.Component.prototype.render = () => 'evil';",
    "React's internals": "for (const k in R) if (k.startsWith('__')) R[k].H = { useState: () => ['evil'] };",
    "a plugin": "P.withOptions = () => 'evil';",
    "colors": "C.slate[900] = 'evil';",
    "a global": "globalThis.leak = 'evil';",
    "var by eval": "(0, eval)('var leak = 1');",
    "process.env": "process.env.EVIL = 1; process.env = {};",
    "console": "console.log = () => { throw 1; };",
    "RegExp.prototype.exec": "RegExp.prototype.exec = () => null;",
    "RegExp.prototype[replace]": "RegExp.prototype[Symbol.replace] = () => 'evil';",
    "RegExp.prototype.flags": "Object.defineProperty(RegExp.prototype, 'flags', { get: () => 'g' });",
    "RegExp.prototype's prototype": "Object.setPrototypeOf(RegExp.prototype, { evil: 1 });",
    "RegExp.prototype, later": "Promise.resolve().then(() => { RegExp.prototype[Symbol.split] = () => ['evil']; });",
    "RegExp.prototype frozen": "Object.freeze(RegExp.prototype);",
    "RegExp.prototype, for a while": (
        "const was = RegExp.prototype[Symbol.split]; RegExp.prototype[Symbol.split] = () => ['evil'];"
        " try { return <E.Tailwind><p className='text-gray-600 p-4'>x</p></E.Tailwind>; }"
        " finally { Promise.resolve().then(() => { RegExp.prototype[Symbol.split] = was; }); }"
    ),
    "Error.prepareStackTrace": "Error.prepareStackTrace = () => 'evil';",
    "the engine": "__mailboat.define('x', '{}');",
    "the host": "__pydenoCallSync(0); Deno.core.ops.op_print('evil');",
    "capabilities": "new WebAssembly.Memory({ initial: 1 }); new SharedArrayBuffer(8); fetch('http://127.0.0.1');",
    "dynamic import": "import('fs').then((fs) => fs.readFileSync('/etc/passwd'));",
    "require": "require('child_process').execSync('id');",
    "eval require": "(0, eval)('require')('fs');",
    "module.constructor": "module.constructor._load('fs');",
    "Symbol registry": "Symbol.for('react.transitional.element').evil = 1; Symbol.prototype.evil = 1;",
    "Symbol.iterator itself": "Symbol.iterator = Symbol('evil'); Symbol.for = () => 'evil';",
    "Intl": "Intl.DateTimeFormat = 1; Intl.NumberFormat.prototype.format = () => 'evil'; Intl.evil = 1;",
    "toLocaleString": "Number.prototype.toLocaleString = Date.prototype.toLocaleString = () => 'evil';",
    "Date": "Date.now = () => 0; Date.prototype.getTime = () => 0;",
    "Math": "Math.max = () => 'evil'; Math.random = () => 1;",
    "Reflect": "Reflect.ownKeys = () => ['evil']; Reflect.get = () => 'evil';",
    "an index of Array.prototype": "Object.defineProperty(Array.prototype, 0, { get: () => 'evil', set() {} });",
    "length of Array.prototype": "Array.prototype.length = 3; Array.prototype.push('evil');",
    "then of Object.prototype": "Object.prototype.then = (f) => f('evil');",
    "toJSON of Object.prototype": "Object.prototype.toJSON = Object.prototype[Symbol.toPrimitive] = () => 'evil';",
    "__defineSetter__": (
        "Object.prototype.__defineSetter__('key', () => {}); Object.prototype.__defineGetter__('evil', () => 1);"
    ),
    "toString of Object.prototype": (
        "Object.prototype.toString = () => 'evil'; Function.prototype.toString = () => 'evil';"
    ),
    "Array[Symbol.species]": (
        "Object.defineProperty(Array, Symbol.species, { get: () => function () { return ['evil']; } });"
    ),
    "Promise[Symbol.species]": "Promise[Symbol.species] = null; Promise.resolve = () => 'evil'; Promise.all = 1;",
    "RegExp's statics": "/(evil)/.exec('evil'); RegExp.$1 = 'evil'; RegExp.input = 'evil'; RegExp.lastMatch = 'evil';",
    "RegExp[Symbol.species]": "Object.defineProperty(RegExp, Symbol.species, { value: 1 });",
    "RegExp.prototype by Reflect": "Reflect.set(RegExp.prototype, 'test', () => true);",
    "RegExp.prototype.lastIndex": "RegExp.prototype.lastIndex = 3;",
    "RegExp.prototype by delete": "delete RegExp.prototype.global; delete RegExp.prototype[Symbol.match];",
    "RegExp.prototype.constructor": "RegExp.prototype.constructor = function () {};",
    "generator prototype": "Object.getPrototypeOf((function* () {}).prototype).next = () => ({ done: true });",
    "iterator helpers": "Iterator.prototype.map = () => 'evil'; Iterator.evil = 1;",
    "typed arrays": (
        "Object.getPrototypeOf(Uint8Array).prototype.set = () => {}; TextEncoder.prototype.encode = () => 'evil';"
    ),
    "shims": "globalThis.atob = () => 'evil'; structuredClone = 1; TextDecoder.prototype.decode = () => 'evil';",
    "caller": "(function f() { f.caller('evil'); })();",
    "this of a function": "Function('return this')().leak = 'evil';",
    "undeclared": "new Function('leak = \"evil\"; evil = 1;')();",
    "function by eval": "(0, eval)('function leak() {} let evil = 1; var q = 1;');",
    "AsyncFunction": "(async () => {}).constructor('return this')().then((g) => { g.leak = 'evil'; });",
    "GeneratorFunction": "(function* () {}).constructor('this.leak = 1; yield 1;')().next();",
    "frames of a stack": (
        "Error.prepareStackTrace = (_, frames) => frames;"
        " for (const frame of new Error().stack) frame.getFunction?.().evil = frame.getThis?.();"
    ),
    "Error.captureStackTrace": "Error.stackTraceLimit = 0; Error.captureStackTrace = () => 'evil';",
    "properties of a component": "E.Button.defaultProps = { children: 'evil' }; E.Text.displayName = 'evil';",
    "hooks outside": "R.act?.(() => {}); R.cache?.(() => 1); Promise.resolve().then(() => R.useState(1));",
    "a context of React": "R.createContext.evil = 1; R.Fragment.evil = 1; R.Children.map = () => 'evil';",
    "process": "process.exit(1);",
    "process.binding": "process.binding('fs'); process.mainModule.require('fs');",
    "Deno": "Deno.readTextFileSync('/etc/passwd');",
    "names that begin with __": (
        "for (const n of Object.getOwnPropertyNames(globalThis))"
        " if (n.startsWith('__')) globalThis[n](0, '/etc/passwd');"
    ),
    "import() by eval": "(0, eval)(\"import('node:fs').then((fs) => { globalThis.leak = fs; })\");",
    "import() by Function": "new Function(\"return import('/etc/passwd')\")();",
    "import.meta": "(0, eval)('import.meta');",
    "ShadowRealm": "new ShadowRealm().evaluate('globalThis.leak = 1');",
    "a timer left behind": (
        "setTimeout(() => { RegExp.prototype[Symbol.split] = () => ['evil']; }); setInterval(() => {}, 1);"
    ),
    "a timer's place": "setTimeout = () => 'evil'; globalThis.queueMicrotask = () => 'evil';",
    "URL": "URL.prototype.toString = () => 'evil'; URLSearchParams.prototype.get = () => 'evil'; URL.evil = 1;",
    "exports of another": "require('./mail').default = 'evil'; module.exports = new Proxy({}, {}); exports.leak = 1;",
}
HEAD = (
    "import * as E from 'react-email'; import * as R from 'react'; import * as J from 'react/jsx-runtime';"
    " import P from 'tailwindcss/plugin'; import C from 'tailwindcss/colors'; export const used = [E, R, J, P, C];\n"
)

GOOD = """
import { Body, Head, Html, Markdown, Tailwind, Text } from 'react-email';
const seen = [];
export const subject = ({ name }) => `Hello ${name}`;
export default function Good({ name }) {
  seen.length = 0;
  for (const [k, v] of new Map([['a', 1]])) seen.push(`${k}${v}`);
  const { x, z, q, evil, leak } = { ...globalThis };
  return (
    <Html><Tailwind><Head /><Body className="p-4 text-gray-600">
      <Text className="text-sm hover:text-red-500">{name.replace(/a/g, 'A')} {seen.map((s) => s).join()}</Text>
      <Text>{'b,c'.split(/,/)[1]} {/b/y.flags}</Text>
      <p>{[x, z, q, evil, leak].filter(Boolean)} {String(RegExp.$1)} {Object.keys(process.env).join(' ')}</p>
      <Markdown>{'# a *b*'}</Markdown>
    </Body></Tailwind></Html>
  );
}
"""


@pytest.fixture(scope="module")
def good(job: Callable[..., Job]) -> Job:
    return job(GOOD, {"name": "Ada"})


async def until_whole(pool: Pool) -> None:
    async with asyncio.timeout(20):
        while len(pool.pids) < 2:  # noqa: ASYNC110 (what is waited for happens in the kernel)
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def slowest(request: pytest.FixtureRequest) -> Iterator[dict[str, float]]:
    """Seconds by bomb; the longest is told when the module is done. Nothing is asserted: the machine may be busy."""
    seconds: dict[str, float] = {}
    yield seconds
    name = max(seconds, key=lambda bomb: seconds[bomb])
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nthe slowest of {len(seconds)} bombs: {seconds[name] * 1000:.0f} ms ({name})")


class Check:
    """check(bad): it is answered, a good one beside and after it is right, and the pool is whole. What became of it.

    `seconds`: how long the bad one and the good one beside it took the last time.
    """

    def __init__(self, pool: Pool, good: Job, patiently: Patiently) -> None:
        self._pool, self._good, self._patiently = pool, good, patiently
        self.seconds = 0.0

    async def __call__(self, bad: Job, artifacts: Mapping[str, bytes] = NONE) -> Outcome:
        pool, good, patiently = self._pool, self._good, self._patiently
        [before] = await patiently(pool, [good])
        assert isinstance(before, Rendered), str(before)
        begun = time.monotonic()
        outcome, beside = await pool.render([bad, good], artifacts)
        self.seconds = time.monotonic() - begun
        if isinstance(beside, TemplateFault):
            [beside] = await patiently(pool, [good])
        [after] = await patiently(pool, [good])
        assert before == beside == after
        await until_whole(pool)
        assert (await patiently(pool, [good])) == [before]
        assert isinstance(outcome, Rendered | TemplateFault)
        if isinstance(outcome, TemplateFault):
            assert 0 < len(outcome.message) < 700
        return outcome


@pytest.fixture(scope="module")
def check(pool: Pool, good: Job, patiently: Patiently) -> Check:
    return Check(pool, good, patiently)


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_answered_and_harms_nobody(
    bomb: str, check: Check, pool: Pool, job: Callable[..., Job], slowest: dict[str, float]
) -> None:
    bad = job(f"{HEAD}export default function Bad() {{ {BOMBS[bomb]}\nreturn <p>done</p>; }}")
    artifact = await pool.compile(bad.revision)  # which has a limit of its own
    await check(bad, {bad.revision.digest: artifact})
    slowest[bomb] = check.seconds


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_in_a_render_changes_nothing(body: str, check: Check, job: Callable[..., Job]) -> None:
    await check(job(f"{HEAD}export default function Bad() {{ {body}\nreturn <p>done</p>; }}"))


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_at_load_changes_nothing(body: str, check: Check, job: Callable[..., Job]) -> None:
    await check(job(f"{HEAD}const f = () => {{ {body} }}; f();\nexport default () => <p>done</p>;"))


@pytest.mark.parametrize("source", MODULES.values(), ids=MODULES)
async def test_a_module_full_of_traps_harms_nobody(source: str, check: Check, job: Callable[..., Job]) -> None:
    await check(job(source))


async def test_a_module_that_does_not_end_is_a_fault_of_compiling(check: Check, job: Callable[..., Job]) -> None:
    outcome = await check(job("while (true);\nexport default () => <p />;"))
    assert isinstance(outcome, TemplateFault)
    assert "to compile" in outcome.message


async def test_what_one_template_matched_another_cannot_read(pool: Pool, job: Callable[..., Job]) -> None:
    secret = job("export default () => <p>{/(secret)/.test('a secret') && 'ok'}</p>;")
    thief = job("export default () => <p>{[RegExp.$1, RegExp.lastMatch, RegExp.input, RegExp['$_']].join('')}</p>;")
    outcomes = await pool.render([secret, thief])
    assert isinstance(outcomes[1], Rendered)
    assert "secret" not in (outcomes[1].html or "")


async def test_a_process_has_only_the_public_part_of_the_environment(
    pool: Pool, good: Job, patiently: Patiently
) -> None:
    [outcome] = await patiently(pool, [good])
    assert isinstance(outcome, Rendered)
    assert "MAILBOAT_PUBLIC_BASE_URL NODE_ENV" in (outcome.html or "")
    for pid in pool.pids:
        assert b"SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
