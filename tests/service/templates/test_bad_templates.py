"""Templates that are wrong in every way: each fault names file, line and column, and says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.errors import TemplateFault
from mailboat.registry import frame
from mailboat.registry.folder import Folder
from mailboat.render.jinja import Jinja

Volume = Callable[[dict[str, str | bytes]], Folder]


def check(folder: Folder, name: str = "mail") -> str:
    """Load, compile and render with the example, as `template check` does."""
    loaded = folder.load(name, strict=True)
    assert loaded is not None
    sources = loaded[0].sources
    engine = Jinja()
    engine.define("d", engine.compile(sources))
    return engine.render("d", json.dumps(sources.example).encode(), None).html or ""


def fault(folder: Folder) -> TemplateFault:
    with pytest.raises(TemplateFault) as caught:
        check(folder)
    return caught.value


FRONT = "---\nsubject: S\n"
SCHEMA = """schema:
  type: object
  properties:
    items:
      type: array
      items: {properties: {price: {type: number}}}
"""
OUT = "outside of the source volume"
BAD: dict[str, tuple[dict[str, str | bytes], str, int, int, str]] = {
    "syntax": ({"mail.html.j2": FRONT + "---\n<p>\n{% if %}"}, "mail.html.j2", 5, 7, "Expected an expression"),
    "subject": ({"mail.html.j2": '---\nsubject: "Hi {{ x }}"\n---\n'}, "mail.html.j2", 2, 17, "'x' is undefined"),
    "text": ({"mail.html.j2": "---\ntext: |\n  a\n  {{ x }}\n---\n"}, "mail.html.j2", 4, 6, "'x' is undefined"),
    "unclosed front matter": ({"mail.html.j2": "---\nsubject: S\n"}, "mail.html.j2", 1, 1, "not closed"),
    "YAML": ({"mail.html.j2": "---\nsubject: [\n---\n"}, "mail.html.j2", 3, 1, "front matter: "),
    "unknown field": ({"mail.html.j2": "---\nsubject: S\nsubjekt: x\n---\n"}, "mail.html.j2", 3, 1, "subjekt"),
    "wrong type": ({"mail.html.j2": "---\nsubject: S\nexample: 5\n---\n"}, "mail.html.j2", 3, 1, "`object`"),
    "a field twice": ({"mail.html.j2": "---\nsubject: S\nsubject: T\n---\n"}, "mail.html.j2", 3, 1, "'subject' stands"),
    "a key twice": (
        {"mail.html.j2": FRONT + "example:\n  a: 1\n  a: 2\n---\n"}, "mail.html.j2", 5, 3, "'a' stands here twice"
    ),
    "words of a locale": (
        {"mail.html.j2": FRONT + "translations:\n  de: {a: b}\n  'fr x': 5\n---\n"},
        "mail.html.j2", 5, 3, "$.translations['fr x']",
    ),
    "a word of a locale": (
        {"mail.html.j2": FRONT + "translations:\n  de:\n    a: [b]\n---\n"},
        "mail.html.j2", 5, 5, "$.translations['de']['a']",
    ),
    "schema": (
        {"mail.html.j2": FRONT + "schema:\n  properties:\n    a: {type: objekt}\n---\n"},
        "mail.html.j2", 5, 9, 'schema.properties.a.type: "objekt" is not one of "array", ',
    ),
    "remote schema": (
        {"mail.html.j2": FRONT + "schema: {$ref: 'https://schemas.example/x.json'}\n---\n"},
        "mail.html.j2", 3, 1, "not followed",
    ),
    "example": (
        {"mail.html.j2": FRONT + SCHEMA + "example:\n  items:\n    - price: 1\n    - price: free\n---\n"},
        "mail.html.j2", 12, 7, 'example.items[1].price: "free" is not of type "number"',
    ),
    "missing in the example": (
        {"mail.html.j2": FRONT + "schema: {required: [order]}\nexample:\n  total: 1\n---\n"},
        "mail.html.j2", 4, 1, 'example.order: "order" is a required property',
    ),
    "missing file": ({"mail.html.j2": FRONT + "---\n\n {% include 'x' %}"}, "mail.html.j2", 5, 14, "no file 'x'"),
    "traversal": ({"mail.html.j2": "{% include '../../etc/passwd' %}"}, "mail.html.j2", 1, 13, OUT),
    "absolute": ({"mail.html.j2": "{% extends '/etc/passwd' %}"}, "mail.html.j2", 1, 13, OUT),
    "in a partial": (
        {"mail.html.j2": FRONT + "---\n{% include 'a.html' %}", "a.html": "\n{% import '../x' as x %}"},
        "a.html", 2, 12, OUT,
    ),
    "extends itself": (
        {"mail.html.j2": FRONT + "---\n{% extends 'a.html' %}", "a.html": " {% extends 'mail.html.j2' %}"},
        "a.html", 1, 14, "leads back to itself: mail.html.j2 → a.html → mail.html.j2",
    ),
    "includes itself": ({"mail.html.j2": "<p>{% include 'mail.html.j2' %}"}, "mail.html.j2", 1, 16, "back to itself"),
    "ten megabytes": ({"mail.html.j2": "x" * 10_000_000}, "mail.html.j2", 1, 1, "larger than 1024 KiB"),
    "ten megabytes more": ({"mail.html.j2": "{% include 'a' %}", "a": "x" * 10_000_000}, "a", 1, 1, "larger than"),
    "binary": ({"mail.html.j2": b"a\nbc\xff\xfe"}, "mail.html.j2", 2, 3, "not UTF-8"),
    "NUL": ({"mail.html.j2": "a\n\0"}, "mail.html.j2", 2, 1, "NUL"),
    "two of one name": (
        {
            "mail/index.html.j2": "{% include 'a.html' %}{% include 'sub/b.html' %}", "mail/a.html": "1",
            "mail/sub/b.html": "{% include 'a.html' %}", "mail/sub/a.html": "2",
        },
        "sub/b.html", 1, 13, "another file here",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "file", "line", "column", "message"), BAD.values(), ids=BAD)
def test_a_fault_names_its_place(
    files: dict[str, str | bytes], file: str, line: int, column: int, message: str, volume: Volume
) -> None:
    found = fault(volume(files))
    assert message in found.message
    assert (found.file, found.line, found.column) == (file, line, column)


@pytest.mark.parametrize("entry", ["mail.html.j2", "mail/index.html.j2"])
def test_a_link_out_of_the_volume_is_not_followed(entry: str, volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("secret")
    folder = volume({entry: "{% include 'link.html' %}"})
    (folder.root / entry).with_name("link.html").symlink_to(tmp_path / "secret.html")
    assert OUT in fault(folder).message


def test_a_template_that_is_a_link_out_of_the_volume_is_none(volume: Volume, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("secret")
    folder = volume({})
    (folder.root / "mail.html.j2").symlink_to(tmp_path / "secret.html")
    assert folder.load("mail") is None


def test_what_would_steer_a_terminal_is_shown_as_a_picture(volume: Volume) -> None:
    folder = volume({"mail.html.j2": "<p>\x1b[31m\x9b{{ x }}"})
    found = fault(folder)
    assert frame.of_file(folder.root / found.file, found.line, found.column) == (
        "> 1 | <p>\u241b[31m\ufffd{{ x }}\n    |             ^"
    )
    assert str(TemplateFault("a\0b\r\x7f\tc\n\u202ed")) == "a\u2400b\u240d\u2421\tc\n\ufffdd"


def test_a_mark_is_never_beyond_its_line() -> None:
    assert frame.frame("ab\n", 1, 3) == "> 1 | ab\n    |   ^"
    assert frame.frame("ab\n", 1, 4) == "> 1 | ab"


def test_an_example_that_does_not_fit_stops_no_mail(volume: Volume) -> None:
    folder = volume({"mail.html.j2": "---\nschema: {required: [a]}\n---\n"})
    assert folder.load("mail") is not None
    with pytest.raises(TemplateFault):
        folder.load("mail", strict=True)


GOOD: dict[str, tuple[dict[str, str | bytes], str]] = {
    "an optional file": ({"mail.html.j2": "{% include 'no.html' ignore missing %}x"}, "x"),
    "a comment": ({"mail.html.j2": "{# {% include 'no.html' %} #}x"}, "x"),
    "from where the file is": (
        {
            "mail/index.html.j2": "{% extends '../layouts/base.html' %}",
            "layouts/base.html": "{% include './parts/foot.html' %}",
            "layouts/parts/foot.html": "{% include '../x.html' %}foot", "layouts/x.html": "x",
        },
        "xfoot",
    ),
    "beside it, then from the top": (
        {"mail/index.html.j2": "{% include 'a.html' %}{% include 'b.html' %}", "mail/a.html": "a", "b.html": "b"}, "ab",
    ),
    "a tree": (
        {
            "mail.html.j2": "---\nexample: {children: [{children: [{}]}]}\n---\n"
            "{% set node = children %}{% include 'node.html' %}",
            "node.html": "({% for each in node %}{% set node = each.children or [] %}"
            "{% include 'node.html' %}{% endfor %})",
        },
        "((()))",
    ),
    "a byte order mark and carriage returns": ({"mail.html.j2": "\ufeff---\r\nsubject: S\r\n---\r\nx\r\ny"}, "x\ny"),
    "a comparison in what is printed": ({"mail.html.j2": "{{ 'a' if 2 > 1 else 'b' }}{{ 1 == 2 }}"}, "aFalse"),
    "only front matter": ({"mail.html.j2": "---\nsubject: S\n---"}, ""),
    "empty front matter": ({"mail.html.j2": "---\n---\nx"}, "x"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), GOOD.values(), ids=GOOD)
def test_what_is_right_is_no_fault(files: dict[str, str | bytes], expected: str, volume: Volume) -> None:
    assert check(volume(files)) == expected


def test_a_theme_in_the_front_matter_reaches_the_revision(volume: Volume) -> None:
    loaded = volume({"mail.html.j2": "---\ntailwind:\n  theme: '--color-brand: red;'\n---\n"}).load("mail")
    assert loaded is not None
    assert loaded[0].sources.tailwind == {"theme": "--color-brand: red;"}
    assert loaded[0].sources.first_line["tailwind"] == 2


def test_a_frame_shows_the_lines_around_with_a_mark() -> None:
    source = "".join(f"line {number}\n" for number in range(1, 12))
    assert frame.frame(source, 9, 6).splitlines() == [
        "   7 | line 7",
        "   8 | line 8",
        ">  9 | line 9",
        "     |      ^",
        "  10 | line 10",
        "  11 | line 11",
    ]
    assert frame.frame("x" * 1000 + "!" + "y" * 1000, 1, 1001).splitlines()[1].index("^") < 120
    assert frame.frame(source, 13, 1) == frame.frame(source, 0, 0) == ""
    assert "^" not in frame.frame(source, 1, 0)
    assert frame.frame("a\nb\n", 5, 1, 5).splitlines() == ["> 5 | a", "    | ^", "  6 | b"]
    assert frame.frame("a\nb\n", 4, 1, 5) == frame.frame("a\nb\n", 8, 1, 5) == ""
