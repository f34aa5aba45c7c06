"""Gives tags their styles, from the author's CSS and from Tailwind classes: at compile time where a tag's class is
known then, else when it is rendered, through the filter that `dynamic` calls."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import msgspec
from markupsafe import Markup

from mailboat.render import inline, markup
from mailboat.render.cascade import Element, parse
from mailboat.render.lru import Lru
from mailboat.render.markup import Attribute, Edit, Tag

FILTER = "_dressed"
KEPT = 4000
_CLASS_OR_ID = ("class", "id")


class Meaning(msgspec.Struct, frozen=True, array_like=True):
    """What one class, or a whole `class` attribute, means: declarations, and the classes that stay."""

    declarations: tuple[tuple[str, str], ...] = ()
    stays: str = ""


class Wardrobe(msgspec.Struct, frozen=True):
    """All that the tags of a revision can be dressed in.

    `css`: the author's rules, as one sheet; empty if none is to be applied here.  `classes`: Tailwind's, each for
    itself; `strings`: whole attributes, in which classes can work together.
    """

    css: str = ""
    classes: dict[str, Meaning] = {}
    strings: dict[str, Meaning] = {}


class Dresser:
    """Dresses tags from a wardrobe."""

    def __init__(self, wardrobe: Wardrobe) -> None:
        self._wardrobe = wardrobe
        self.sheet = parse(wardrobe.css)
        self.is_wanted_later = False
        """A tag was met whose class is known only when it is rendered."""
        self._known: Lru[tuple[str, str], Markup] = Lru(KEPT)

    def edits(self, source: str) -> Iterator[Edit]:
        """What has to change in a file."""
        path: list[Element] = []
        for piece in markup.pieces(source):
            if not isinstance(piece, Tag):
                continue
            if piece.closes:
                _close(path, piece.name)
                continue
            found = markup.attributes(piece)
            if found is None or _is_dynamic(found):
                yield from self._later(piece, found)
                element = Element(piece.name)
            else:
                element = _element(piece, found)
                yield from self._now(piece, found, element, path)
            if self.sheet.needs_ancestors and not piece.is_empty:
                path.append(element)

    def dress(self, attributes: str, tag: str) -> Markup:
        """The attributes of a tag, with its styles: the filter."""
        text = str(attributes)
        known = self._known.get((tag, text))
        if known is None:
            piece = Tag(tag, False, text, 0)
            found = markup.attributes(piece, markup.HTML) or []
            edits = sorted(self._now(piece, found, _element(piece, found), ()))
            self._known[tag, text] = known = Markup(markup.spliced(text, edits))  # noqa: S704 (escaped by the template)
        return known

    def _later(self, tag: Tag, found: Sequence[Attribute] | None) -> Iterator[Edit]:
        has_class = found is None or any(each.name == "class" for each in found)
        if (has_class and self._wardrobe.classes) or self._may_match(tag.name):
            self.is_wanted_later = True
            end = tag.start + len(tag.attributes.rstrip().removesuffix("/"))
            yield Edit(tag.start, tag.start, "{% set _attributes %}")
            yield Edit(end, end, f"{{% endset %}}{{{{ _attributes|{FILTER}({tag.name!r}) }}}}")

    def _may_match(self, tag: str) -> bool:
        return any(rule.compounds[-1].tag in ("", tag) for rule in self.sheet.rules)

    def _now(self, tag: Tag, found: Sequence[Attribute], element: Element, path: Sequence[Element]) -> Iterator[Edit]:
        if any(each.name == inline.IGNORED for each in found):
            return
        classes = next((each for each in found if each.name == "class" and each.value), None)
        meaning = self._meaning(classes.value or "") if classes else None
        style = ";".join(filter(None, (self.sheet.style(element, inline.ancestors(path, tag.name)), _css(meaning))))
        if style:
            yield markup.restyle(tag, found, style)
        if classes and meaning:
            stays = f'class="{markup.quoted(meaning.stays, chr(34))}"' if meaning.stays else ""
            start = classes.start if stays else classes.start - 1  # with the blank before it
            yield Edit(start, classes.end, stays)

    def _meaning(self, value: str) -> Meaning | None:
        """None when Tailwind has no part in this."""
        whole = self._wardrobe.strings.get(" ".join(markup.words(value)))
        if whole is not None:
            return whole
        classes = markup.words(value)
        if not any(name in self._wardrobe.classes for name in classes):
            return None
        declarations: dict[str, str] = {}
        stays = []
        for name in classes:
            each = self._wardrobe.classes.get(name)
            for key, text in each.declarations if each else ():
                declarations.pop(key, None)
                declarations[key] = text
            if each is None or each.stays:
                stays.append(each.stays if each else name)
        return Meaning(tuple(declarations.items()), " ".join(stays))


def _css(meaning: Meaning | None) -> str:
    return ";".join(f"{name}:{value}" for name, value in meaning.declarations) if meaning else ""


def _is_dynamic(found: Sequence[Attribute]) -> bool:
    return any(each.name in _CLASS_OR_ID and markup.JINJA.search(each.value or "") for each in found)


def _element(tag: Tag, found: Sequence[Attribute]) -> Element:
    values = {each.name: each.value or "" for each in reversed(found)}
    return Element(tag.name, html.unescape(values.get("id", "")), frozenset(markup.words(values.get("class", ""))))


def _close(path: list[Element], name: str) -> None:
    if any(each.tag == name for each in path):
        while path.pop().tag != name:
            pass


def class_values(source: str) -> Iterator[tuple[str, int]]:
    """Every `class` attribute of a file as it is written, Jinja in it included, and where."""
    for piece in markup.pieces(source):
        if isinstance(piece, Tag) and not piece.closes:
            for each in markup.written_attributes(piece):
                if each.name == "class" and each.value:
                    yield each.value, each.start
