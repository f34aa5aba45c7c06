"""JSON Schema (2020-12, unless a schema names another draft) of a template's data: compiled once per revision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mailboat.domain.revision import Revision
from mailboat.registry.looks import Intricate, Looks

KEPT = 512
LONGEST_REASON = 300
MOST_BACKTRACKING = 100_000
"""Steps of a `pattern` with lookaround; others take linear time."""

DEEPEST = 64
"""Levels of the data. A schema whose references multiply the work with each level may take fewer of them."""
MOST_LOOKS = 5_000_000
"""At the same part of the data, which take a tenth of a second."""
MOST_TOLD = 50_000
"""So many at most are looked through for what to tell: each that fails takes memory."""

Path = tuple[str | int, ...]


class Misfit(NamedTuple):
    """Where in the data, and what is wrong there."""

    path: Path
    reason: str

    @property
    def field(self) -> str:
        """As in `items[0].price`; empty for the data as a whole."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).removeprefix(".")


class BrokenSchema(ValueError):
    """Not a JSON Schema. `misfit` is a place in the schema."""

    def __init__(self, misfit: Misfit) -> None:
        super().__init__(misfit.reason)
        self.misfit = misfit


class Schema:
    """A compiled schema. Nothing is fetched: references have to lie within it. Raises BrokenSchema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        import jsonschema_rs

        patterns = jsonschema_rs.FancyRegexOptions(backtrack_limit=MOST_BACKTRACKING)
        try:
            self._validator: Any = jsonschema_rs.validator_for(schema, retriever=_refuse, pattern_options=patterns)
        except (jsonschema_rs.ValidationError, ValueError) as error:
            raise BrokenSchema(_misfit(_nearest(error))) from None
        try:
            looks = Looks(schema)
            self._deepest = looks.deepest(MOST_LOOKS, DEEPEST) if looks.refers else DEEPEST
            self._told = looks.deepest(MOST_TOLD, DEEPEST) if looks.refers else DEEPEST
        except Intricate as error:
            raise BrokenSchema(Misfit((), str(error))) from None
        if self._deepest < 1:
            raise BrokenSchema(Misfit((), f"its references look at one value more than {MOST_LOOKS:,} times"))

    def misfit(self, data: Any) -> Misfit | None:
        """The first thing that does not fit, or None."""
        if self._deepest < DEEPEST and deeper_than(data, self._deepest):
            return Misfit(
                (), f"nested more than {self._deepest} levels deep, which the schema's references do not allow"
            )
        try:
            if self._validator.is_valid(data):
                return None
        except UnicodeEncodeError:
            return Misfit((), "a text holds half a surrogate pair")
        if self._told < DEEPEST and deeper_than(data, self._told):
            return Misfit((), "it does not fit the schema")
        return next(map(_misfit, self._validator.iter_errors(data)), None)


_known: dict[str, Schema] = {}


def misfit(revision: Revision, data: dict[str, Any]) -> Misfit | None:
    """What in the data does not fit the template's schema. Raises BrokenSchema."""
    given = revision.sources.schema
    if given is None:
        return None
    schema = _known.get(revision.digest)
    if schema is None:
        if len(_known) >= KEPT:
            _known.clear()
        schema = _known[revision.digest] = Schema(given)
    return schema.misfit(data)


def deeper_than(value: Any, levels: int) -> bool:
    """Whether mappings and lists are nested more than so many levels deep."""
    layer = [value]
    for _ in range(levels):
        layer = [child for parent in layer for child in _children(parent)]
        if not layer:
            return False
    return True


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from (child for child in value.values() if isinstance(child, dict | list))
    elif isinstance(value, list):
        yield from (child for child in value if isinstance(child, dict | list))


def _refuse(uri: str) -> Any:
    raise ValueError(f"references to other documents ({uri}) are not followed")


def _nearest(error: Any) -> Any:
    """Of an error that says that no alternative fits, that of the first one, which names what was expected."""
    alternatives = getattr(getattr(error, "kind", None), "context", None)
    return alternatives[0][0] if alternatives and alternatives[0] else error


def _misfit(error: Any) -> Misfit:
    """From an error of the library. A property that is missing, or too many, is the place itself."""
    path: Path = tuple(getattr(error, "instance_path", ()))
    kind = getattr(error, "kind", None)
    unexpected = getattr(kind, "unexpected", None)
    named = unexpected[0] if unexpected else getattr(kind, "property", None)
    if isinstance(named, str):
        path = (*path, named)
    text = str(getattr(error, "message", error)).splitlines()[0].rstrip(".")
    return Misfit(path, text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…")
