"""Templates that try to take all time or memory, to reach out, or to change what others render: through a real pool.

Each is answered, with a fault or with harmless output; the pool is whole again, and another template's output is what
it was before.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mailboat.domain.message import Rendered
from mailboat.errors import TemplateFault
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

Check = Callable[[Job], Awaitable[Outcome]]

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
def check(pool: Pool, good: Job, patiently: Callable[[Pool, list[Job]], Awaitable[list[Outcome]]]) -> Check:
    """check(bad): it is answered, a good one beside and after it is right, and the pool is whole."""

    async def check(bad: Job) -> Outcome:
        [before] = await patiently(pool, [good])
        assert isinstance(before, Rendered), str(before)
        outcome, beside = await pool.render([bad, good])
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

    return check


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS)
async def test_a_bomb_is_answered_and_harms_nobody(body: str, check: Check, job: Callable[..., Job]) -> None:
    await check(job(f"{HEAD}export default function Bad() {{ {body}\nreturn <p>done</p>; }}"))


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_in_a_render_changes_nothing(body: str, check: Check, job: Callable[..., Job]) -> None:
    await check(job(f"{HEAD}export default function Bad() {{ {body}\nreturn <p>done</p>; }}"))


@pytest.mark.parametrize("body", ATTACKS.values(), ids=ATTACKS)
async def test_an_attack_at_load_changes_nothing(body: str, check: Check, job: Callable[..., Job]) -> None:
    await check(job(f"{HEAD}const f = () => {{ {body} }}; f();\nexport default () => <p>done</p>;"))


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
    pool: Pool, good: Job, patiently: Callable[[Pool, list[Job]], Awaitable[list[Outcome]]]
) -> None:
    [outcome] = await patiently(pool, [good])
    assert isinstance(outcome, Rendered)
    assert "MAILBOAT_PUBLIC_BASE_URL NODE_ENV" in (outcome.html or "")
    for pid in pool.pids:
        assert b"SECRET" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
