"""Plain text from HTML, in one linear pass: the text part of a mail whose author wrote none.

Links are kept as `label (url)`, images as their alt text, table cells are set apart, lists get bullets or numbers.
Head, scripts, styles, comments and what is hidden by `display:none` (preheaders) are left out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

# No alternative can match what another one does, nothing matches across a `<`, and nothing is tried twice.
_TOKEN = re.compile(
    r"<(/?[a-zA-Z][a-zA-Z0-9:-]*+)"  # a tag's name
    r"""((?:[^<>"']++|"[^"<]*+"|'[^'<]*+'|["'])*+)>"""  # its attributes
    r"([^<]*+(?:<(?![a-zA-Z/!])[^<]*+)*+)"  # the text after it
)
_LITERAL = re.compile(r"<(?![a-zA-Z/!])")  # no tag, but a part of the text
_BALANCED = re.compile(r"""[^"']*+(?:"[^"]*+"[^"']*+|'[^']*+'[^"']*+)*+""")
_HREF = re.compile(r"""\shref\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ALT = re.compile(r"""\salt\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HIDDEN = re.compile(r"""display\s*+:\s*+none|aria-hidden\s*+=\s*+["']?true""", re.IGNORECASE)

# What stands between two texts: of all breaks between them the strongest.
_NOTHING, _SPACE, _CELL, _LINE, _PARAGRAPH = range(5)
_WRITTEN = ("", " ", "  ", "\n", "\n\n")
_LINES = ("br", "div", "tr", "dt", "dd", "option", "li")
_PARAGRAPHS = (
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "blockquote", "pre", "address"),
    *("table", "ul", "ol", "dl", "form", "section", "article", "header", "footer"),
)
_BREAKS = {
    f"{slash}{name}": strength
    for names, strength in ((("td", "th"), _CELL), (_LINES, _LINE), (_PARAGRAPHS, _PARAGRAPH))
    for name in names
    for slash in ("", "/")
}
_VOID = frozenset(("img", "br", "hr", "input", "meta", "link", "wbr", "col", "area", "base", "source"))
_LEFT_OUT = frozenset(("head", "style", "script", "title", "template", "noframes"))
_VALUES = {"a": _HREF, "img": _ALT}
_SPECIAL = frozenset(("a", "/a", "img", "li", "ul", "ol", "/ul", "/ol"))


class _Tag(NamedTuple):
    """What one tag does to the text."""

    strength: int
    """The break that it makes."""
    hides: bool
    """Nothing is shown up to its end."""
    special: bool
    """`_Scanner.special` knows more of it."""
    name: str
    value: str = ""
    """The href of a link, the alt of an image."""


MOST_KEPT = 4096
LONGEST_KEPT = 512
_tags: dict[str, _Tag] = {}
"""By all that stands between `<` and `>`: the tags of one template are the same in each of its mails, but for a few."""


def plain(markup: str) -> str:
    """The text of an HTML document or fragment."""
    scanner = _Scanner()
    scanner.scan("<body>" + _without_comments(markup))
    return html.unescape("".join(scanner.parts)).replace("\xa0", " ").strip()


def _tokens(markup: str) -> Iterator[tuple[_Tag, str]]:
    """Each tag and the text after it."""
    if _LITERAL.search(markup):
        for name, attributes, text in _TOKEN.findall(markup):
            yield _tag(name.lower(), attributes), text
        return
    for piece in markup.split("<"):
        written, end, text = piece.partition(">")
        if not end:
            continue
        if (tag := _tags.get(written)) is None:
            if (token := _TOKEN.match(f"<{piece}")) is None:
                continue
            tag, text = _tag(token[1].lower(), token[2]), token[3]
            # An open quote could end behind this `>`, in another piece that begins alike.
            if len(written) <= LONGEST_KEPT and _BALANCED.fullmatch(written):
                _keep(written, tag)
        yield tag, text


def _keep(written: str, tag: _Tag) -> None:
    if len(_tags) >= MOST_KEPT:
        _tags.clear()
    _tags[written] = tag


def _tag(name: str, attributes: str) -> _Tag:
    hides = name in _LEFT_OUT or (attributes != "" and _is_hidden(attributes))
    attribute = _VALUES.get(name)
    value = _value(attribute, attributes) if attribute else ""
    return _Tag(_BREAKS.get(name, _NOTHING), hides, name in _SPECIAL, name, value)


class _Scanner:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.pending = _NOTHING  # the strongest break since the last text
        self.bullet = ""  # goes before the next text
        self.lists: list[int] = []  # per open list the number of its last item, or -1 for bullets
        self.href = ""
        self.label = 0  # where in parts the open link's label begins

    def scan(self, markup: str) -> None:
        skipped, depth = "", 0
        for (strength, hides, special, name, value), text in _tokens(markup):
            if skipped:
                depth += _nesting(name, skipped)
                if depth:
                    continue
                skipped = ""
            elif hides:
                if name not in _VOID:
                    skipped, depth = name, 1
                    continue
            elif special:
                self.special(name, value)
            if strength > self.pending:
                self.pending = strength
            if text.isspace():
                self.pending = self.pending or _SPACE
            elif text:
                self.write(text)

    def part(self, strength: int) -> None:
        if strength > self.pending:
            self.pending = strength

    def write(self, text: str) -> None:
        """Add a text with its blanks collapsed, after the break that is due."""
        words = text.split()
        if not words:
            return self.part(_SPACE)
        if text[0].isspace():
            self.part(_SPACE)
        self.parts.append(f"{_WRITTEN[self.pending]}{self.bullet}{' '.join(words)}")
        self.bullet = ""
        self.pending = _SPACE if text[-1].isspace() else _NOTHING
        return None

    def special(self, name: str, value: str) -> None:
        if name in ("a", "/a"):
            self.close_link()
            self.href, self.label = value, len(self.parts)
        elif name == "img":
            self.write(value)
        elif name == "li":
            self.part(_LINE)
            self.bullet = self.next_bullet()
        elif name in ("ul", "ol"):
            self.lists.append(0 if name == "ol" else -1)
        elif self.lists:
            self.lists.pop()

    def next_bullet(self) -> str:
        if not self.lists or self.lists[-1] < 0:
            return "- "
        self.lists[-1] += 1
        return f"{self.lists[-1]}. "

    def close_link(self) -> None:
        href, self.href = self.href.strip(), ""
        if not href or href.startswith("#"):
            return
        label = "".join(self.parts[self.label :]).strip()
        if not label:
            self.write(href)
        elif label not in (href, href.partition("://")[2].rstrip("/"), href.removeprefix("mailto:")):
            self.parts.append(f" ({href})")


def _is_hidden(attributes: str) -> bool:
    return ("none" in attributes or "hidden" in attributes) and _HIDDEN.search(attributes) is not None


def _without_comments(markup: str) -> str:
    if "<!--" not in markup:
        return markup
    first, *rest = markup.split("<!--")
    return first + "".join(part.partition("-->")[2] for part in rest)


def _nesting(name: str, skipped: str) -> int:
    """How this tag changes the depth inside an element that is left out."""
    if name == "/" + skipped or (skipped == "head" and name == "body"):
        return -1
    return 1 if name == skipped and skipped not in _LEFT_OUT else 0


def _value(attribute: re.Pattern[str], attributes: str) -> str:
    found = attribute.search(attributes)
    return next((group for group in found.groups() if group), "") if found else ""
