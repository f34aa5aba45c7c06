"""HTML with Jinja in it, as an author wrote it: where its tags and attributes are, and how to change some of them.

Nothing is parsed into a tree and written back: what is not changed keeps every byte, conditional comments included.
"""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

NEWLINE = re.compile(r"\r\n|\r|\n")
VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)

_STRINGS = r"""\"[^"]*+\"|'[^']*+'"""
_PRINT = rf"\{{\{{(?:{_STRINGS}|[^}}\"']|\}}(?!\}}))*+\}}\}}"
_BLOCK = rf"\{{%(?:{_STRINGS}|[^%\"']|%(?!\}}))*+%\}}"
_COMMENT = r"\{\#(?:[^\#]|\#(?!\}))*+\#\}"
JINJA = re.compile(rf"{_PRINT}|{_BLOCK}|{_COMMENT}")
_NOTHING = r"(?!)"


class Grammar:
    """Regular expressions for the pieces of a file, and for the attributes of a tag. `jinja`: whether it has Jinja."""

    def __init__(self, *, jinja: bool) -> None:
        code = f"{_PRINT}|{_BLOCK}|{_COMMENT}" if jinja else _NOTHING
        brace = r"\{(?![{%\#])" if jinja else r"\{"
        quoted = "|".join(rf"{quote}(?:{code}|[^{quote}{{]|{brace})*+{quote}" for quote in ('"', "'"))
        attributes = rf"(?:{code}|{quoted}|[^<>\"'{{]|{brace})*+"
        raw = r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}" if jinja else _NOTHING
        opaque = rf"(?P<opaque>style|script|title|textarea)\b(?P<given>{attributes})>(?P<content>.*?)</(?P=opaque)\s*>"
        tag = rf"(?P<closed>/?)(?P<name>[a-z][a-z0-9:-]*)(?P<attributes>{attributes})>"
        self.piece = re.compile(
            rf"(?P<comment><!--.*?-->)|(?P<raw>{raw})|(?P<jinja>{code})|<{opaque}|<{tag}", re.DOTALL | re.IGNORECASE
        )
        value = rf"{quoted}|(?:{_PRINT if jinja else _NOTHING}|[^\s\"'<>={{]|{brace})+"
        self.attribute = re.compile(
            rf"(?P<jinja>{code})|(?P<name>[^\s\"'<>/={'{' if jinja else ''}]+)(?:\s*=\s*(?P<value>{value}))?"
        )


TEMPLATE, HTML = Grammar(jinja=True), Grammar(jinja=False)
_KEYWORD = re.compile(r"\{%[-+]?\s*(\w+)")


class Attribute(NamedTuple):
    """One attribute and where it is in the file. `value` is without quotes, as written; None if there is none."""

    name: str
    start: int
    end: int
    value: str | None
    quote: str


class Tag(NamedTuple):
    """A start or end tag. `attributes` is the text from the name to `>`, and begins at `start`."""

    name: str
    closes: bool
    attributes: str
    start: int

    @property
    def is_empty(self) -> bool:
        """It has no content, so no end tag."""
        return self.name in VOID or self.attributes.rstrip().endswith("/")


class Style(NamedTuple):
    """A `<style>` element, and its place."""

    css: str
    attributes: str
    start: int


class Jinja(NamedTuple):
    """A statement, by its first word and all of it."""

    keyword: str
    text: str
    start: int


class Edit(NamedTuple):
    """Put this in place of what is from start to end."""

    start: int
    end: int
    text: str


def pieces(source: str, grammar: Grammar = TEMPLATE) -> Iterator[Tag | Style | Jinja]:
    """What matters in a file, in order. What is in comments, `raw` blocks and scripts is left out."""
    for found in grammar.piece.finditer(source):
        if found["name"]:
            yield Tag(found["name"].lower(), bool(found["closed"]), found["attributes"], found.start("attributes"))
        elif found["opaque"]:
            if found["opaque"].lower() == "style":
                yield Style(found["content"], found["given"], found.start())
        elif found["jinja"] and (keyword := _KEYWORD.match(found["jinja"])):
            yield Jinja(keyword[1], found["jinja"], found.start())


def attributes(tag: Tag, grammar: Grammar = TEMPLATE) -> list[Attribute] | None:
    """The attributes of a start tag; None if what there is depends on an expression or a condition."""
    found = []
    for each in grammar.attribute.finditer(tag.attributes):
        if each["jinja"]:
            return None
        found.append(_attribute(tag, each))
    return found


def written_attributes(tag: Tag) -> Iterator[Attribute]:
    """The attributes of a start tag as far as they can be seen, those in a condition too."""
    for each in TEMPLATE.attribute.finditer(tag.attributes):
        if each["name"]:
            yield _attribute(tag, each)


def _attribute(tag: Tag, each: re.Match[str]) -> Attribute:
    value, quote = each["value"], ""
    if value and value[0] in "\"'":
        value, quote = value[1:-1], value[0]
    return Attribute(each["name"].lower(), tag.start + each.start(), tag.start + each.end(), value, quote)


def place(source: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset."""
    return source.count("\n", 0, offset) + 1, offset - source.rfind("\n", 0, offset)


def edited(source: str, edits: Sequence[Edit]) -> tuple[str, Origin]:
    """The source with these edits, which do not overlap, and the way back from it."""
    parts: list[str] = []
    origin = Origin(source)
    position = length = 0
    for edit in sorted(edits):
        kept = source[position : edit.start]
        origin.add(length, position, len(kept))
        parts += (kept, edit.text)
        length += len(kept) + len(edit.text)
        position = edit.end
    origin.add(length, position, len(source) - position)
    parts.append(source[position:])
    return "".join(parts), origin


def spliced(source: str, edits: Iterable[Edit]) -> str:
    """The source with these edits, which are in order."""
    parts: list[str] = []
    position = 0
    for start, end, text in edits:
        parts += (source[position:start], text)
        position = end
    parts.append(source[position:])
    return "".join(parts)


class Origin:
    """From an offset in an edited source to line and column in the author's."""

    def __init__(self, source: str) -> None:
        self._lines = [0, *(found.end() for found in re.finditer("\n", source))]
        self._edited: list[int] = []
        self._spans: list[tuple[int, int]] = []

    def add(self, edited: int, original: int, length: int) -> None:
        """So many characters were kept, from here to there."""
        self._edited.append(edited)
        self._spans.append((original, length))

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column, both from 1; of what was put in, those of what it stands for."""
        at = bisect_right(self._edited, offset) - 1
        original, length = self._spans[at]
        original += min(offset - self._edited[at], length)
        line = bisect_right(self._lines, original)
        return line, original - self._lines[line - 1] + 1


def restyle(tag: Tag, found: Sequence[Attribute], style: str) -> Edit:
    """Put this CSS before that which the tag has."""
    own = next((each for each in found if each.name == "style"), None)
    if own is None:
        return Edit(tag.start, tag.start, f' style="{quoted(style, chr(34))}"')
    quote = own.quote or '"'
    value = f"{quoted(style, quote)};{own.value}" if own.value else quoted(style, quote)
    return Edit(own.start, own.end, f"style={quote}{value}{quote}")


def quoted(text: str, quote: str) -> str:
    """Text that goes between these quotes; it is no HTML yet."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    return escaped.replace("'", "&#39;") if quote == "'" else escaped.replace('"', "&quot;")


def words(value: str) -> list[str]:
    """The classes in a `class` attribute, its entities resolved."""
    return html.unescape(value).split()
