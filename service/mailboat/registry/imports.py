"""The files that a React template is made of: what it imports, and what that imports, anywhere inside the volume.

Only reading: an import that is not allowed, or finds no file, is the compiler's to report, with its line and column.
`paths.mjs` in `service/engine/runtime` resolves in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

SUFFIXES = (".tsx", ".ts", ".jsx", ".js", ".json")
_ENDINGS = ("", *SUFFIXES, *(f"/index{suffix}" for suffix in SUFFIXES))
_WRITTEN_AS = ((".js", ".ts"), (".js", ".tsx"), (".jsx", ".tsx"))  # TypeScript's own habit
_IMPORT = re.compile(r"""\b(?:from|import|require)\s*\(?\s*(['"])(?P<file>[^'"\n]{1,500})\1""")
_RELATIVE = re.compile(r"\.{1,2}(?:/|\Z)")
_COMMENTED = re.compile(r"\s*(?://|\*)")
_IS_TEMPLATE = re.compile(
    r"^\s*export\s+default\b|\bas\s+default\b|^\s*module\.exports\s*=|^\s*export\s+(?:const|function)\s+subject\b",
    re.MULTILINE,
)


def is_template(source: str) -> bool:
    """Whether a .tsx file is a mail, and not a part of one: as React Email tells, by its default export."""
    return _IS_TEMPLATE.search(source) is not None


class Import(NamedTuple):
    """What a file imports: a file that is there, or the likeliest place of one that is not.

    `written`, `offset`: the name in the source, and the place of its quote there.
    """

    file: str
    there: bool
    written: str
    offset: int


def of(file: str, source: str, exists: Callable[[str], bool], aliases: Callable[[str], list[str]]) -> Iterator[Import]:
    """Each import of files in a file of the volume. `aliases`: the places of a name that is not relative."""
    if file.endswith(".json"):
        return
    for found in _IMPORT.finditer(source):
        name = found["file"]
        places = [_join(PurePosixPath(file).parent, name)] if _RELATIVE.match(name) else aliases(name)
        candidates = [each for place in places if place is not None for each in candidates_of(place)]
        meant = next((each for each in candidates if each.endswith(SUFFIXES) and exists(each)), None)
        if meant is not None:
            yield Import(meant, True, name, found.start(1))
        elif candidates:
            yield Import(candidates[0], False, name, found.start(1))


def is_commented(source: str, offset: int) -> bool:
    """Whether this place is, most likely, in a comment."""
    line = source[source.rfind("\n", 0, offset) + 1 : offset]
    return bool(_COMMENTED.match(line)) or source.rfind("/*", 0, offset) > source.rfind("*/", 0, offset)


def _join(folder: PurePosixPath, reference: str) -> str | None:
    """None for what lies outside the volume."""
    parts = list(folder.parts)
    for part in reference.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def candidates_of(wanted: str) -> Iterator[str]:
    """The files that an import of this path may mean, the likeliest first."""
    for ending in _ENDINGS:
        yield (wanted + ending).lstrip("/")
    for written, meant in _WRITTEN_AS:
        if wanted.endswith(written):
            yield wanted.removesuffix(written) + meant
