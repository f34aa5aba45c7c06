"""What changed from one revision of a template to another, file by file and field by field."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import NamedTuple

from mailboat.domain.revision import Sources

CONTEXT = 3  # lines around a change
MOST_LINES = 5_000  # of one file; comparing more would hold up everybody
LONGEST_LINE = 400
_FIELDS = ("subject", "text", "schema", "example", "translations", "tailwind")


class Change(NamedTuple):
    """A line: `sign` is "+", "-", " " or "@" for where a stretch of lines begins."""

    sign: str
    text: str


class Difference(NamedTuple):
    """A file, or a field of the front matter, that is not the same."""

    name: str
    changes: tuple[Change, ...]


def between(old: Sources, new: Sources) -> list[Difference]:
    """Every difference; empty when the two render alike."""
    return [
        Difference(name, tuple(_changes(before, after)))
        for name, before, after in _pairs(_texts(old), _texts(new))
        if before != after
    ]


def _texts(sources: Sources) -> dict[str, str]:
    fields = {field: _text(getattr(sources, field)) for field in _FIELDS}
    return fields | dict(sorted(sources.files.items()))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


def _pairs(old: dict[str, str], new: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in {**old, **new}:
        yield name, old.get(name, ""), new.get(name, "")


def _changes(old: str, new: str) -> Iterator[Change]:
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > MOST_LINES:
        yield Change("@", f"It changed, and is too long to compare here: {len(before)} lines, then {len(after)}.")
        return
    lines = list(difflib.unified_diff(before, after, n=CONTEXT, lineterm=""))
    for line in lines[2:]:  # after the names
        yield Change(line[0], line[:LONGEST_LINE] if line[0] == "@" else line[1:LONGEST_LINE])
