"""Plain text from HTML, in one linear pass: the text part of a mail whose author wrote none.

Links are kept as `label (url)`, images as their alt text, table cells are set apart, lists get bullets or numbers.
Head, scripts, styles, comments and what is hidden by `display:none` (preheaders) are left out.
"""

from __future__ import annotations

import html
import re

# No alternative can match what another one does, nothing matches across a `<`, and nothing is tried twice.
_TOKEN = re.compile(
    r"<(/?[a-zA-Z][a-zA-Z0-9:-]*+)"  # a tag's name
    r"""((?:[^<>"']++|"[^"<]*+"|'[^'<]*+'|["'])*+)>"""  # its attributes
    r"([^<]*+(?:<(?![a-zA-Z/!])[^<]*+)*+)"  # the text after it
)
_HREF = re.compile(r"""\shref\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_ALT = re.compile(r"""\salt\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_HIDDEN = re.compile(r"display\s*+:\s*+none", re.IGNORECASE)

# While the text is put together, breaks are control characters; of a run of them and blanks the strongest one stays.
_CELL, _LINE, _PARAGRAPH, _BULLET = "\0", "\1", "\2", "\3"
_STRONGEST = ((_PARAGRAPH, "\n\n"), (_LINE, "\n"), (_CELL, "  "))
_RUN = re.compile(r"(\x03\S*+)?[\s\0-\2]+")
_BREAKS = {
    **dict.fromkeys(("td", "th"), _CELL),
    **dict.fromkeys(("br", "div", "tr", "dt", "dd", "option"), _LINE),
    **dict.fromkeys(("p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "blockquote", "pre", "address"), _PARAGRAPH),
    **dict.fromkeys(("table", "ul", "ol", "dl", "form", "section", "article", "header", "footer"), _PARAGRAPH),
}
_VOID = frozenset(("img", "br", "hr", "input", "meta", "link", "wbr", "col", "area", "base", "source"))
_LEFT_OUT = frozenset(("head", "style", "script", "title", "template", "noframes"))
_SPECIAL = frozenset(("a", "/a", "img", "li", "ul", "ol", "/ul", "/ol")) | _LEFT_OUT


def plain(markup: str) -> str:
    """The text of an HTML document or fragment."""
    return _Scanner().scan(markup)


class _Scanner:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.lists: list[int] = []  # per open list the number of its last item, or -1 for bullets
        self.href = ""
        self.label = 0  # where in parts the open link's label begins

    def scan(self, markup: str) -> str:
        skipped, depth = "", 0
        parts, breaks = self.parts, _BREAKS
        for name, attributes, text in _TOKEN.findall("<body>" + _without_comments(markup)):
            name = name.lower()
            if skipped:
                depth += _nesting(name, skipped)
                if depth > 0:
                    continue
                skipped = ""
            elif name in _LEFT_OUT or ("isplay" in attributes and _HIDDEN.search(attributes)):
                if name not in _VOID:
                    skipped, depth = name, 1
                    continue
            elif name in _SPECIAL:
                self.special(name, attributes)
            mark = breaks.get(name) or breaks.get(name[1:]) if name[0] == "/" else breaks.get(name)
            if mark:
                parts.append(mark)
            if text:
                parts.append(text)
        return _tidy("".join(parts))

    def special(self, name: str, attributes: str) -> None:
        if name in ("a", "/a"):
            self.close_link()
            if name == "a":
                self.href, self.label = _value(_HREF, attributes), len(self.parts)
        elif name == "img":
            self.parts.append(_value(_ALT, attributes))
        elif name == "li":
            self.parts.append(f"{_LINE}{_BULLET}{self.next_bullet()} ")
        elif name in ("ul", "ol"):
            self.lists.append(0 if name == "ol" else -1)
        elif self.lists:
            self.lists.pop()

    def next_bullet(self) -> str:
        if not self.lists or self.lists[-1] < 0:
            return "-"
        self.lists[-1] += 1
        return f"{self.lists[-1]}."

    def close_link(self) -> None:
        href, self.href = self.href.strip(), ""
        if not href or href.startswith("#"):
            return
        label = "".join(self.parts[self.label :]).strip(" \t\r\n\0\1\2")
        if not label:
            self.parts.append(href)
        elif label != href.partition("://" if "://" in href else "mailto:")[2].rstrip("/") and label != href:
            self.parts.append(f" ({href})")


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


def _tidy(text: str) -> str:
    return html.unescape(_RUN.sub(_strongest, text)).replace("\xa0", " ").strip()


def _strongest(run: re.Match[str]) -> str:
    bullet, breaks = run[1], run[0]
    if bullet:
        return bullet[1:] + " "
    return next((written for mark, written in _STRONGEST if mark in breaks), " ")
