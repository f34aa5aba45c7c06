"""The files that a React template is made of: what it imports, and what that imports, anywhere inside the volume.

Only reading: an import that is not allowed, or finds no file, is the compiler's to report, with its line and column.
`paths.mjs` in `service/engine/runtime` resolves in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

SUFFIXES = (".tsx", ".ts", ".jsx", ".js", ".json")
_ENDINGS = ("", *SUFFIXES, *(f"/index{suffix}" for suffix in SUFFIXES))
_WRITTEN_AS = ((".js", ".ts"), (".js", ".tsx"), (".jsx", ".tsx"))  # TypeScript's own habit
_IMPORT = re.compile(r"""\b(?:from|import|require)\s*\(?\s*(['"])(?P<file>\.{1,2}(?:/[^'"\n]*)?)\1""")
_IS_TEMPLATE = re.compile(
    r"^\s*export\s+default\b|\bas\s+default\b|^\s*module\.exports\s*=|^\s*export\s+(?:const|function)\s+subject\b",
    re.MULTILINE,
)


def is_template(source: str) -> bool:
    """Whether a .tsx file is a mail, and not a part of one: as React Email tells, by its default export."""
    return _IS_TEMPLATE.search(source) is not None


def of(file: str, source: str, exists: Callable[[str], bool]) -> Iterator[tuple[str, bool]]:
    """Each relative import in a file of the volume: the file that it means and True, or what is missing and False."""
    if file.endswith(".json"):
        return
    for found in _IMPORT.finditer(source):
        wanted = _join(PurePosixPath(file).parent, found["file"])
        if wanted is not None:
            meant = next((each for each in _candidates(wanted) if each.endswith(SUFFIXES) and exists(each)), None)
            yield meant or wanted, meant is not None


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


def _candidates(wanted: str) -> Iterator[str]:
    for ending in _ENDINGS:
        yield (wanted + ending).lstrip("/")
    for written, meant in _WRITTEN_AS:
        if wanted.endswith(written):
            yield wanted.removesuffix(written) + meant
