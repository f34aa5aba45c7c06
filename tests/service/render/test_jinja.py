"""The engine `jinja`: what it renders, and how it names a fault's place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render.base import Job
from mailboat.render.jinja import Jinja

JobMaker = Callable[..., Job]
DATA: dict[str, Any] = {
    "name": "<Ada & 'Co'>",
    "order": {"items": [{"title": "Pen", "price": 4.5}, {"title": "<b>", "price": 1234.5}], "get": "g", "note": ""},
    "none": None,
    "yes": True,
    "n": 7,
}


def render(job: Job) -> Rendered:
    engine = Jinja()
    engine.define(job.revision.digest, engine.compile(job.revision.sources))
    return engine.render(job.revision.digest, job.data, job.locale)


def html(job: Job) -> str | None:
    return render(job).html


def fault(job: Job) -> TemplateFault:
    with pytest.raises(TemplateFault) as caught:
        render(job)
    return caught.value


AS_IN_JINJA = [
    "{{ name }} {{ name|safe }} {{ name|upper }} {{ none }} {{ yes }} {{ n }} {{ 1.5 }} {{ [1, '<'] }}",
    "{% for i in order['items'] %}{{ loop.index }}/{{ loop.length }} {{ i.title }} {% endfor %}",
    "{% for i in order['items'] %}{{ '{:,.2f}'.format(i.price) }} {{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% macro m(a, b='<') %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(name, '&') }}{{ m(b=2, a=3) }}",
    "{% macro m() %}<i>{{ caller() }}</i>{% endmacro %}{% call m() %}{{ name }}{% endcall %}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, a=2) }}",
    "{% set x %}<p>{{ name }}</p>{% endset %}{{ x }}{% filter upper %}{{ name }}{% endfilter %}",
    "{{ 'a' ~ name ~ 1 }} {{ 2 * 3 }} {{ 'ab' * 2 }} {{ 2 ** 8 }} {{ 7 % 4 }} {{ '%s-%05d' % ('<', 7) }}",
    "{{ ' x '.strip() }} {{ name.replace('<', '>') }} {{ '{0:>8}'.format(name) }} {{ '%s of 100000'|format(name) }}",
    "{{ order['items']|map(attribute='title')|join(', ') }} {{ [3, 1]|sort|first }} {{ 3.14159|round(2) }}",
    "{% if order.note %}a{% elif order %}b{% endif %} {{ order.note|default('d', true) }} {{ missing|default('<') }}",
    "{% autoescape false %}{{ name }}{% endautoescape %} {{ ('<%s>'|safe) % name }} {{ ('{}'|safe).format(name) }}",
    "{{ dict(a=1) }} {{ order.items is defined }} {{ range(3)|list }} {{ 'x'|center(5) }} {{ name|length }}",
    "{% set ns = namespace(t=0) %}{% for i in order['items'] %}{% set ns.t = ns.t + i.price %}{% endfor %}{{ ns.t }}",
    "{{ 12345678 }} {{ '%d' % 12345678 }} {{ '{}'.format(12345678) }} {{ 'a'.join(['<', '>']) }}",
]


@pytest.mark.parametrize("source", AS_IN_JINJA)
def test_output_is_that_of_jinjas_own_sandbox(source: str, job: JobMaker) -> None:
    assert html(job(source, DATA)) == ImmutableSandboxedEnvironment(autoescape=True).from_string(source).render(DATA)


def test_a_key_wins_over_a_method_of_the_same_name(job: JobMaker) -> None:
    source = "{{ order.items|length }}{{ order.get }}{{ order.keys()|length }}{{ order.nope is defined }}"
    assert html(job(source, DATA)) == "2g3False"


def test_subject_and_text_are_not_escaped_and_the_subject_is_one_line(job: JobMaker) -> None:
    found = render(job("{{ a }}", {"a": "<&\r\nBcc: x@y.example \u2028 z"}, subject="Re:\n{{ a }}", text="* {{ a }}"))
    assert found.subject == "Re: <& Bcc: x@y.example z"
    assert found.html == "&lt;&amp;\r\nBcc: x@y.example \u2028 z"
    assert (found.text or "").startswith("* <&")


@pytest.mark.parametrize("break_", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\t"])
def test_a_subject_holds_nothing_that_a_header_may_not(break_: str, job: JobMaker) -> None:
    assert render(job("x", {"a": f"{break_}x{break_} {break_}y"}, subject="{{ a }}")).subject == "x y"


def test_text_is_derived_when_the_author_gives_none(job: JobMaker) -> None:
    assert render(job("<p>{{ a }}</p>", {"a": "1 < 2"})).text == "1 < 2"


def test_files_extend_include_and_import_each_other(job: JobMaker) -> None:
    files = {
        "layouts/base.html": "<{% block title %}T{% endblock %}>{% include './foot.html' %}",
        "layouts/foot.html": "foot {{ name }}",
        "macros.html": "{% macro b(x) %}<b>{{ x }}</b>{% endmacro %}",
        "plain.txt": "{{ name }}",
    }
    source = (
        "{% extends 'layouts/base.html' %}{% from 'macros.html' import b %}"
        "{% block title %}{{ super() }}{{ b(name) }}"
        "{% include 'plain.txt' %}{% include 'no' ignore missing %}{% endblock %}"
    )
    assert html(job(source, {"name": "&"}, files=files)) == "<T<b>&amp;</b>&>foot &amp;"


@pytest.mark.parametrize(
    ("locale", "expected"), [("de-AT", "Servus"), ("de_CH", "Danke"), ("de", "Danke"), ("fr", "None"), (None, "None")]
)
def test_translations_follow_the_locale_then_its_language(locale: str | None, expected: str, job: JobMaker) -> None:
    words = {"de": {"thanks": "Danke"}, "de-AT": {"thanks": "Servus"}}
    found = html(job("{{ t.thanks or none }} {{ locale }}", {"none": None}, locale, translations=words))
    assert found == f"{expected} {locale}"


def test_an_undefined_value_may_be_tested_and_looped_over(job: JobMaker) -> None:
    source = (
        "{% if x %}a{% endif %}{% for i in x %}b{% endfor %}"
        "{{ x|default('c') }}{{ x is defined }}{% if not o.y %}d{% endif %}"
    )
    assert html(job(source, {"o": {}})) == "cFalsed"


FAULTS = {
    "printed undefined": ("<p>\n  Hi {{ nmae }}", 2, 9, "'nmae' is undefined"),
    "undefined key": ("{{ order.itms }}", 1, 10, "did you mean 'items'?"),
    "undefined in a loop": (
        "{% for i in order['items'] %}\n\n {{ i.title }} {{ i.tilte }}{% endfor %}",
        3,
        21,
        "'tilte'",
    ),
    "undefined in a macro": ("{% macro m() %}\n{{ zzz }}{% endmacro %}\n{{ m() }}", 2, 4, "'zzz'"),
    "undefined passed on": ("a {{ 'x' ~ zzz }}", 1, 12, "'zzz'"),
    "attribute of undefined": ("{{ a.b }}", 1, 4, "'a'"),
    "index": ("{{ order['items'][9] }}", 1, 4, "element 9 is undefined"),
    "unknown filter": ("\n\n<b>{{ name|shout }}</b>", 3, 12, "No filter named 'shout'"),
    "unknown tag": ("a\n {% fro x %}", 2, 5, "unknown tag 'fro'"),
    "unclosed": ("{% if name %}\na", 1, 14, "Unexpected end of template"),
    "wrong close": ("{% if name %}{% endfor %}", 1, 17, "unknown tag 'endfor'"),
    "strange character": ("<p>\r\n{{ name & 1 }}", 2, 9, "unexpected char '&'"),
    "missing operand": ("{{ 1 + }}", 1, 8, "unexpected 'end of print statement'"),
    "division": ("a {{ 1 / 0 }}", 1, 6, "ZeroDivisionError"),
    "types": ("a\n{% if name > 1 %}{% endif %}", 2, 4, "TypeError"),
    "missing file": ("\n {% include 'nope.html' %}", 2, 5, "there is no file 'nope.html'"),
    "sandbox": ("{{ name.__class__ }}", 1, 9, "'__class__'"),
    "a method": ("{{ name.upper }}", 1, 9, "'upper' is a function and cannot be printed: call it, as in upper()"),
    "a macro": ("{% macro m() %}x{% endmacro %}{{ m }}", 1, 34, "call it, as in m()"),
    "range": ("{{ range }}", 1, 4, "call it, as in range()"),
    "a generator": ("{{ order['items']|map(attribute='x') }}", 1, 4, "end with |join(', ') or |list"),
    "filler text": ("{{ lipsum() }}", 1, 4, "'lipsum' is undefined"),
    "limit": ("{{ 'a' * 10000000 }}", 1, 4, "more than 1048576 elements"),
}


@pytest.mark.parametrize(("source", "line", "column", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_its_place(source: str, line: int, column: int, message: str, job: JobMaker) -> None:
    found = fault(job(source, DATA))
    assert message in found.message
    assert (found.file, found.line, found.column) == ("mail.html.j2", line, column)


def test_a_function_is_printed_nowhere(job: JobMaker) -> None:
    assert "'range' is a function" in fault(job("x", subject="{{ range }}")).message
    assert "'strip' is a function" in fault(job("x", DATA, text="{{ name.strip }}")).message
    assert "'dict' is a function" in fault(job("{% include 'a.txt' %}", files={"a.txt": "{{ dict }}"})).message


def test_lines_are_those_of_the_authors_file(job: JobMaker) -> None:
    found = fault(job("a\n{{ x }}", first_line={"mail.html.j2": 12}))
    assert str(found) == "mail.html.j2:13:4: 'x' is undefined"


def test_a_fault_in_a_partial_names_the_partial(job: JobMaker) -> None:
    found = fault(job("{% include 'foot.html' %}", files={"foot.html": "\n{{ x }}"}, first_line={"mail.html.j2": 5}))
    assert (found.file, found.line, found.column) == ("foot.html", 2, 4)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"subject": "Hi {{ x }}", "first_line": {"subject": 2}}, ("mail.html.j2", 2, 7)),
        ({"subject": "Hi {{ x }}"}, ("subject", 1, 7)),
        ({"text": "\n{{ x }}", "first_line": {"text": 4}}, ("mail.html.j2", 5, 4)),
        ({"text": "{{ x"}, ("text", 1, 4)),
    ],
)
def test_faults_in_subject_and_text_are_placed(
    fields: dict[str, Any], place: tuple[str, int, int], job: JobMaker
) -> None:
    found = fault(job("", **fields))
    assert (found.file, found.line, found.column) == place


def test_data_that_is_no_object_is_a_fault(job: JobMaker) -> None:
    made = job("x")
    assert "object" in fault(Job(made.revision, b"[1]")).message


def test_an_entry_that_is_not_there_is_a_fault() -> None:
    with pytest.raises(TemplateFault, match=r"there is no file 'a\.html'"):
        Jinja().compile(Sources(engine="jinja", entry="a.html", files={}))


def test_output_is_capped(job: JobMaker) -> None:
    assert (
        "2097152 characters" in fault(job("{% for a in range(3000) %}{{ x }}{% endfor %}", {"x": "x" * 1000})).message
    )


def test_warnings_come_with_the_mail(job: JobMaker) -> None:
    found = render(job("<img src=a>" + "x" * 105_000))
    assert len(found.warnings) == 2


def test_a_revision_that_was_not_defined_is_unknown() -> None:
    with pytest.raises(KeyError):
        Jinja().render("digest", json.dumps({}).encode(), None)
