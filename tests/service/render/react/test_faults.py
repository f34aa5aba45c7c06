"""What an author reads when a React template is wrong: the file, the place, and words that help."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailboat.domain.message import Rendered
from mailboat.errors import TemplateFault
from mailboat.render import base, react
from mailboat.render.base import Job
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

USES = "import x from '{}';\nexport default () => <p>{{x}}</p>;"
FAULTS = {
    "a brace": ("export default () => (\n  <p>{</p>\n);", "mail.tsx:2:8: syntax error: unexpected '/'"),
    "a let": ("\nlet x = ;", "mail.tsx:2:9: syntax error: unexpected ';'"),
    "a let behind two code units": ("\n'😀'; let x = ;", "mail.tsx:2:14: syntax error: unexpected ';'"),
    "tags": (
        "export default () => (\n  <div>\n    <b>x</i>\n  </div>\n);",
        "mail.tsx:3:9: syntax error: </i> closes <b>",
    ),
    "an end": ("export default () => {", "mail.tsx:1:23: syntax error"),
    "a package": (USES.format("lodash"), "mail.tsx:1:15: import of 'lodash' is not allowed"),
    "node": (USES.format("node:fs"), "mail.tsx:1:15: import of 'node:fs' is not allowed"),
    "react-dom": (USES.format("react-dom/server"), "mail.tsx:1:15: import of 'react-dom/server' is not allowed"),
    "a package by require": ("const x = require('fs');", "mail.tsx:1:19: import of 'fs' is not allowed"),
    "a package by import()": ("export const x = import('os');", "mail.tsx:1:25: import of 'os' is not allowed"),
    "a package re-exported": ("export * from 'fs';", "mail.tsx:1:15: import of 'fs' is not allowed"),
    "a missing file": (USES.format("./gone"), "mail.tsx:1:15: there is no file './gone' to import"),
    "a style sheet": (
        USES.format("./a.css"),
        "mail.tsx:1:15: './a.css' cannot be imported, only .tsx, .ts, .jsx, .js or",
    ),
    "a picture": (USES.format("./a.png"), "'./a.png' cannot be imported, only .tsx, .ts, .jsx, .js or .json can: name"),
    "above the volume": (
        USES.format("../../etc/passwd"),
        "mail.tsx:1:15: '../../etc/passwd' lies outside of the source",
    ),
    "no export": ("const a = 1;", "mail.tsx:1:1: exports no component"),
    "no component": ("export default 3;", "mail.tsx:1:1: exports no component"),
    "a throw at load": ("const a = null;\na.b;\nexport default () => <p />;", "mail.tsx:2:3: TypeError: Cannot read"),
    "a throw": (
        "export default function M(p) {\n  return <p>{p.a.b}</p>;\n}",
        "mail.tsx:2:18: TypeError: Cannot read properties of",
    ),
    "a throw behind types": (
        "interface P { b: { c: string } }\nexport default function M({ b }: P & { z: number }) {\n"
        "  const t: string = (b as any)!.c as string;\n  return <p>{t}</p>;\n}",
        "mail.tsx:3:33: TypeError",
    ),
    "a throw after await": (
        "export default async (p) => {\n  await null;\n  return <p>{p.a.b}</p>;\n};",
        "mail.tsx:3:18: TypeError",
    ),
    "a throw in tailwind": (
        "import { Html, Head, Tailwind, Text } from 'react-email';\n"
        "function Row({ item }: { item: { price: number } }) {\n"
        "  return <Text className='p-1'>{item.price.toFixed(2)}</Text>;\n}\n"
        "export default (p) => <Html><Tailwind><Head /><Row item={p.x} /></Tailwind></Html>;",
        "mail.tsx:3:38: TypeError",
    ),
    "a class that is no component": (
        "const a = 1;\nexport default class Mail {}",
        "mail.tsx:2:16: Mail is a class, but no component: extend React.Component, or write a function",
    ),
    "control characters": (
        "export default () => {\n  throw new Error('a\\u001b[31m\\0b');\n};",
        "mail.tsx:2:9: a\u241b[31m\u2400b",
    ),
    "a throw behind a template string": (
        "const base = `a${'x'}`;\nexport default ({ user }: any) => {\n  const b = `${base}${base}`;\n"
        "  return (\n    <div>\n      <p>x</p> <b title={b}>{user.name}</b>\n    </div>\n  );\n};",
        "mail.tsx:6:35: TypeError: Cannot read properties of",
    ),
    "a stack of its own": (
        "export default function Mail() {\n  const e = new TypeError('Cannot read properties of undefined (x)');\n"
        "  e.stack = 'at Mail (mail.tsx:999:7)';\n  throw e;\n}",
        "mail.tsx:999:7: TypeError: Cannot read properties of undefined (x)",
    ),
    "a thrown string": ("export default function Mail() {\n  throw 'no';\n}", "mail.tsx:1:16: threw no"),
    "an unknown component": (
        "import { Nope } from 'react-email';\nexport default function Mail() { return <Nope />; }",
        "mail.tsx:2:41: 'react-email' has no export 'Nope'",
    ),
    "an unknown component in tailwind": (
        "import { Nope, Html, Head, Tailwind } from 'react-email';\n"
        "export default () => <Html><Tailwind><Head />\n  <Nope /></Tailwind></Html>;",
        "mail.tsx:3:3: 'react-email' has no export 'Nope'",
    ),
    "an unknown function": (
        "import { nope } from 'react-email';\nexport default () => {\n  return <p>{nope()}</p>;\n};",
        "mail.tsx:3:14: 'react-email' has no export 'nope'",
    ),
    "an object as component": (
        "const Part = {};\nexport default () => <p><Part /></p>;",
        "mail.tsx:2:25: <Part> is an object, not a component",
    ),
    "the network": (
        "export default async () => {\n  const r = await fetch('https://example.com');\n  return r;\n};",
        "mail.tsx:2:13: fetch is not defined: there is no network in a template",
    ),
    "a name that is not there": (
        "export default () => <p>\n  <Nope /></p>;",
        "mail.tsx:2:4: ReferenceError: Nope is not defined",
    ),
    "a style as string": (
        "export default function M() {\n  return <p style='a'>x</p>;\n}",
        "`style` must be an object",
    ),
    "a void element": ("export default function M() {\n  return <br>x</br>;\n}", "<br> is a void element"),
    "a hook outside": (
        "import { useState } from 'react';\nconst [a] = useState(1);\nexport default () => <p>{a}</p>;",
        "mail.tsx:2:13: hooks can be used only inside of a component",
    ),
    "a tag that stays open": (
        "export default () => {\n  return (\n    <div>\n      <p>b</p>\n  );\n};",
        "mail.tsx:3:5: syntax error: <div> is not closed",
    ),
    "two elements where one may be": (
        "export default () => (\n  <p>a</p>\n  <p>b</p>\n);",
        "mail.tsx:3:7: syntax error: no tag is open here: elements beside each other need one around them",
    ),
    "half a conditional in a tag": (
        "export default (p) => (\n  <div>\n    {p.a ? <p>x</p> : }\n  </div>\n);",
        "mail.tsx:3:23: syntax error: unexpected '}'",
    ),
    "a bracket in a tag": (
        "export default (p) => {\n  return <ul>\n    {p.items.map((i) => <li>{i}</li>}\n  </ul>;\n};",
        "mail.tsx:3:37: syntax error: unexpected '}', expected \",\"",
    ),
    "a fault after a generic function": (
        "const id = <T extends string>(x: T) => x;\nexport default () => {\n  const y = ;\n};",
        "mail.tsx:3:13: syntax error: unexpected ';'",
    ),
    "a name twice": (
        "const a: number = 1;\nconst b: number = 2, a = 3;\nexport default () => null;",
        "mail.tsx:2:22: syntax error: Identifier 'a' has already been declared",
    ),
    "await in a function": (
        "export default () => {\n  const x: any = await 2;\n  return x;\n};",
        "mail.tsx:2:24: syntax error: await is only valid",
    ),
    "a regular expression": (
        "export default () => {\n  return /a(/.source;\n};",
        "mail.tsx:2:10: syntax error: Invalid regular expression",
    ),
    "an object": ("export default function Mail() { return <p>{{ a: 1 }}</p>; }", "found: object with keys {a}"),
    "nothing to wait for": ("export default () => { throw new Promise(() => {}); };", "waits for something that never"),
    "a timer that throws": (
        "export default async () => {\n  await new Promise(() => setTimeout(() => {\n"
        "    throw new Error('late');\n  }, 5));\n};",
        "mail.tsx:3:11: late",
    ),
    "an interval without end": (
        "export default async () => { await new Promise(() => setInterval(() => 1, 5)); };",
        "took longer than 200 ms",
    ),
    "a namespace of two names": (
        "namespace A.B {\n  export const x = 1;\n}\nexport default () => <p>{A.B.x}</p>;",
        "mail.tsx:1:1: syntax error: a namespace with dots in its name is not supported",
    ),
    "a pattern in a namespace": (
        "namespace A {\n  export const { x } = { x: 1 };\n}\nexport default () => <p>{A.x}</p>;",
        "mail.tsx:2:16: syntax error: in a namespace, export names and no patterns",
    ),
    "a throw in a namespace": (
        "namespace A {\n  export const x = (p) => p.a.b;\n}\nexport default () => <p>{A.x({})}</p>;",
        "mail.tsx:2:31: TypeError",
    ),
    "a rejected promise": ("export default async () => { throw new RangeError('no'); };", "RangeError: no"),
    "a subject": (
        "export const subject = {};\nexport default () => <p />;",
        "mail.tsx:1:8: `subject` must be a string",
    ),
    "tailwind without head": (
        "import { Tailwind } from 'react-email';\n"
        "export default () => <Tailwind><p className='sm:p-1'>x</p></Tailwind>;",
        "<head> not found inside <Tailwind>",
    ),
}


REFUSED_BY_REACT = {
    "an object among children": (
        "<p>a{{ a: 1, b: 2 }}</p>",
        "an object is not something to show (found: object with keys {a, b})",
    ),
    "a date": ("<Text>{new Date(0)}</Text>", "an object is not something to show (found: [object Date])"),
    "an object in a list": (
        "<ul>{[1, [{ c: 1 }]]}</ul>",
        "an object is not something to show (found: object with keys {c})",
    ),
    "a style as string": ("<p style='color: red'>x</p>", "`style` must be an object"),
    "a void element": ("<br>x</br>", "<br> is a void element"),
    "html as string": ("<p dangerouslySetInnerHTML={'x' as any} />", "`dangerouslySetInnerHTML` must be an object"),
    "html and children": (
        "<p dangerouslySetInnerHTML={{ __html: '' }}>x</p>",
        "either children or `dangerouslySetInnerHTML`",
    ),
    "an unknown language": (
        "<CodeBlock code='x' theme={dracula} language={'no' as any} />",
        "no language defined on Prism called no",
    ),
    "no text for markdown": ("<Markdown>{undefined as any}</Markdown>", "input parameter is undefined"),
}


async def fault(pool: Pool, job: Job) -> TemplateFault:
    [outcome] = await pool.render([job])
    assert isinstance(outcome, TemplateFault)
    return outcome


@pytest.mark.parametrize(("source", "message"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_says_what_and_where(source: str, message: str, pool: Pool, job: Callable[..., Job]) -> None:
    found = await fault(pool, job(source))
    assert message in str(found)
    assert found.file == "mail.tsx"


@pytest.mark.parametrize(
    ("props", "said"), [("[1]", "an array"), ("'x'", "a string"), ("''", "a string"), ("3", "a number")]
)
@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("M.PreviewProps = {};", "2:3"),
        ("export const PreviewProps: any = {};", "2:14"),
        ("const a = {};\nM.PreviewProps = a;", "3:3"),
    ],
)
async def test_preview_props_that_are_no_props_are_a_fault(
    given: str, place: str, props: str, said: str, pool: Pool, job: Callable[..., Job]
) -> None:
    source = f"export default function M(p) {{ return <p>{{p.name}}</p>; }}\n{given.replace('{}', props)}"
    made = job(source)
    mail, example = await pool.render([job(source, {"name": "Ada"}), Job(made.revision, base.OWN_EXAMPLE)])
    assert isinstance(mail, Rendered)
    assert str(example) == f"mail.tsx:{place}: `PreviewProps` must be an object of props, not {said}"


ALIASES = {"tsconfig.paths.json": '{"~one": ["src/one.ts"], "@/*": ["lib/*", "./src/*"], "*": ["src/*"]}'}


@pytest.mark.parametrize("name", ["~one", "@/one", "one", "@/deep"])
async def test_a_name_that_the_project_gives_a_file_is_an_import_of_it(
    name: str, pool: Pool, job: Callable[..., Job]
) -> None:
    files = {
        **ALIASES,
        "src/one.ts": "export const x = 'found';",
        "src/deep/index.ts": "import * as y from '@/deep/er';\nexport const x = y.x;",
        "src/deep/er.ts": "export { x } from '~one';",
    }
    [outcome] = await pool.render(
        [job(f"import {{ x }} from '{name}';\nexport default () => <p>{{x}}</p>;", files=files)]
    )
    assert isinstance(outcome, Rendered), str(outcome)
    assert outcome.text == "found"


async def test_a_name_of_the_projects_that_finds_no_file_says_where_it_was_looked_for(
    pool: Pool, job: Callable[..., Job]
) -> None:
    faults = {
        "@/two": "there is no file '@/two' to import (.tsx, .ts, .jsx, .js or .json): tsconfig.json has it at lib/two",
        "@/../../x": "import of '@/../../x' is not allowed",
        "two": "import of 'two' is not allowed",
        "fs": "import of 'fs' is not allowed",
    }
    for name, message in faults.items():
        assert f"mail.tsx:1:15: {message}" in str(await fault(pool, job(USES.format(name), files=ALIASES)))


async def test_a_throw_in_an_imported_file_names_that_file_and_line(pool: Pool, job: Callable[..., Job]) -> None:
    files = {"parts/total.ts": "export function total(items: any) {\n\n  return items.list.length;\n}"}
    source = "import { total } from './parts/total';\nexport default (p) => <p>{total(p)}</p>;"
    found = await fault(pool, job(source, files=files))
    assert (found.file, found.line, found.column) == ("parts/total.ts", 3, 21)


@pytest.mark.parametrize("wrap", ["{}", "<Html><Tailwind><Head />\n{}</Tailwind></Html>"], ids=["plain", "tailwind"])
@pytest.mark.parametrize(("element", "message"), REFUSED_BY_REACT.values(), ids=REFUSED_BY_REACT)
async def test_what_react_refuses_is_found_where_it_was_written(
    element: str, message: str, wrap: str, pool: Pool, job: Callable[..., Job]
) -> None:
    source = (
        "import { CodeBlock, Head, Html, Markdown, Tailwind, Text, dracula } from 'react-email';\n"
        "function Part({ x = 1 }: { x?: number }) {\n  return (\n    <div>\n\n      "
        + element
        + "\n    </div>\n  );\n}\n"
        "export default () => " + wrap.format("<p><i>{'x'}</i><Part /></p>") + ";"
    )
    found = await fault(pool, job(source))
    for _ in range(5):  # the line is looked for only while there is time left
        if found.line != 6:
            found = await fault(pool, job(source))
    assert message in found.message
    assert (found.file, found.line, found.column) == ("mail.tsx", 6, 7)


async def test_a_fault_in_an_imported_file_names_it(pool: Pool, job: Callable[..., Job]) -> None:
    source = "import x from './{}';\nexport default () => <p>{{x.y}}</p>;"
    faults = {
        "data.json": (
            '{\n  "x": 1,\n  "y": 2,\n}\n',
            "data.json:4:1: not valid JSON: Expected double-quoted property name",
        ),
        "none.json": ("", "none.json:1:1: not valid JSON: Unexpected end"),
        "rows.ts": (
            "export default {\n  x: 1\n  y: 2,\n};\n",
            "rows.ts:3:3: syntax error: unexpected 'y', expected \",\"",
        ),
        "mark.jsx": (
            "export default () => (\n  <p>\n    <b>\n  </p>\n);",
            "mark.jsx:4:3: syntax error: </p> closes <b>",
        ),
        "part.tsx": ("const a = 1;\nexport const a = 2;", "part.tsx:2:14: syntax error: Identifier 'a'"),
    }
    for file, (content, message) in faults.items():
        assert message in str(await fault(pool, job(source.format(file), files={file: content})))


async def test_what_a_file_does_not_export_is_named(pool: Pool, job: Callable[..., Job]) -> None:
    files = {"m.ts": "export const cash = () => 1;"}
    named = "import { money } from './m';\nexport default () => (\n  <p>{money(1)}</p>\n);"
    default = "import Money from './m';\nexport default () => (\n  <p><Money /></p>\n);"
    assert str(await fault(pool, job(named, files=files))) == "mail.tsx:3:7: './m' has no export 'money'"
    assert str(await fault(pool, job(default, files=files))) == "mail.tsx:3:6: './m' has no export default"


@pytest.mark.parametrize("use", ["a.toFixed()", "a()", "class extends a {}"])
async def test_what_a_cycle_of_imports_uses_too_early_is_named(use: str, pool: Pool, job: Callable[..., Job]) -> None:
    files = {
        "a.ts": "import { b } from './b';\nexport const a: any = 1;\nexport const c = b;",
        "b.ts": f"import {{ a }} from './a';\nexport const b =\n  {use};",
    }
    found = await fault(pool, job("import { a } from './a';\nexport default () => <p>{a}</p>;", files=files))
    assert (found.file, found.line) == ("b.ts", 3)
    assert found.message.startswith("'a' of './a' is not there yet: b.ts and a.ts import each other")


async def test_what_is_no_component_harms_only_where_it_is_rendered(pool: Pool, job: Callable[..., Job]) -> None:
    source = "import { Nope } from 'react-email';\nexport default () => { const unused = <Nope />; return <p>x</p>; };"
    [outcome] = await pool.render([job(source)])
    assert isinstance(outcome, Rendered), str(outcome)


async def test_a_cycle_of_imports_is_no_fault(pool: Pool, job: Callable[..., Job]) -> None:
    files = {
        "a.ts": "import { b } from './b'; export const a = () => b();",
        "b.ts": "import { a } from './a'; export const b = () => typeof a;",
    }
    [outcome] = await pool.render([job("import { a } from './a';\nexport default () => <p>{a()}</p>;", files=files)])
    assert isinstance(outcome, Rendered)
    assert "<p>function</p>" in (outcome.html or "")


async def test_packages_of_types_need_not_be_there(pool: Pool, job: Callable[..., Job]) -> None:
    source = "import { Config } from 'tailwindcss';\nexport default (p: Config) => <p>fine</p>;"
    [outcome] = await pool.render([job(source)])
    assert isinstance(outcome, Rendered)


async def test_timers_of_one_mail_do_not_fire_in_the_next(pool: Pool, job: Callable[..., Job]) -> None:
    leaves = "setTimeout(() => { throw new Error('left'); }, 1);\nexport default () => { %s return <p>x</p>; };"
    waits = "export default async () => { await new Promise((done) => setTimeout(done, 60000)); return <p>y</p>; };"
    first, second = job(leaves % leaves.splitlines()[0]), job(waits)
    outcomes = await pool.render([first, second, first, second])
    assert [outcome.text for outcome in outcomes if isinstance(outcome, Rendered)] == ["x", "y", "x", "y"]


async def test_locale_and_translations_are_props(pool: Pool, job: Callable[..., Job]) -> None:
    source = "export const subject = (p) => p.t.hi;\nexport default (p) => <p>{p.locale} {p.t.hi} {p.name}</p>;"
    translations = {"de": {"hi": "Hallo"}}
    [outcome] = await pool.render([job(source, {"name": "Ada"}, locale="de-AT", translations=translations)])
    assert isinstance(outcome, Rendered)
    assert outcome.subject == "Hallo"
    assert outcome.text == "de-AT Hallo Ada"


async def test_without_a_subject_there_is_a_warning(pool: Pool, job: Callable[..., Job]) -> None:
    outcomes = await pool.render(
        [job("export default () => <p>x</p>;"), job("export default () => <p>y</p>;", subject="S")]
    )
    assert [(each.subject, each.warnings) for each in outcomes if isinstance(each, Rendered)] == [
        ("", (react.NO_SUBJECT,)),
        ("S", ()),
    ]


async def test_a_subject_is_one_line(pool: Pool, job: Callable[..., Job]) -> None:
    source = "export const subject = async (p) => `Hi\\r\\nBcc: ${p.name}`;\nexport default () => <p>x</p>;"
    [outcome] = await pool.render([job(source, {"name": "all@example.com"})])
    assert isinstance(outcome, Rendered)
    assert outcome.subject == "Hi Bcc: all@example.com"


async def test_data_are_props_whatever_they_are_called(pool: Pool, job: Callable[..., Job]) -> None:
    source = "export default ({ children, key, ...rest }) => <p>{children}{key}{Object.keys(rest).join()}</p>;"
    data = {"children": "c", "key": "k", "ref": "r", "__proto__": {"x": 1}, "dangerouslySetInnerHTML": {"__html": "h"}}
    [outcome] = await pool.render([job(source, data)])
    assert isinstance(outcome, Rendered), str(outcome)
