"""Authors' `<style>`: where it can be written into `style` attributes at compile time, and the engine for the rest.

At compile time is exact when the CSS is plain (see `cascade`), stands in the mail whatever the data are, and every
element that it could match is in the sources. `plan` decides that, over all files of a revision.
Everything else is inlined in each finished mail by css-inline. Either way only `style` attributes are touched, rules
that cannot be inlined stay in `<style>`, and `data-css-inline="ignore"` excepts an element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from mailboat.render import markup
from mailboat.render.cascade import Element, Sheet, parse
from mailboat.render.markup import Edit, Jinja, Style, Tag

IGNORED = "data-css-inline"
_NUMBER = "data-mailboat"
_REFERENCE = re.compile(r"\{%[-+]?\s*(?:extends|include|import|from)\s+(?:\"([^\"]+)\"|'([^']+)')")
_NAME = re.compile(r"\w+[-+]?\s+(\w+)")
_OPENS = frozenset(("if", "for", "macro", "call", "filter", "with", "autoescape"))
_HTML_FROM_DATA = re.compile(r"\|\s*(?:safe|urlize|tojson)\b|\{%[-+]?\s*autoescape\b")
_DYNAMIC = re.compile(r"\{\{|\{%")
_DYNAMIC_TAG = re.compile(r"</?[a-zA-Z0-9:-]*\{[{%]")

# What an HTML parser would nest otherwise than it is written.
_CLOSES_P = frozenset(
    (
        *("address", "article", "aside", "blockquote", "center", "div", "dl", "fieldset", "footer", "form", "h1", "h2"),
        *("h3", "h4", "h5", "h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul"),
    )
)
_ROWS = frozenset(("thead", "tbody", "tfoot"))
_TABLE, _ROW = frozenset(("table",)), frozenset(("tr",))
_ONLY_IN = {"td": _ROW, "th": _ROW, "tr": _ROWS | _TABLE, **dict.fromkeys(_ROWS, _TABLE)}
_CHILDREN = {
    "table": _ROWS | {"caption", "colgroup", "tr"},
    "tr": frozenset(("td", "th")),
    **dict.fromkeys(_ROWS, _ROW),
}


@dataclass
class Event:
    """Something that makes CSS part of a mail. `block`: the innermost one around it; `sure`: not in a branch."""

    kind: str  # style, block, include
    value: str
    block: str
    sure: bool
    attributes: str = ""


@dataclass
class Outline:
    """A file, as far as it matters for its CSS."""

    parent: str | None = None
    events: list[Event] = field(default_factory=list)
    blocks: set[str] = field(default_factory=set)
    calls_super: bool = False
    odd: str = ""

    @property
    def has_style(self) -> bool:
        return any(event.kind == "style" for event in self.events)


def outline(source: str) -> Outline:
    """The outline of one file."""
    found = Outline(calls_super="super()" in source)
    open_: list[tuple[str, str]] = []  # keyword, block name
    for piece in markup.pieces(source):
        block = next((name for keyword, name in reversed(open_) if keyword == "block"), "")
        sure = all(keyword == "block" for keyword, _ in open_)
        if isinstance(piece, Style):
            found.events.append(Event("style", piece.css, block, sure, piece.attributes))
        elif isinstance(piece, Jinja):
            _follow(piece, found, open_, block, sure)
    return found


def _follow(piece: Jinja, found: Outline, open_: list[tuple[str, str]], block: str, sure: bool) -> None:
    keyword, text = piece.keyword, piece.text
    if keyword == "block":
        named = _NAME.search(text, 2)
        name = named[1] if named else ""
        found.events.append(Event("block", name, block, sure))
        found.blocks.add(name)
        open_.append(("block", name))
    elif keyword in _OPENS or (keyword == "set" and "=" not in text):
        open_.append((keyword, ""))
    elif keyword.startswith("end") and open_:
        open_.pop()
    elif keyword in ("extends", "include", "import", "from"):
        reference = _REFERENCE.match(text)
        name = (reference[1] or reference[2]) if reference else ""
        if keyword == "extends":
            found.parent = name or None
            found.odd = "" if name and sure else "a layout that depends on the data"
        elif keyword == "include" and name:
            found.events.append(Event("include", name, block, sure))


class _Order:
    """Puts the CSS of all files into the order in which a mail has it. `odd` says why that cannot be told."""

    def __init__(self, outlines: Mapping[str, Outline]) -> None:
        self.outlines = outlines
        self.css: list[str] = []
        self.seen: set[str] = set()
        self.odd = ""

    def follow(self, name: str) -> None:
        chain = self._chain(name)
        if not chain:
            return
        definers = {block: file for file in reversed(chain) for block in self.outlines[file].blocks}
        if (
            any(self.outlines[file].calls_super for file in chain)
            and sum(self.outlines[f].has_style for f in chain) > 1
        ):
            self.odd = "super() with CSS in several files"
        self._emit(chain[-1], "", definers)

    def _chain(self, name: str) -> list[str]:
        """The file and those that it extends, up to the layout."""
        chain: list[str] = []
        current: str | None = name
        while current is not None:
            if current in self.seen or current not in self.outlines:
                self.odd = self.odd or f"{current} is used twice, or not there"
                return []
            self.seen.add(current)
            chain.append(current)
            self.odd = self.odd or self.outlines[current].odd
            current = self.outlines[current].parent
        return chain

    def _emit(self, file: str, block: str, definers: Mapping[str, str]) -> None:
        for event in self.outlines[file].events:
            if event.block != block:
                continue
            if event.kind == "block":
                self._emit(definers[event.value], event.value, definers)
            elif event.kind == "include" and event.sure and event.value not in self.seen:
                self.follow(event.value)
            elif event.kind == "style":
                self._take(event)

    def _take(self, event: Event) -> None:
        attributes = event.attributes.lower()
        if IGNORED in attributes:
            return
        if not event.sure or "media" in attributes or _DYNAMIC.search(event.value + attributes):
            self.odd = "CSS that depends on the data"
        self.css.append(event.value)


def plan(files: Mapping[str, str], entry: str) -> tuple[str, str]:
    """The authors' CSS, if it can be written into the sources; else why it has to wait for the finished mail.

    Both are empty if there is nothing to inline.
    """
    outlines = {name: outline(source) for name, source in files.items()}
    styles = [parse(event.value) for each in outlines.values() for event in each.events if event.kind == "style"]
    if not any(sheet.rules or sheet.strange for sheet in styles):
        return "", ""
    order = _Order(outlines)
    order.follow(entry)
    unseen = [name for name, each in outlines.items() if each.has_style and name not in order.seen]
    away = f"CSS in {unseen[0]}, which is not always part of the mail" if unseen else ""
    css = "\n".join(order.css)
    late = order.odd or away or late_because(files, parse(css))
    return ("", late) if late else (css, "")


def late_because(files: Mapping[str, str], sheet: Sheet) -> str:
    """Why these rules have to be applied to the finished mail; '' if the sources tell all."""
    if sheet.strange:
        return "a selector that depends on more than tag, class, id and ancestors"
    for name, source in files.items():
        if _HTML_FROM_DATA.search(source) or name.endswith((".txt", ".txt.j2")):
            return f"{name}: HTML that comes from data"
        if _DYNAMIC_TAG.search(source):
            return f"{name}: a tag whose name is an expression"
    if sheet.needs_ancestors:
        return "a selector with ancestors, in a template of several files" if len(files) > 1 else _misnested(files)
    return ""


def _misnested(files: Mapping[str, str]) -> str:
    """Why the elements around each tag are not known from the one source; '' if they are."""
    (source,) = files.values()
    stack: list[str] = []
    branches: list[int] = []
    found_body = False
    for piece in markup.pieces(source):
        if isinstance(piece, Jinja):
            if piece.keyword in ("macro", "call", "filter") or (piece.keyword == "set" and "=" not in piece.text):
                return f"HTML that {{% {piece.keyword} %}} puts elsewhere"
            if not _balanced(piece.keyword, stack, branches):
                return "a branch that opens or closes an element"
        elif isinstance(piece, Tag):
            found_body = found_body or piece.name == "body"
            if not piece.closes and (reason := _misplaced(piece, stack)):
                return reason
            if not _nest(piece, stack, branches):
                return f"</{piece.name}> without its start"
    return "" if found_body and not stack else "elements that are not closed, or no <body>"


def _balanced(keyword: str, stack: list[str], branches: list[int]) -> bool:
    if keyword in _OPENS or keyword == "block":
        branches.append(len(stack))
    elif keyword in ("else", "elif"):
        return bool(branches) and len(stack) == branches[-1]
    elif keyword.startswith("end"):
        return bool(branches) and len(stack) == branches.pop()
    return True


def _misplaced(tag: Tag, stack: Sequence[str]) -> str:
    parent = stack[-1] if stack else ""
    found = markup.attributes(tag)
    wrong = (
        (tag.name in _CLOSES_P and "p" in stack)
        or (tag.name in ("a", "li", "option") and tag.name in stack[-1:])
        or (tag.name in _ONLY_IN and parent not in _ONLY_IN[tag.name])
        or (parent in _CHILDREN and tag.name not in _CHILDREN[parent])
        or found is None
        or any(each.name in ("class", "id") and _DYNAMIC.search(each.value or "") for each in found)
    )
    return f"<{tag.name}> where an HTML parser moves it, or whose class depends on the data" if wrong else ""


def _nest(tag: Tag, stack: list[str], branches: Sequence[int]) -> bool:
    if tag.closes:
        if not stack or stack[-1] != tag.name or (branches and len(stack) <= branches[-1]):
            return False
        stack.pop()
    elif not tag.is_empty:
        stack.append(tag.name)
    return True


def ancestors(path: Sequence[Element], tag: str) -> list[Element]:
    """The open elements around a tag, with the <tbody> that an HTML parser adds."""
    found: list[Element] = []
    for element in (*path, Element(tag)):
        if element.tag == "tr" and found and found[-1].tag == "table":
            found.append(Element("tbody"))
        found.append(element)
    return found[:-1]


class Inliner:
    """css-inline for finished mails: only `style` attributes of the mail change, every other byte stays."""

    def __init__(self) -> None:
        import css_inline

        self._fault = css_inline.InlineError
        self._inliner: Any = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)

    def inline(self, html: str) -> str:
        """Raises ValueError for CSS that cannot be read."""
        edits: list[Edit] = []
        tags: list[tuple[Tag, list[markup.Attribute]]] = []
        for piece in markup.pieces(html, markup.HTML):
            if isinstance(piece, Style):
                if "media" in piece.attributes.lower():
                    edits.append(Edit(piece.start + 6, piece.start + 6, f' {IGNORED}="ignore"'))
            elif isinstance(piece, Tag) and not piece.closes:
                has_own = "style" in piece.attributes.lower()
                found = (markup.attributes(piece, markup.HTML) or []) if has_own else []
                edits.append(Edit(piece.start, piece.start, f' {_NUMBER}="{len(tags)}"'))
                # An author's own declarations come after all rules, and may be such that css-inline gives up.
                edits += [Edit(each.start, each.start + 5, "data-own") for each in found if each.name == "style"]
                tags.append((piece, found))
        try:
            inlined = self._inliner.inline(markup.spliced(html, edits))
        except self._fault as error:
            raise ValueError(f"<style>: {error}") from None
        changes = [markup.restyle(*tags[number], style) for number, style in _styles(inlined) if number < len(tags)]
        return markup.spliced(html, sorted(changes))


_NUMBERED = re.compile(rf'\s{_NUMBER}="(\d+)"((?:\s+[^\s=>"/]++(?:="[^"]*+")?)*+)')
_STYLE = re.compile(r'\sstyle="([^"]*)"')


def _styles(inlined: str) -> Iterator[tuple[int, str]]:
    """The `style` that each numbered element was given."""
    seen: set[int] = set()
    for found in _NUMBERED.finditer(inlined):
        style, number = _STYLE.search(found[2]), int(found[1])
        if style and number not in seen:
            seen.add(number)
            yield number, unescape(style[1]).rstrip("; ")
