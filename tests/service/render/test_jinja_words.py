"""Dates, numbers, plurals, links and translations in Jinja templates, in the words of the mail's locale."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.errors import TemplateFault
from mailboat.render import filters
from mailboat.render.base import Job
from mailboat.render.jinja import Jinja

JobMaker = Callable[..., Job]
WORDS = {
    "en": {"hi": "Hi {name}", "bye": "Bye"},
    "de": {"hi": "Hallo {name}"},
    "de-AT": {"hi": "Servus {name}"},
}


def html(job: Job) -> str:
    engine = Jinja()
    engine.define("d", engine.compile(job.revision.sources))
    return (engine.render("d", job.data, job.locale).html or "").replace("\u202f", " ").replace("\xa0", " ")


FORMATTED = [
    ("{{ '2026-12-01'|date }}", {"en": "Dec 1, 2026", "de": "01.12.2026", "de-AT": "01.12.2026", None: "Dec 1, 2026"}),
    ("{{ at|date('long') }}", {"fr": "1 décembre 2026", "de_CH": "1. Dezember 2026", "xx-YY": "December 1, 2026"}),
    ("{{ at|date('d. MMM') }}", {"en": "1. Dec", "de": "1. Dez."}),
    ("{{ at|datetime('short') }}", {"en": "12/1/26, 11:30 PM", "de": "01.12.26, 23:30"}),
    ("{{ at|datetime('medium', 'Europe/Berlin') }}", {"de": "02.12.2026, 00:30:00"}),
    ("{{ at|date('short', 'America/New_York') }} {{ at|time }}", {"en": "12/1/26 11:30 PM"}),
    ("{{ 0|datetime('short') }} {{ '09:05'|time }}", {"de": "01.01.70, 00:00 09:05"}),
    ("{{ 1234.5|money('EUR') }}", {"en": "€1,234.50", "de": "1.234,50 €", "ja": "€1,234.50"}),
    ("{{ '1234'|money('JPY') }} {{ 0.1|money('USD') }}", {"en": "¥1,234 $0.10"}),
    ("{{ 1234567.891|number }} {{ 2|number(2) }}", {"en": "1,234,567.891 2.00", "hi": "12,34,567.891 2.00"}),
    ("{{ 0.256|percent }} {{ 0.256|percent(1) }}", {"en": "26% 25.6%", "de": "26 % 25,6 %", "tr": "%26 %25,6"}),
    ("{{ 1|plural('item', '# items') }} {{ 1200|plural('item', '# items') }}", {"en": "item 1,200 items"}),
    ("{{ 3|plural(one='plik', few='# pliki', other='pliku') }}", {"pl": "3 pliki", "en": "pliku"}),
    ("{{ at|date(locale='fr') }}", {"en": "1 déc. 2026"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "locale", "expected"),
    [(source, locale, expected) for source, by_locale in FORMATTED for locale, expected in by_locale.items()],
)
def test_values_are_written_as_the_locale_writes_them(
    source: str, locale: str | None, expected: str, job: JobMaker
) -> None:
    assert html(job(source, {"at": "2026-12-01T23:30:00Z"}, locale)) == expected


def test_a_macro_in_another_file_speaks_the_mails_language(job: JobMaker) -> None:
    files = {"m.html": "{% macro m(x) %}{{ x|date }} {{ t.bye }} {{ tr('hi', name='A') }} {{ locale }}{% endmacro %}"}
    source = "{% from 'm.html' import m %}{{ m('2026-12-01') }}"
    assert html(job(source, {}, "de", files=files, translations=WORDS)) == "01.12.2026 Bye Hallo A de"


def test_one_mails_language_is_not_the_next_ones(job: JobMaker) -> None:
    engine, made = Jinja(), job("{{ 1.5|number }} {{ tr('hi', name='A') }}", translations=WORDS)
    engine.define("d", engine.compile(made.revision.sources))
    found = [engine.render("d", made.data, locale).html for locale in ("de", None, "de-AT", "en-GB")]
    assert found == ["1,5 Hallo A", "1.5 Hi A", "1,5 Servus A", "1.5 Hi A"]


def test_translations_are_filled_in_and_escaped(job: JobMaker) -> None:
    found = html(job("{{ 'hi'|tr(name=name) }}", {"name": "<b>{name}"}, translations=WORDS))
    assert found == "Hi &lt;b&gt;{name}"


LINKS = [
    ("{{ b|url('orders', 'a/b c', 7) }}", "https://x.example/s/orders/a%2Fb%20c/7"),
    ("{{ b|url(q='ä&b', n=1, none=none) }}", "https://x.example/s/?k=v&amp;q=%C3%A4%26b&amp;n=1"),
    ("{{ 'mailto:a@b.example'|url }}", "mailto:a@b.example"),
    ("{{ '/path'|url('x') }}", "/path/x"),
]


@pytest.mark.parametrize(("source", "expected"), LINKS)
def test_links_are_joined_and_escaped(source: str, expected: str, job: JobMaker) -> None:
    base = "https://x.example/s/" + ("?k=v" if "q=" in source else "")
    assert html(job(source, {"b": base, "none": None})) == expected


WRONG = {
    "{{ 'soon'|date }}": "date: 'soon' is not a date as in 2026-12-01",
    "{{ none|date }}": "'None' is not a date",
    "{{ zzz|money('EUR') }}": "'zzz' is undefined",
    "{{ 'a'|money('EUR') }}": "'a' is not a number",
    "{{ true|number }}": "'True' is not a number",
    "{{ '1e9999999'|number }}": "is not a number",
    "{{ 'NaN'|percent }}": "is not a number",
    "{{ 1|money('eur') }}": "'eur' is not a currency",
    "{{ 1|number(1000000) }}": "0 to 20 places",
    "{{ 1|plural('a') }}": "give two forms",
    "{{ 1|plural(one='a') }}": "the form `other` is missing",
    "{{ '2026-12-01'|date('y' * 1000) }}": "longer than 100 characters",
    "{{ '2026-12-01'|time }}": "has no time",
    "{{ 0|date('SSS') }}": "date: the pattern 'SSS' asks for what the value has not",
    "{{ '10:00'|time('y') }}": "time: the pattern 'y' asks for what the value has not",
    "{{ 0|datetime('QQQQQQQ') }}": "datetime: 'QQQQQQQ' is neither short, medium, long, full nor a pattern",
    "{{ 0|date(5) }}": "date: '5' is not a pattern",
    "{{ '2026-12-01T00:00Z'|datetime('short', '../../etc/passwd') }}": "there is no time zone",
    "{{ 'javascript:alert(1)'|url }}": "javascript: is not a link",
    "{{ 'https://x.example'|url('..') }}": "cannot be '.' or '..'",
    "{{ tr('nope') }}": "there is no translation 'nope'",
    "{{ tr('hi') }}": "wants a value for 'name'",
    "{{ t.nope }}": "'nope' is undefined",
}


@pytest.mark.parametrize(("source", "message"), WRONG.items(), ids=str)
def test_what_cannot_be_written_is_a_fault_with_its_place(source: str, message: str, job: JobMaker) -> None:
    with pytest.raises(TemplateFault) as caught:
        html(job("\n" + source, {"none": None}, translations=WORDS))
    assert message in caught.value.message
    assert caught.value.line == 2


DOCUMENTED = re.findall(
    r"^(\{\{ .* \}\}) +\{# (.*) \| (.*) #\}$",
    (Path(__file__).parents[3] / "docs" / "jinja.md").read_text("utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("source", "english", "german"), DOCUMENTED)
def test_the_examples_of_the_guide_are_true(source: str, english: str, german: str, job: JobMaker) -> None:
    words = {"en": {"greeting": "Hello {name}"}, "de": {"greeting": "Hallo {name}"}}
    assert [html(job(source, {}, locale, translations=words)) for locale in ("en", "de")] == [english, german]


def test_the_guide_has_an_example_of_each_filter() -> None:
    shown = {name for source, *_ in DOCUMENTED for name in re.findall(r"\| (\w+)", source)}
    assert shown == set(filters.FILTERS)


def test_templates_without_such_words_do_not_load_them(job: JobMaker) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from mailboat.render.jinja import Jinja; from mailboat.domain.revision import Sources\n"
        "j, files = Jinja(), {'a': '{{ tr(1) if x }}<p class=x>'}\n"
        "j.define('d', j.compile(Sources(engine='jinja', entry='a', files=files)))\n"
        "j.render('d', b'{}', 'de'); print(*{'babel', 'css_inline', 'pydeno'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
