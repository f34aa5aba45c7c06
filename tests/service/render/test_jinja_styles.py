"""Authors' <style> in Jinja templates: written into the sources where that is exact, else into each mail."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render import cascade, inline
from mailboat.render.jinja import Jinja

CSS = """<style>
p.a { color: navy } p { color: red; margin: 0 } .a { margin: 1px !important; background: url("x;y") }
a:hover { color: blue }
#top.a { z-index: 1 } @media (max-width: 600px) { .a { width: 100% !important } } .a, td { padding: 2px }
* { box-sizing: border-box } p { margin: 4px }
.card p { color: green } .card > p { border: 0 }
</style>"""
FLAT = re.sub(r"\.card.*\n", "", CSS)


def sources(source: str, **fields: Any) -> Sources:
    files = {"mail.html.j2": source, **fields.pop("files", {})}
    return Sources(engine="jinja", entry="mail.html.j2", files=files, **fields)


def render(source: str, data: dict[str, Any] | None = None, **fields: Any) -> Rendered:
    engine = Jinja()
    engine.define("d", engine.compile(sources(source, **fields)))
    return engine.render("d", json.dumps(data or {}).encode(), None)


class Styles(HTMLParser):
    """Every element with its declarations, as a browser takes them: the last one wins, if none is important."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        won: dict[str, str] = {}
        for name, value, important in cascade._declarations(dict(attrs).get("style") or ""):
            if important or not won.get(name, "").endswith("!"):
                won[name] = re.sub(r"[\"']", "", value) + ("!" if important else "")
        self.found.append((tag, won))


def styles(html: str | None) -> list[tuple[str, dict[str, str]]]:
    return Styles(html or "").found


EXACT = [
    FLAT + '<p class="a">x</p><p>y</p><p id="top" class="b a" style="color: blue">z</p>',
    FLAT + '{% for i in items %}<p class="a">{{ i }}</p>{% else %}<p>none</p>{% endfor %}',
    FLAT + "<p class='{% if yes %}a{% endif %} {{ cls }}'>x</p><p style='width:{{ n }}px'>y</p>",
    FLAT
    + "<p {% if yes %}class='a' style=\"color:blue\"{% endif %} title='1 > 0'>x</p><img {{ {'class': 'a'}|xmlattr }}>",
    FLAT + "{% macro m(c) %}<p class='{{ c }}'>{{ caller() }}</p>{% endmacro %}{% call m('a') %}<p>in</p>{% endcall %}",
    FLAT + "{% set x %}<p class=a>x</p>{% endset %}{{ x }}<br class='a'/><p class=\"a\"\n  id='top'>y</p>",
    "<html><head>"
    + CSS
    + "</head><body><div class='card'><p>x</p><div><p class=a>y</p></div></div><p>z</p></body></html>",
    "<body>"
    + CSS
    + "<table class='card'>{% for i in items %}<tr><td><p>{{ i }}</p></td></tr>{% endfor %}</table></body>",
    "<style>table > tr > td { color: red } tbody > tr > td { color: blue } table td { padding: 1px }</style>"
    "<body><table><tr><td>x</td></tr></table></body>",
]
DATA = {"items": [1, 2], "yes": True, "cls": "b & a", "n": 7}


@pytest.mark.parametrize("source", EXACT)
def test_styles_written_at_compile_time_are_those_of_css_inline(source: str) -> None:
    assert inline.plan({"mail.html.j2": source}, "mail.html.j2")[1] == ""
    late = Jinja()
    excepted = source.replace("<style>", "<style media=none>")  # is not inlined by us
    late.define("d", late.compile(sources(excepted)))
    bare = late.render("d", json.dumps(DATA).encode(), None).html or ""
    expected = inline.Inliner().inline(
        bare.replace(' media=none data-css-inline="ignore"', "").replace(" media=none", "")
    )
    assert styles(render(source, DATA).html) == styles(expected)


RED = "<style>p{color:red}</style>"
LATE = {
    "a rule from data": ("<style>p{color:{{ c }}}</style><p>", {}),
    "a condition": ("{% if c %}<style>p{color:red}</style>{% endif %}<p>", {}),
    "a structural selector": ("<style>p:first-child{color:red}</style><p>", {}),
    "an attribute selector": ("<style>p[id]{color:red}</style><p id=x>", {}),
    "a sibling": ("<style>b + p{color:red}</style><b></b><p>", {}),
    "HTML from data": (RED + "{{ html|safe }}", {}),
    "a tag from data": (RED + "<{{ 'p' }}>", {}),
    "ancestors in two files": ("<style>div p{color:red}</style><div>{% include 'p.html' %}</div>", {"p.html": "<p>"}),
    "misnested": ("<style>div p{color:red}</style><body><div><b><p></b></div></body>", {}),
    "a branch that opens": ("<style>div p{color:red}</style><body>{% if c %}<div>{% endif %}<p></body>", {}),
    "a conditional include": ("{% if c %}{% include 's.html' %}{% endif %}<p>", {"s.html": RED}),
    "macro": ("{% from 's.html' import m %}{{ m() }}<p>", {"s.html": "{% macro m() %}" + RED + "{% endmacro %}"}),
    "super": (
        "{% extends 'l.html' %}{% block h %}{{ super() }}<style>p{top:0}</style>{% endblock %}",
        {"l.html": "{% block h %}<style>p{color:red}</style>{% endblock %}<p>"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "files"), LATE.values(), ids=LATE)
def test_what_the_sources_do_not_tell_is_inlined_in_the_finished_mail(source: str, files: dict[str, str]) -> None:
    assert inline.plan({"mail.html.j2": source, **files}, "mail.html.j2")[1]
    found = styles(render(source, {"c": "red", "html": "<p>"}, files=files).html)
    assert [won["color"] for tag, won in found if tag == "p"] == ["red"]


def test_css_and_tags_meet_across_layouts_partials_and_macros() -> None:
    files = {
        "layout.html": f"<head>{FLAT}{{% block css %}}<style>p{{top:9px}}</style>{{% endblock %}}</head><p class=a>"
        "{% block main %}{% endblock %}{% include 'foot.html' %}",
        "foot.html": "<p id='foot'>",
        "m.html": "{% macro m() %}<p class='m'>{% endmacro %}",
    }
    source = (
        "{% extends 'layout.html' %}{% import 'm.html' as m %}"
        "{% block css %}<style>.m{left:0}</style>{% endblock %}{% block main %}<p>{{ m.m() }}{% endblock %}"
    )
    assert inline.plan({"mail.html.j2": source, **files}, "mail.html.j2")[1] == ""
    found = [won for tag, won in styles(render(source, files=files).html) if tag == "p"]
    assert [won["margin"] for won in found] == ["1px!", "4px", "4px", "4px"]
    assert [won.get("left") for won in found] == [None, None, "0", None]
    assert not any("top" in won for won in found)


@pytest.mark.parametrize("late", [False, True])
def test_nothing_but_styles_changes(late: bool) -> None:
    css = CSS + ("<style>p:first-child{left:0}</style>" if late else "")
    body = (
        '<body>\n<!--[if mso]><table class="a"><tr><td><![endif]-->&nbsp;&copy;&lt;p class=a&gt; é\n'
        "<table><tr><td width=1>1<td>2</table><br/><p\n title='a > b'>x<!--[if !mso]><!--><i>y</i><!--<![endif]-->"
        "<script>'<p class=\"a\">'</script>"
    )
    found = render(f"<html><head>{css}</head>{body}").html or ""
    assert re.sub(r' style="[^"]*"', "", found) == f"<html><head>{css}</head>{body}"
    assert found.count(" style=") == 10


@pytest.mark.parametrize("late", [False, True])
def test_an_element_can_be_excepted(late: bool) -> None:
    source = f"<style>p{{color:red}}</style><p data-css-inline='ignore'>x</p><p>y</p>{'{{ z|safe }}' if late else ''}"
    assert [won for tag, won in styles(render(source, {"z": ""}).html) if tag == "p"] == [{}, {"color": "red"}]


def test_places_are_the_authors_after_styles_were_written_in() -> None:
    line = " <b title='x' class='a'></b> <p class='{{ oops }}'>"
    source = FLAT + "<p class='a {{ c }}'>\n" + line
    with pytest.raises(TemplateFault) as caught:
        render(source, {"c": "<"})
    assert (caught.value.line, caught.value.column) == (FLAT.count("\n") + 2, line.index("oops") + 1)


@pytest.mark.parametrize(
    "css", ["{", "}", "a{", "p{:}", '"', "@media{", "p{a:b", "<!-- p{} -->", "p{a:url(", "/*", "p{color:red}}"]
)
@pytest.mark.parametrize("late", [False, True])
def test_css_that_is_broken_breaks_no_mail(css: str, late: bool) -> None:
    assert "hello" in (
        render(f"<style>{css}</style><p style='x'>hello{'{{ z|safe }}' if late else ''}", {"z": ""}).html or ""
    )


def test_css_without_rules_to_inline_costs_no_mail_anything() -> None:
    media = "<style>@media (max-width: 1px) { p { color: red } } a:hover { color: red }</style>"
    assert inline.plan({"a": media + "{{ x|safe }}"}, "a") == ("", "")
