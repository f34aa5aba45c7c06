"""Files that extend, include or import themselves whatever the data are: said at compile time, with the way round.

An `include` in a branch may lead back: that is how trees are written.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render import markup
from mailboat.render.markup import Jinja

_REFERENCE = re.compile(r"\{%[-+]?\s*\w+\s+(?:\"([^\"]+)\"|'([^']+)')")
_REFERS = ("extends", "include", "import", "from")
_BRANCHES = frozenset(("if", "for", "macro", "call", "block"))


def refuse(sources: Sources) -> None:
    """Raises TemplateFault at the reference that closes a circle."""
    edges = {name: list(_certain(name, source)) for name, source in sources.files.items()}
    done: set[str] = set()
    for start in sources.files:
        _walk(start, [], edges, done, sources)


def _walk(
    name: str, path: list[str], edges: dict[str, list[tuple[str, int]]], done: set[str], sources: Sources
) -> None:
    path.append(name)
    for target, offset in edges.get(name, ()):
        if target in path:
            way = " → ".join([*path[path.index(target) :], target])
            line, column = markup.place(sources.files[name], offset)
            line += sources.first_line.get(name, 1) - 1
            raise TemplateFault(f"leads back to itself: {way}", file=name, line=line, column=column)
        if target not in done:
            _walk(target, path, edges, done, sources)
    done.add(path.pop())


def _certain(name: str, source: str) -> Iterator[tuple[str, int]]:
    """The files that are always read when this one is, and where it says so."""
    depth = 0
    for piece in markup.pieces(source):
        if not isinstance(piece, Jinja):
            continue
        if piece.keyword in _BRANCHES:
            depth += 1
        elif piece.keyword.startswith("end") and piece.keyword[3:] in _BRANCHES:
            depth -= 1
        elif piece.keyword in _REFERS and not depth and (found := _REFERENCE.match(piece.text)):
            target = found[1] or found[2]
            if target.startswith(("./", "../")):
                target = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            yield target, piece.start + found.start(1 if found[1] else 2)
