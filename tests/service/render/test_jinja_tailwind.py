"""Tailwind in Jinja templates: baked by the JavaScript engine when a template is compiled, and never needed again."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest
import pytest_asyncio

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources, revise
from mailboat.errors import TemplateFault
from mailboat.render import findings, react_v8, tailwind
from mailboat.render.base import Job, Outcome
from mailboat.render.pools import Pools

RED = "color:rgb(251,44,54)"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def built(need: Callable[[object, str], None]) -> None:
    need(react_v8.is_built(), "the React engine is not built: make engine")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pools() -> AsyncIterator[Pools]:
    pools = Pools(1)
    yield pools
    await pools.close()


def job(source: str, data: dict[str, Any] | None = None, **fields: Any) -> Job:
    files = {"mail.html.j2": source, **fields.pop("files", {})}
    sources = Sources(engine="jinja", entry="mail.html.j2", files=files, subject="S", **fields)
    return Job(revise("mail", sources), json.dumps(data or {}).encode())


async def outcome(pools: Pools, *args: Any, **fields: Any) -> Outcome:
    return (await pools.render([job(*args, **fields)]))[0]


async def rendered(pools: Pools, *args: Any, **fields: Any) -> Rendered:
    found = await outcome(pools, *args, **fields)
    assert isinstance(found, Rendered), found
    return found


async def html(pools: Pools, *args: Any, **fields: Any) -> str:
    return (await rendered(pools, *args, **fields)).html or ""


async def test_classes_become_styles(pools: Pools) -> None:
    found = await html(pools, """<p class="p-4 text-red-500" style='margin:0'>x</p><b class='m-[3px]'>y</b><i>z</i>""")
    assert found == f"<p style='padding:16px;{RED};margin:0'>x</p><b style=\"margin:3px\">y</b><i>z</i>"


async def test_what_depends_on_screens_and_states_goes_to_the_head(pools: Pools) -> None:
    found = await html(pools, '<head><title>x</title></head><p class="p-4 sm:p-8 hover:underline mine">x</p>')
    head, _, body = found.partition("</head>")
    assert body == '<p style="padding:16px" class="sm_p-8 hover_underline mine">x</p>'
    assert re.search(r"<style>.*@media \(min-width:40rem\)\s*\{\.sm_p-8\{padding:32px!important\}", head)
    assert not re.search(r"oklch|var\(|calc\(|@layer", found)


async def test_classes_that_depend_on_data_are_looked_up(pools: Pools) -> None:
    source = (
        "{% set base = 'p-4' %}{% macro button(c) %}<a href='{{ url }}' class='{{ c }}'>{% endmacro %}"
        "<p class=\"{{ base }} {% if red %}text-red-500{% else %}m-2{% endif %}\">{{ button('bg-white') }}"
        "<b {% if red %}class='p-4'{% endif %} title=\"{{ url }}\"><i class='{{ own }}'>"
    )
    found = await html(pools, source, {"red": True, "url": "x", "own": "<\"'p-4"})
    assert found == (
        f'<p style="padding:16px;{RED}"><a style="background-color:rgb(255,255,255)" href=\'\'>'
        '<b style="padding:16px" title="x"><i class=\'&lt;&#34;&#39;p-4\'>'
    ).replace("href=''", "href='x'")
    assert '<p style="padding:16px;margin:8px">' in await html(pools, source, {"red": False, "url": "", "own": ""})


async def test_classes_come_through_blocks_macros_and_included_files(pools: Pools) -> None:
    files = {
        "mails/lay.html.j2": (
            '{% macro pad() %}{% if k %}pt-2{% endif %}{% endmacro %}<body class="{% block c %}p-4{% endblock %}">'
            "<p class=\"{{ pad() }} {% include './sub/c.txt' %}\">{% block b %}{% endblock %}"
        ),
        "mails/sub/c.txt": "{# bold #}font-bold{% if k %} text-red-500{% endif %}\n",
    }
    source = "{% extends 'mails/lay.html.j2' %}{% block c -%} font-sans{% if k %} underline{% endif %}{% endblock %}"
    found = await rendered(pools, source, {"k": True}, files=files)
    body, p = re.findall(r"<(?:body|p)([^>]*)>", found.html or "")
    assert body.startswith(' style="font-family:'), body
    assert body.endswith(';text-decoration-line:underline"'), body
    assert p == f' style="padding-top:8px;font-weight:700;{RED}"'
    assert not any("class" in each for each in findings.thorough(found).warnings)


async def test_layouts_partials_and_macros_share_one_head(pools: Pools) -> None:
    files = {
        "layout.html": "<head></head><body class='bg-white'>{% block main %}{% endblock %}{% include 'foot.html' %}",
        "foot.html": "<p class='md:hidden'>foot</p>",
        "macros.html": "{% macro button() %}<a class='p-2 sm:p-4'>go</a>{% endmacro %}",
    }
    source = (
        "{% extends 'layout.html' %}{% from 'macros.html' import button %}{% block main %}{{ button() }}{% endblock %}"
    )
    found = await html(pools, source, files=files)
    assert found.count("<style>") == 1
    assert {".sm_p-4{", ".md_hidden{"} <= {
        each + "{" for each in re.findall(r"\.[a-z]+_[\w-]+", found.partition("</head>")[0])
    }
    assert '<a style="padding:8px" class="sm_p-4">go</a>' in found
    assert "<body style='" not in found
    assert 'style="background-color:rgb(255,255,255)"' in found


async def test_authors_css_gives_way_to_classes_and_own_styles_win(pools: Pools) -> None:
    css = "<style>p { margin: 1px; padding: 1px; top: 1px } .mine { left: 0 }</style>"
    found = await rendered(pools, css + "<p class='p-4 mine' style='margin:9px'>")
    style = "margin:1px;padding:1px;top:1px;left:0;padding:16px;margin:9px"
    assert found.html == f"{css}<p class=\"mine\" style='{style}'>"
    assert found.warnings == ()


async def test_a_theme_is_the_templates_own(pools: Pools) -> None:
    for theme in ("--color-brand: #123456;", "@theme { --color-brand: #123456; }"):
        found = await html(pools, "<p class='text-brand'>", tailwind={"theme": theme})
        assert found == '<p style="color:rgb(18,52,86)">'
    assert "class='text-brand'" in await html(pools, "<p class='text-brand'><p class='p-4'>")


async def test_a_theme_that_is_broken_is_a_fault(pools: Pools) -> None:
    found = await outcome(pools, "<p class='p-4'>", tailwind={"theme": "@theme { --color"}, first_line={"tailwind": 3})
    assert isinstance(found, TemplateFault)
    assert found.message.startswith("Tailwind: ")
    assert (found.file, found.line) == ("mail.html.j2", 3)


async def test_an_unknown_class_is_a_warning_with_its_place(pools: Pools) -> None:
    found = await rendered(pools, "<p class='p-4'>\n <b class='text-gry-500 text-{{ 'x' }}'>")
    assert found.warnings == ("mail.html.j2:2:5: there is no Tailwind class 'text-gry-500'.",)


async def test_a_missing_head_is_a_warning(pools: Pools) -> None:
    assert (await rendered(pools, "<p class='sm:p-4'>")).warnings == (tailwind.LOST_HEAD,)


async def test_places_of_faults_are_the_authors(pools: Pools) -> None:
    line = " sm:p-8\" style='color:{{ c }}'>x {{ oops }}</p>"
    found = await outcome(pools, f'<p class="p-4\n{line}', {"c": "red"})
    assert isinstance(found, TemplateFault)
    assert (found.line, found.column) == (2, line.index("oops") + 1)


WANTED = [
    ("<p class='p-4'>", {}),
    ("<p class=\"x {{ 'bg-red-500' }}\">", {}),
    ("<p class={{ c }}>{% set c = 'sm:p-4' %}", {}),
    ("{% set c %}mt-2{% endset %}<p class='{{ c }}'>", {}),
    ("<p class='{% block c %}{% endblock %}'>{% block c %}mt-2{% endblock %}", {}),
    ("<p class='logo'>", {"theme": "--x: 1"}),
]
NOT_WANTED = [
    "<p>p-4 flex</p>",
    "<p class='logo main-title {{ x }}'>",
    "<style>.flex{color:red} @media x { .p-4{} }</style><p class='flex p-4'>",
    "<p style='display:flex' id='p-4'>",
    "{{ 'flex'|date('yyyy-mm-dd') }}",
]


@pytest.mark.parametrize(("source", "theme"), WANTED)
async def test_tailwind_classes_are_noticed(source: str, theme: dict[str, str]) -> None:
    assert tailwind.is_wanted(Sources(engine="jinja", entry="a", files={"a": source}, tailwind=theme))


@pytest.mark.parametrize("source", NOT_WANTED)
async def test_other_classes_are_not_taken_for_tailwinds(source: str) -> None:
    assert not tailwind.is_wanted(Sources(engine="jinja", entry="a", files={"a": source}))


def engines() -> dict[int, str]:
    """The engine of each zygote that we started, by pid."""
    found: dict[int, str] = {}
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
            if "mailboat.render.zygote" in (line := each.cmdline()):
                found[each.pid] = line[-1]
    return found


async def test_v8_is_started_for_tailwind_only() -> None:
    before, pools = engines(), Pools(1)
    await html(pools, "<style>.a{color:red}</style><p class='a logo'>")
    assert [name for pid, name in engines().items() if pid not in before] == ["jinja"]
    await html(pools, "<p class='p-4'>")
    assert sorted(name for pid, name in engines().items() if pid not in before) == ["jinja", "react"]
    await pools.close()
    assert not engines().keys() - before.keys()


async def test_what_cannot_be_baked_here_is_left_and_said(pools: Pools) -> None:
    from mailboat.render.jinja import Jinja

    engine = Jinja()
    engine.define("d", engine.compile(job("<p class='p-4'>").revision.sources))
    found = engine.render("d", b"{}", None)
    assert (found.html, found.warnings) == ("<p class='p-4'>", (tailwind.NOT_HERE,))


HOSTILE = [
    "class='{% block a %}'" * 60_000,
    "class=" * 150_000,
    'class="' * 150_001,
    "<style" * 100_000,
    "{% set x %}" * 60_000,
    "{{'" * 200_000,
]


@pytest.mark.parametrize("source", HOSTILE, ids=lambda source: source[:8])
async def test_looking_for_classes_takes_linear_time(source: str) -> None:
    import time

    began = time.process_time()
    tailwind.is_wanted(Sources(engine="jinja", entry="a", files={"a": source + "class"}))
    assert time.process_time() - began < 1.5
