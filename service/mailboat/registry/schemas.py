"""JSON Schema (2020-12, unless a schema names another draft) of a template's data: compiled once per revision."""

from __future__ import annotations

from typing import Any, NamedTuple

from mailboat.domain.revision import Revision

KEPT = 512
LONGEST_REASON = 300
MOST_BACKTRACKING = 100_000
"""Steps of a `pattern` with lookaround; others take linear time."""

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

    def misfit(self, data: Any) -> Misfit | None:
        """The first thing that does not fit, or None."""
        try:
            if self._validator.is_valid(data):
                return None
        except UnicodeEncodeError:
            return Misfit((), "a text holds half a surrogate pair")
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
