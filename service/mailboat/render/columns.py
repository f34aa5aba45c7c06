"""Columns for Jinja, which keeps only lines: its line numbers are replaced by places that hold both.

A place is one integer, `line * STRIDE + column`, both counted from 1. Jinja carries it through tokens, nodes and the
debug table of the compiled template as if it were a line number.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

from jinja2 import Environment, nodes
from jinja2.lexer import Lexer

from mailboat.render.markup import Origin

STRIDE = 1 << 20
_NEWLINE = re.compile(r"\r\n|\r|\n")


def split(place: int) -> tuple[int, int]:
    """Line and column of a place; the column is 0 in a plain line number."""
    line, column = divmod(place, STRIDE)
    return (line, column) if line else (column, 0)


def at(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset into a source whose line breaks Jinja has made one character each."""
    before = _NEWLINE.sub("\n", text)[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


class PlacedLexer(Lexer):
    """Jinja's lexer, with places where it has line numbers. `origins`: ways back from sources that were edited."""

    def __init__(self, environment: Environment, origins: Mapping[str, Origin]) -> None:
        super().__init__(environment)
        self._origins = origins

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        text = _NEWLINE.sub("\n", source)
        origin = self._origins.get(name or "")
        position = line_start = 0
        line = 1
        for _, kind, value in super().tokeniter(text, name, filename, state):
            found = text.find(value, position)  # only stripped whitespace lies between two tokens
            skipped = text.count("\n", position, found)
            if skipped:
                line, line_start = line + skipped, text.rfind("\n", position, found) + 1
            at, column = origin.place(found) if origin else (line, found - line_start + 1)
            yield at * STRIDE + min(column, STRIDE - 1), kind, value
            position = found + len(value)
            if "\n" in value:
                line, line_start = line + value.count("\n"), text.rfind("\n", found, position) + 1


@functools.cache
def lexer() -> PlacedLexer:
    return lexer_of({})


def lexer_of(origins: Mapping[str, Origin]) -> PlacedLexer:
    """A lexer for sources of which some, by name, were edited."""
    return PlacedLexer(Environment(), origins)  # noqa: S701 (only for its delimiters)


def start_outputs_at_their_left(tree: nodes.Template) -> None:
    """Jinja places `a.b` at the dot; an author looks for its beginning."""
    for output in tree.find_all(nodes.Output):
        for child in output.nodes:
            inner = (node.lineno for node in child.find_all(nodes.Node) if node.lineno)  # operands have no place
            child.lineno = min([child.lineno, *inner])
