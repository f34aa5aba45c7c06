"""From any exception in a Jinja template to a TemplateFault that names the author's own file, line and column."""

from __future__ import annotations

import re
from types import TracebackType

from jinja2 import TemplateNotFound, TemplateSyntaxError

from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render import columns, limits

SUBJECT, TEXT = "<subject>", "<text>"
"""Names of the two templates that are not files."""
LONGEST_MESSAGE = 500

_QUOTED = re.compile(r"'(\w+)'")
_OFFSET = re.compile(r"(unexpected char .*) at (\d+)")
_TAG_END = re.compile(r"[%}]\}")
_EXHAUSTED: dict[type[BaseException], str] = {
    limits.RenderTimeout: limits.TOO_SLOW,
    MemoryError: limits.TOO_MUCH_MEMORY,
    RecursionError: "calls itself too deeply",
}


def describe(error: BaseException, sources: Sources) -> TemplateFault:
    """The fault that this exception means. Only what tells of the template is kept, and no more than a few lines."""
    message = _message(error)
    file, line, column = _author_place(sources, *_place(error, sources, message))
    kind = limits.Exhausted if type(error) in _EXHAUSTED else TemplateFault
    return kind(message, file=file, line=line, column=column)


def _message(error: BaseException) -> str:
    if type(error) in _EXHAUSTED:
        return _EXHAUSTED[type(error)]
    if isinstance(error, TemplateNotFound):
        return f"there is no file {error.name!r} in this template"
    if isinstance(error, TemplateSyntaxError) and (found := _OFFSET.fullmatch(error.message or "")):
        return found[1]
    if isinstance(error, TemplateSyntaxError) or type(error).__module__.startswith(("jinja2", "mailboat")):
        return str(getattr(error, "message", None) or error)[:LONGEST_MESSAGE]
    return f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]


def _place(error: BaseException, sources: Sources, message: str) -> tuple[str, int, int]:
    """File, line and column within that source."""
    if isinstance(error, TemplateSyntaxError):
        name, place = error.name or sources.entry, error.lineno
        if found := _OFFSET.fullmatch(error.message or ""):
            return name, *columns.at(source(sources, name), int(found[2]))
    else:
        name, place = _innermost(error.__traceback__) or (sources.entry, 0)
    line, column = columns.split(place)
    return name, line, _sharpen(_line(source(sources, name), line), column, message)


def _innermost(traceback: TracebackType | None) -> tuple[str, int] | None:
    """Name and place of the template line that was running."""
    found = None
    while traceback:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            found = template.name, template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return found


def source(sources: Sources, name: str) -> str:
    """The source of a template by the name under which it was compiled."""
    special = {SUBJECT: sources.subject, TEXT: sources.text or ""}
    return special[name] if name in special else sources.files.get(name, "")


def _line(text: str, line: int) -> str:
    lines = re.split(r"\r\n|\r|\n", text)
    return lines[line - 1] if 0 < line <= len(lines) else ""


def _sharpen(line: str, column: int, message: str) -> int:
    """The column of the word that the message quotes, if the tag has it; else what is known, or the first word."""
    start = max(column - 1, 0)
    end = _TAG_END.search(line, start)
    quoted = _QUOTED.search(message)
    if quoted:
        word = re.compile(rf"\b{quoted[1]}\b").search(line, start, end.start() if column and end else len(line))
        if word:
            return word.start() + 1
    return column or len(line) - len(line.lstrip()) + bool(line.strip())


def _author_place(sources: Sources, name: str, line: int, column: int) -> tuple[str, int, int]:
    """The place in the author's file. Subject and text that stand in the front matter are placed by `first_line`."""
    key = {SUBJECT: "subject", TEXT: "text"}.get(name, name)
    file = sources.entry if name in (SUBJECT, TEXT) and key in sources.first_line else key
    if not line:
        return file, 0, column
    before = sources.first_column.get(key, 0) if file != key else 0
    return file, line + sources.first_line.get(key, 1) - 1, column and column + before
