"""Looks: how often a JSON Schema can look at the same part of its data, told from the schema alone.

References let a few lines ask for more than there is time: where each of 40 definitions names the next one twice, the
last is asked 2⁴⁰ times; one that names itself twice doubles the work with each level of the data. Without references a
schema cannot do more than it is long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin

_ASIDE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")  # look at the same value again
_ASIDE_BY_NAME = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_MEMBERS = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ITEMS = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")


MOST_STEPS = 20_000


class Intricate(ValueError):
    """The references of a schema lead so long or so often into one another that its looks cannot be told."""


class Steps(NamedTuple):
    """What a schema and those beside it ask: `here` of the value itself, the others of what is in it, each by the place
    of a schema, with how often. Of `members` those of one name look at the same member."""

    here: int
    members: dict[str, Counter[int]]
    any_member: Counter[int]
    items: Counter[int]


class Looks:
    """The looks of one schema. Schemas are known by their place in the document, which is their `id`."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._schemas: dict[int, dict[str, Any]] = {}
        self._bases: dict[int, str] = {}
        self._named: dict[str, dict[str, Any]] = {}
        self.refers = False
        self._walk(schema, "")
        self._steps: dict[int, Steps | None] = {}
        self._left = MOST_STEPS
        self._sums: dict[tuple[int, int], int] = {}

    def deepest(self, most: int, levels: int) -> int:
        """How many levels data may have so that no part is looked at more than `most` times; `levels` at most.

        Raises Intricate.
        """
        try:
            for depth in range(1, levels + 1):
                if self._count(id(self._root), depth) > most:
                    return depth - 1
        except RecursionError:
            raise Intricate("its references lead on too long") from None
        return levels

    def _walk(self, value: Any, base: str) -> None:
        """Know every object in the document, be it a schema or not."""
        ahead = [(value, base)]
        while ahead:
            value, base = ahead.pop()
            if isinstance(value, dict):
                base = self._know(value, base)
                ahead += [(child, base) for child in value.values()]
            elif isinstance(value, list):
                ahead += [(child, base) for child in value]

    def _know(self, schema: dict[str, Any], base: str) -> str:
        own = schema.get("$id", schema.get("id"))
        if isinstance(own, str):
            base = _join(base, own).removesuffix("#")
            self._named[base] = schema
        self._schemas[id(schema)], self._bases[id(schema)] = schema, base
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := schema.get(keyword), str):
                self._named[f"{base}#{name}"] = schema
        self.refers = self.refers or any(keyword in schema for keyword in _REFERENCES)
        return base

    def _find(self, schema: dict[str, Any], reference: str) -> dict[str, Any]:
        """What it refers to; where that cannot be told, the whole document."""
        target = _join(self._bases[id(schema)], reference)
        if target in self._named:
            return self._named[target]
        document, _, pointer = target.partition("#")
        found: Any = self._named.get(document, self._root)
        for part in filter(None, pointer.split("/")):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else _item(found, key)
        return found if isinstance(found, dict) and id(found) in self._schemas else self._root

    def _aside(self, schema: dict[str, Any]) -> Iterator[int]:
        for keyword in _ASIDE:
            yield from _places(schema.get(keyword))
        for keyword in _ASIDE_BY_NAME:
            yield from _places(list(_mapping(schema.get(keyword)).values()))
        for keyword in _REFERENCES:
            if isinstance(reference := schema.get(keyword), str):
                yield id(self._find(schema, reference))

    def _of(self, place: int) -> Steps:
        """A schema that stands beside itself adds nothing: it looks once."""
        if place in self._steps:
            return self._steps[place] or Steps(0, {}, Counter(), Counter())
        self._steps[place] = None
        schema = self._schemas[place]
        members = {name: Counter(_places(child)) for name, child in _mapping(schema.get("properties")).items()}
        any_member = Counter(_places(list(_mapping(schema.get("patternProperties")).values())))
        for keyword in _MEMBERS:
            any_member.update(_places(schema.get(keyword)))
        items = Counter(one for keyword in _ITEMS for one in _places(schema.get(keyword)))
        here = 1
        for beside in self._aside(schema):
            more = self._of(beside)
            here += more.here
            any_member.update(more.any_member)
            items.update(more.items)
            for name, counted in more.members.items():
                members.setdefault(name, Counter()).update(counted)
        self._left -= len(members) + len(any_member) + len(items)
        if self._left < 0:
            raise Intricate(f"its references make more than {MOST_STEPS:,} steps of it")
        found = self._steps[place] = Steps(here, members, any_member, items)
        return found

    def _count(self, place: int, depth: int) -> int:
        """Looks at a value and at what lies on the way to the part of it that is looked at most."""
        if (place, depth) not in self._sums:
            steps = self._of(place)
            below = 0
            if depth:
                named = max((self._total(one, depth) for one in steps.members.values()), default=0)
                below = max(named + self._total(steps.any_member, depth), self._total(steps.items, depth))
            self._sums[place, depth] = steps.here + below
        return self._sums[place, depth]

    def _total(self, counted: Counter[int], depth: int) -> int:
        return sum(times * self._count(place, depth - 1) for place, times in counted.items())


def _places(value: Any) -> list[int]:
    """The places of the schemas in a keyword's value: one, or a list."""
    return [id(one) for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _item(found: Any, key: str) -> Any:
    inside = isinstance(found, list) and key.isascii() and key.isdecimal() and len(key) < 9
    return found[int(key)] if inside and int(key) < len(found) else None


def _join(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference
