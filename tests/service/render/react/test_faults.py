"""What an author reads when a React template is wrong: the file, the place, and words that help."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailboat.domain.message import Rendered
from mailboat.errors import TemplateFault
from mailboat.render import react
from mailboat.render.base import Job
from mailboat.render.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

USES = "import x from '{}';\nexport default () => <p>{{x}}</p>;"
FAULTS = {
    "a brace": ("export default () => (\n  <p>{</p>\n);", "mail.tsx:2:8: syntax error: unexpected '/'"),
    "a let": ("\nlet x = ;", "mail.tsx:2:9: syntax error: unexpected ';'"),
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
    "a style sheet": (USES.format("./a.css"), "mail.tsx:1:15: there is no file './a.css' to import"),
    "above the volume": (USES.format("../../etc/passwd"), "mail.tsx:1:15: there is no file '../../etc/passwd'"),
    "no export": ("const a = 1;", "mail.tsx:1:1: exports no component"),
    "no component": ("export default 3;", "mail.tsx:1:1: exports no component"),
    "a throw at load": ("const a = null;\na.b;\nexport default () => <p />;", "mail.tsx:2:3: TypeError: Cannot read"),
    "a throw": ("export default function M(p) {\n  return <p>{p.a.b}</p>;\n}", "TypeError: Cannot read properties of"),
    "an unknown component": (
        "import { Nope } from 'react-email';\nexport default function Mail() { return <Nope />; }",
        "mail.tsx: what is used as a component is undefined",
    ),
    "an object": ("export default function Mail() { return <p>{{ a: 1 }}</p>; }", "found: object with keys {a}"),
    "nothing to wait for": ("export default () => { throw new Promise(() => {}); };", "waits for something that never"),
    "a rejected promise": ("export default async () => { throw new RangeError('no'); };", "RangeError: no"),
    "a subject": ("export const subject = {};\nexport default () => <p />;", "`subject` must be a string"),
    "tailwind without head": (
        "import { Tailwind } from 'react-email';\n"
        "export default () => <Tailwind><p className='sm:p-1'>x</p></Tailwind>;",
        "<head> not found inside <Tailwind>",
    ),
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


async def test_a_throw_in_an_imported_file_names_that_file_and_line(pool: Pool, job: Callable[..., Job]) -> None:
    files = {"parts/total.ts": "export function total(items: any) {\n\n  return items.list.length;\n}"}
    source = "import { total } from './parts/total';\nexport default (p) => <p>{total(p)}</p>;"
    found = await fault(pool, job(source, files=files))
    assert (found.file, found.line, found.column) == ("parts/total.ts", 3, 21)


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
