"""What the commands print: tables for people, JSON for programs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

NOTHING = "-"


def show(answer: Any, form: str, columns: Sequence[str] = ()) -> None:
    """Print one thing (a mapping) or many (a sequence; `columns` are shown) on stdout."""
    if form == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif isinstance(answer, Mapping):
        click.echo(listing(answer))
    else:
        click.echo(table(answer, columns))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Aligned columns under their names."""
    lines = [list(columns), *([text(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(aligned(lines))


def listing(thing: Mapping[str, Any]) -> str:
    """One fact a line; what has rows of its own comes below, indented."""
    simple = {name: value for name, value in thing.items() if not has_rows(value)}
    lines = aligned([[name, text(value)] for name, value in simple.items()])
    for name, value in thing.items():
        if has_rows(value):
            lines += ["", name, *(f"  {line}" for line in table(value, columns_of(value)).splitlines())]
    return "\n".join(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def has_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every name that occurs, in the order of its first occurrence."""
    return list(dict.fromkeys(name for row in rows for name in row))


def text(value: Any) -> str:
    """A value in one line."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, list):
        return ", ".join(map(text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text(entry)}" for name, entry in value.items())
    return " ".join(str(value).split()) if isinstance(value, str) else json.dumps(value)


@contextlib.contextmanager
def progress(label: str, length: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr for work of this length, moved on by what is yielded; none where no person looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=max(1, length), label=label, file=sys.stderr) as bar:
        yield bar.update
