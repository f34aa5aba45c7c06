"""What one template could leave for another: in objects that no name leads to, and in what is remembered."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mailboat.domain.message import Rendered
from mailboat.errors import TemplateFault
from mailboat.render.base import Job, Outcome
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

Patiently = Callable[[Pool, list[Job]], Awaitable[list[Outcome]]]

# Bodies of a component. STYLED has a style, an attribute and a tag that were never seen before, and are remembered.
STYLED = "<p style={{ [`borderTop${props.n}`]: 3, msTop: 'x' }} {...{ [`data-${props.n}`]: 'y' }}>x</p>"
TRAP = (
    "const real = RegExp.prototype.exec; let calls = 0; RegExp.prototype.exec = function (text) {"
    " if (++calls >= %d) RegExp.prototype.exec = real; %s };"
)
LEAKS = {
    "exec, back after one call": TRAP % (1, "return null;") + f"return {STYLED};",
    "exec, back after three calls": TRAP % (3, "return null;") + f"return {STYLED};",
    "exec, back after nine calls": TRAP % (9, "return null;") + f"return {STYLED};",
    "the engine's own expressions": TRAP % (9, "this.exec = () => null; return null;") + f"return {STYLED};",
    "replace, back once it was used": (
        "const real = RegExp.prototype[Symbol.replace]; RegExp.prototype[Symbol.replace] = () => 'evil'; return <div>"
        f"{STYLED}<p title={{{{ toString() {{ RegExp.prototype[Symbol.replace] = real; return 'x'; }} }}}} /></div>;"
    ),
    "what is above globalThis": "const above = Object.getPrototypeOf(globalThis); above.leak = above.evil = 'evil';",
    "segments": (
        "Object.defineProperty(Object.getPrototypeOf(new Intl.Segmenter('en').segment('a')), 'containing',"
        " { value: () => ({ segment: 'evil' }) });"
    ),
    "iterator of segments": (
        "Object.getPrototypeOf(new Intl.Segmenter('en').segment('a')[Symbol.iterator]()).next = () => ({ done: true });"
    ),
    "iterator of a query": "Object.getPrototypeOf(new URLSearchParams('a=b').entries()).next = () => ({ done: true });",
    "updater of components": (
        "class A extends R.Component { render() { this.updater.enqueueSetState = () => {}; return null; } }"
        " return <A />;"
    ),
    "context of components": (
        "class A extends R.Component { render() { this.context.evil = 'evil'; return null; } } return <A />;"
    ),
    "refs of components": "new R.Component({}).refs.evil = 'evil';",
    "what use throws": "try { R.use(new Promise(() => {})); } catch (error) { error.evil = 'evil'; } return null;",
    "startTransition": "R.useTransition()[1].evil = 'evil';",
    "the engine's faults": (
        "try { const load = require; load('no' + 'thing'); } catch ({ constructor: Fault }) {"
        " Object.defineProperty(Fault, Symbol.hasInstance, { value: () => true }); }"
    ),
    "accessors of stack": (
        "const { get } = Object.getOwnPropertyDescriptor(new Error(), 'stack') ?? {}; if (get) get.evil = 'evil';"
    ),
    "toString of all": "Object.prototype.toString.evil = 'evil'; Function.prototype.toString.evil = 'evil';",
    "a door of the components": (
        "for (const name of ['vesper', 'CodeBlock']) Object.getOwnPropertyDescriptor(E, name).get.evil = 'evil';"
    ),
}
HEAD = "import * as E from 'react-email'; import * as R from 'react'; export const used = [E, R];\n"
VICTIM = f"""{HEAD}
class Counter extends R.Component {{
  state = {{ n: 1 }};
  UNSAFE_componentWillMount() {{ this.setState({{ n: 2 }}); }}
  render() {{ return <b>{{this.state.n}}{{Object.keys(this.context)}}{{Object.keys(this.refs ?? {{}})}}</b>; }}
}}
function Used() {{
  const start = R.useTransition()[1];
  const {{ get }} = Object.getOwnPropertyDescriptor(new Error(), 'stack') ?? {{}};
  const doors = ['vesper', 'CodeBlock'].map((name) => Object.getOwnPropertyDescriptor(E, name).get);
  return [start, get, Object.prototype.toString, Function.prototype.toString, ...doors].map((f) => f?.evil);
}}
function Caught() {{ try {{ R.use(new Promise(() => {{}})); }} catch (error) {{ return error.evil; }} }}
export default function Victim(props) {{
  const segments = new Intl.Segmenter('en', {{ granularity: 'word' }}).segment('a b');
  const query = [...new URLSearchParams('a=b').entries()].join();
  const clean = typeof evil === 'undefined' && typeof leak === 'undefined';
  return <div>
    {STYLED}
    <i>{{[...segments].length}} {{segments.containing(0).segment}} {{query}} {{String(clean)}}</i>
    <Counter /><u><Used /></u>
    <E.Tailwind><p className="p-4">y</p></E.Tailwind>
  </div>;
}}
"""
RIGHT = (
    '<div><p style="border-top{n}:3px;-ms-top:x" data-{n}="y">x</p><i>3 a a,b true</i><b>2</b><u></u>'
    '<p style="padding:1rem">y</p></div>'
)
BROKEN = "export default function Broken(props) {\n  return <p>{props.a.b}</p>;\n}"
numbers = itertools.count(1)


@pytest.mark.parametrize("body", LEAKS.values(), ids=LEAKS)
async def test_what_a_template_does_is_not_there_for_the_next(
    body: str, pool: Pool, job: Callable[..., Job], patiently: Patiently
) -> None:
    data = {"n": f"leak{next(numbers)}"}
    await patiently(pool, [job(f"{HEAD}export default function Bad(props) {{ {body}\nreturn <p>done</p>; }}", data)])
    found, broken = await patiently(pool, [job(VICTIM, data), job(BROKEN)])
    assert isinstance(found, Rendered), str(found)
    assert found.html is not None
    assert found.html.endswith(RIGHT.format(**data))
    assert isinstance(broken, TemplateFault)
    assert (broken.file, broken.line) == ("mail.tsx", 2)


@pytest.mark.parametrize(
    ("prop", "evil", "named"),
    [
        ("theme", "@theme { --spacing: 99px; }", "@theme { --spacing: 7px; }"),
        ("utility", ".pad { padding: 99px; }", ".pad { padding: 7px; }"),
    ],
)
async def test_a_style_sheet_that_calls_itself_by_anothers_name_is_nobody_elses(
    prop: str, evil: str, named: str, pool: Pool, job: Callable[..., Job], patiently: Patiently
) -> None:
    shown = {"theme": "p-1", "utility": "pad"}[prop]
    faces = f"const css = Object.assign(new String('{evil}'), {{ toJSON: () => '{named}' }});"
    mail = f"return <E.Tailwind {prop}={{css}}><p className='{shown}'>x</p></E.Tailwind>;"
    bad, good = (
        job(f"{HEAD}export default function Mail() {{ {css} {mail} }}") for css in (faces, f"const css = '{named}';")
    )
    await patiently(pool, [bad])
    [found] = await patiently(pool, [good])
    assert isinstance(found, Rendered), str(found)
    assert found.html is not None
    assert found.html.endswith('<p style="padding:7px">x</p>')


CAUGHT = "try { const load = require; load('no' + 'thing'); } catch (fault) {"
UNREADABLE = {
    "half a letter": (r"throw new Error('a\ud800b');", "b"),
    "half a letter, thrown as it is": (r"throw 'a\ud800b';", "b"),
    "a long number in a stack": (
        "const e = new Error('far'); e.stack = `E\\n at x (mail.tsx:${'9'.repeat(400)}:${'9'.repeat(400)})`; throw e;",
        "far",
    ),
    "a fault in a file that is no text": (CAUGHT + " throw new fault.constructor('odd', { a: 1 }, 'x', {}); }", "odd"),
    "a fault at a fraction": (CAUGHT + " throw new fault.constructor('odd', 'mail.tsx', -1.5, 1e300); }", "odd"),
    "a fault with half a letter": (CAUGHT + r" throw new fault.constructor('odd \ud800', '\ud800', 1, 1); }", "odd"),
    "a fault whose words are no text": (CAUGHT + " fault.message = 5; throw fault; }", "5"),
    "a long fault": (CAUGHT + " throw new fault.constructor('odd'.repeat(1e5), 'mail.tsx', 1, 1); }", "odd"),
}


@pytest.mark.parametrize(("body", "words"), UNREADABLE.values(), ids=UNREADABLE)
async def test_a_fault_that_cannot_be_read_is_told_and_costs_no_process(
    body: str, words: str, pool: Pool, job: Callable[..., Job], patiently: Patiently
) -> None:
    [found] = await patiently(pool, [job(f"export default function Bad() {{ {body} }}")])
    assert isinstance(found, TemplateFault)
    assert words in found.message
    assert len(found.message) < 6000
    assert "ended the render process" not in found.message


async def test_words_that_are_used_once_are_not_remembered_for_ever(
    pool: Pool, job: Callable[..., Job], patiently: Patiently
) -> None:
    source = (
        "export default ({ n }) => Array.from({ length: 100 }, (_, at) => <p key={at} style={{"
        " [`a${at}x${n}`.padEnd(10000, 'y')]: 1 }} />);"
    )

    def large(n: int) -> Any:
        return job(source, {"n": n})

    for first in range(0, 160, 8):  # 160 MB in all, of 128 that there are
        outcomes = await patiently(pool, [large(n) for n in range(first, first + 8)])
        assert all(isinstance(each, Rendered) for each in outcomes), outcomes
