"""`export const schema = {…}` of a React template: JSON Schema, as a value of JSON in the spelling of JavaScript.

It is read and not run, so that a mail is checked without a render process; `PreviewProps` likewise, if they can be.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.registry.schemas import BrokenSchema, Path, Schema

DEEPEST = 100
_EXPORT = re.compile(r"^export\s+const\s+schema\b(?:\s*:[^=]*)?\s*=", re.MULTILINE)
_EXAMPLE = re.compile(
    r"^(?:export\s+const\s+PreviewProps\b(?:\s*:[^=]*)?|[ \t]*[(\w$][\w$ <>()]*\.PreviewProps)\s*=(?=\s*{)",
    re.MULTILINE,
)
_AFTER = re.compile(r"[ \t]*(?:;|//|\n|\Z|(?:as|satisfies)\b)")
_SKIPPED = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\$]|\\.|\$(?!{))*`)
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w$]))
      | (?P<name>[A-Za-z_$][\w$]*)
      | (?P<mark>[][{},:])""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(\n)|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_CONSTANTS = {"true": True, "false": False, "null": None}


def schema(source: str, file: str) -> dict[str, Any] | None:
    """The schema that a template exports, if it does. Raises TemplateFault for one that is no JSON or no schema."""
    found = next((each for each in _EXPORT.finditer(source) if not _is_comment(source, each.start())), None)
    if found is None:
        return None
    reader = _Reader(source, file, found.end())
    value = reader.value(())
    if not isinstance(value, dict):
        raise reader.fault("`schema` must be an object", reader.places[()])
    try:
        Schema(value)
    except BrokenSchema as error:
        named = f"schema.{error.misfit.field}".rstrip(".")
        raise reader.fault(f"{named}: {error.misfit.reason}", reader.nearest(error.misfit.path)) from None
    return value


def example(source: str, file: str) -> dict[str, Any]:
    """`PreviewProps` of a React template; empty if there are none, or if they are not JSON, but hold a date for one."""
    return found.value if (found := _read_example(source, file)) else {}


def check_example(sources: Sources) -> None:
    """Raises TemplateFault for `PreviewProps` of a React template that do not fit its schema.

    Those that are not JSON are the template's own affair.
    """
    if sources.engine != "react" or sources.schema is None:
        return
    found = _read_example(sources.files[sources.entry], sources.entry)
    if found and (misfit := Schema(sources.schema).misfit(found.value)):
        named = misfit.field if misfit.field.startswith("[") or not misfit.field else f".{misfit.field}"
        raise found.reader.fault(f"PreviewProps{named}: {misfit.reason}", found.reader.nearest(misfit.path))


class _Example(NamedTuple):
    """The value, and the reader that knows the places of what is in it."""

    value: dict[str, Any]
    reader: _Reader


def _read_example(source: str, file: str) -> _Example | None:
    found = [each for each in _EXAMPLE.finditer(source) if not _is_comment(source, each.start())]
    if len(found) != 1:
        return None
    reader = _Reader(source, file, found[0].end())
    try:
        value = reader.value(())
        reader.end()
    except TemplateFault:
        return None
    return _Example(value, reader)


def _is_comment(source: str, offset: int) -> bool:
    return source.rfind("/*", 0, offset) > source.rfind("*/", 0, offset)


class _Reader:
    """Values from `position` on. `places`: the offset of each one by its path."""

    def __init__(self, source: str, file: str, position: int) -> None:
        self._source, self._file, self._position = source, file, position
        self.places: dict[Path, int] = {}

    def nearest(self, path: Path) -> int:
        """The offset of a value, or of the nearest one around it that is there."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def end(self) -> None:
        """Raises TemplateFault unless the value is all that there is, but for its type."""
        if _AFTER.match(self._source, self._position) is None:
            raise self._unreadable(self._position)

    def value(self, path: Path) -> Any:
        start, kind, text = self._next()
        self.places[path] = start
        if len(path) > DEEPEST:
            raise self.fault("`schema` is nested too deeply", start)
        match kind, text:
            case "mark", "{":
                return self._object(path)
            case "mark", "[":
                return self._array(path)
            case "string", _:
                return self._text(text, start)
            case "number", _:
                return self._number(text, start)
            case "name", ("true" | "false" | "null"):
                return _CONSTANTS[text]
        raise self._unreadable(start)

    def _object(self, path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while (token := self._next())[2] != "}":
            start, kind, text = token
            if kind not in ("string", "name", "number"):
                raise self._unreadable(start)
            name = self._text(text, start) if kind == "string" else text
            self._expect(":")
            members[name] = self.value((*path, name))
            if self._end_of_member("}"):
                break
        return members

    def _array(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while self._peek() != "]":
            items.append(self.value((*path, len(items))))
            if self._end_of_member("]"):
                return items
        self._next()
        return items

    def _end_of_member(self, end: str) -> bool:
        """Past a comma, or past the end: then True."""
        start, _, text = self._next()
        if text not in (",", end):
            raise self._unreadable(start)
        return text == end

    def _expect(self, mark: str) -> None:
        start, _, text = self._next()
        if text != mark:
            raise self._unreadable(start)

    def _next(self) -> tuple[int, str, str]:
        """Offset, kind and text of the next token."""
        skipped = _SKIPPED.match(self._source, self._position)
        start = skipped.end() if skipped else self._position
        found = _TOKEN.match(self._source, start)
        if found is None:
            raise self._unreadable(start)
        self._position = found.end()
        return start, str(found.lastgroup), found[0]

    def _peek(self) -> str:
        before = self._position
        text = self._next()[2]
        self._position = before
        return text

    def _text(self, written: str, start: int) -> str:
        try:
            text = _ESCAPE.sub(_unescaped, written[1:-1])
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except ValueError:
            raise self.fault("this text in `schema` is not valid Unicode", start) from None

    def _number(self, written: str, start: int) -> int | float:
        if re.fullmatch(r"[-+]?(?:\d{1,15}|0[xX][0-9a-fA-F]{1,13})", written):
            return int(written, 16 if "x" in written.lower() else 10)
        number = float(written) if "x" not in written.lower() else math.inf
        if not math.isfinite(number):
            raise self.fault("this number in `schema` is too large", start)
        return number

    def _unreadable(self, offset: int) -> TemplateFault:
        return self.fault(
            "`schema` is read without running the template: write it as plain JSON, with no names or calls", offset
        )

    def fault(self, message: str, offset: int) -> TemplateFault:
        line = self._source.count("\n", 0, offset) + 1
        return TemplateFault(message, file=self._file, line=line, column=offset - self._source.rfind("\n", 0, offset))


def _unescaped(found: re.Match[str]) -> str:
    point, unit, octet, newline, other = found.groups()
    if code := point or unit or octet:
        return chr(int(code, 16))
    return "" if newline else _NAMED.get(other, other)
