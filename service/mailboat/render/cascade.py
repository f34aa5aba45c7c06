"""The author's own CSS, as far as it can be written into `style` attributes: which rules an element matches.

Selectors are types, classes, ids and `*`, and the combinators ` ` and `>`. Rules that depend on what a reader does
(`:hover`), on their screen (`@media`) or on generated boxes stay in `<style>` and are passed over. Anything else
makes a sheet `strange`: it is for a real engine (`inline.Inliner`) to apply, on the finished mail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_STRING = r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'"
_SEMICOLON = re.compile(rf"((?:{_STRING}|\([^()]*+\)|[^;\"'()])++)(?:;|\Z)", re.DOTALL)
_RULE = re.compile(rf"((?:{_STRING}|[^{{}};\"'])*+)([{{;]|\Z)", re.DOTALL)
_BRACE = re.compile(rf"(?:{_STRING}|[^{{}}])*?([{{}}])", re.DOTALL)
_COMPOUND = re.compile(r"(\*|[a-zA-Z][\w-]*)?((?:[.#][\w-]+)*)")
_STAYS = re.compile(
    r":{1,2}(?:hover|active|focus(?:-within|-visible)?|visited|link|target|before|after|first-line|first-letter|"
    r"selection|placeholder|marker|-(?:webkit|moz|ms)-[\w-]+)\b",
    re.IGNORECASE,
)
_IMPORTANT = re.compile(r"\s*!\s*important\s*\Z", re.IGNORECASE)


class Compound(NamedTuple):
    """What one element must be. An empty `tag` is any."""

    tag: str
    identifier: str
    classes: frozenset[str]

    def matches(self, element: Element) -> bool:
        return (
            (not self.tag or self.tag == element.tag)
            and (not self.identifier or self.identifier == element.identifier)
            and self.classes <= element.classes
        )


class Element(NamedTuple):
    """A start tag, as selectors see it."""

    tag: str
    identifier: str = ""
    classes: frozenset[str] = frozenset()


class Rule(NamedTuple):
    """`compounds` from the outermost in; `child[n]`: the n-th has to be the parent of the next."""

    weight: tuple[int, int, int]
    compounds: tuple[Compound, ...]
    child: tuple[bool, ...]
    declarations: tuple[tuple[str, str, bool], ...]


class Sheet(NamedTuple):
    """All the rules of a template's `<style>` elements, in order."""

    rules: tuple[Rule, ...]
    strange: bool = False

    @property
    def needs_ancestors(self) -> bool:
        return any(len(rule.compounds) > 1 for rule in self.rules)

    @property
    def classes(self) -> frozenset[str]:
        """Every class that a rule names."""
        return frozenset().union(*(each.classes for rule in self.rules for each in rule.compounds))

    def style(self, element: Element, ancestors: Sequence[Element] = ()) -> str:
        """The declarations for this element, the strongest last; goes before those of its own `style`."""
        matched = [rule for rule in self.rules if _matches(rule, element, ancestors)]
        matched.sort(key=lambda rule: rule.weight)
        taken: list[tuple[str, str, bool]] = []
        for wanted in (True, False):
            for rule in reversed(matched):
                fresh = [each for each in rule.declarations if each[2] is wanted]
                known = {name for name, _, _ in taken}
                taken[:0] = [each for each in fresh if each[0] not in known]
        return ";".join(f"{name}:{value}{'!important' if important else ''}" for name, value, important in taken)


def parse(css: str) -> Sheet:
    """The sheet that this CSS is."""
    rules: list[Rule] = []
    strange = False
    for selectors, body in _rules(_COMMENT.sub(" ", css.replace("<!--", "").replace("-->", ""))):
        declarations = tuple(_declarations(body))
        for selector in selectors.split(","):
            if _STAYS.search(selector) or not declarations:
                continue
            rule = _rule(selector.strip(), declarations)
            strange = strange or rule is None
            rules += [rule] if rule else []
    return Sheet(tuple(rules), strange)


def _rules(css: str) -> Iterator[tuple[str, str]]:
    """Selectors and body of each rule that is not in an at-rule."""
    position = 0
    while position < len(css):
        found = _RULE.match(css, position)
        if found is None:
            position += 1  # a stray brace or quote
            continue
        position = found.end()
        if found[2] == "{":
            end = _block_end(css, position)
            if not (selectors := found[1].strip()).startswith("@"):
                yield selectors, css[position : end - 1]
            position = end


def _block_end(css: str, position: int) -> int:
    """Where the block that begins here ends, past its brace; past the end of the CSS if it is never closed."""
    depth = 1
    while depth:
        found = _BRACE.match(css, position)
        if found is None:
            return len(css) + 1
        position = found.end()
        depth += 1 if found[1] == "{" else -1
    return position


def _declarations(body: str) -> Iterator[tuple[str, str, bool]]:
    for found in _SEMICOLON.finditer(body):
        name, colon, value = found[1].partition(":")
        important = _IMPORTANT.search(value)
        value = (value[: important.start()] if important else value).strip()
        if colon and value:
            name = name.strip()
            yield name if name.startswith("--") else name.lower(), " ".join(value.split()), important is not None


def _rule(selector: str, declarations: tuple[tuple[str, str, bool], ...]) -> Rule | None:
    """None for a selector that is not simple enough."""
    compounds: list[Compound] = []
    child: list[bool] = []
    for word in selector.replace(">", " > ").split():
        if word == ">":
            if not child or child[-1]:
                return None
            child[-1] = True
            continue
        found = _COMPOUND.fullmatch(word)
        if found is None:
            return None
        names = re.findall(r"[.#][\w-]+", found[2])
        identifiers = [name[1:] for name in names if name[0] == "#"]
        if len(identifiers) > 1:
            return None
        tag = (found[1] or "").lower().replace("*", "")
        classes = frozenset(name[1:] for name in names if name[0] == ".")
        compounds.append(Compound(tag, "".join(identifiers), classes))
        child.append(False)
    if not compounds or child[-1]:
        return None
    weight = (
        sum(bool(each.identifier) for each in compounds),
        sum(len(each.classes) for each in compounds),
        sum(bool(each.tag) for each in compounds),
    )
    return Rule(weight, tuple(compounds), tuple(child), declarations)


def _matches(rule: Rule, element: Element, ancestors: Sequence[Element]) -> bool:
    return rule.compounds[-1].matches(element) and _above(rule, len(rule.compounds) - 2, ancestors)


def _above(rule: Rule, position: int, ancestors: Sequence[Element]) -> bool:
    """Whether ancestors (the root first) match the rule's compounds up to this one."""
    if position < 0:
        return True
    if rule.child[position]:
        return (
            bool(ancestors)
            and rule.compounds[position].matches(ancestors[-1])
            and _above(rule, position - 1, ancestors[:-1])
        )
    return any(
        rule.compounds[position].matches(ancestors[depth]) and _above(rule, position - 1, ancestors[:depth])
        for depth in range(len(ancestors) - 1, -1, -1)
    )
