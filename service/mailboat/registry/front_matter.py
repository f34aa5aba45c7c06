"""YAML between two lines `---` at the top of a template: its subject, schema, example and what else is not HTML."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

import msgspec

from mailboat.errors import TemplateFault
from mailboat.registry import schemas
from mailboat.registry.schemas import BrokenSchema, Misfit, Schema

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"`\$\.(\w+)")
_PLACED = ("subject", "text", "schema", "example", "tailwind")


class Tailwind(msgspec.Struct, forbid_unknown_fields=True):
    """`theme`: CSS variables, as in Tailwind's `@theme`."""

    theme: str


class FrontMatter(msgspec.Struct, forbid_unknown_fields=True):
    """What may stand in it."""

    subject: str = ""
    text: str | None = None
    schema: dict[str, Any] | None = None
    example: dict[str, Any] = {}
    translations: dict[str, dict[str, str]] = {}
    tailwind: Tailwind | None = None


class Split(NamedTuple):
    """A source in two. `lines` and `columns`: where the body and the fields begin, as `Sources.first_line` has it."""

    values: FrontMatter
    body: str
    lines: dict[str, int]
    columns: dict[str, int]


def split(source: str, file: str, *, strict: bool) -> Split:
    """Front matter and body. Raises TemplateFault, if `strict` also for an example that does not fit the schema."""
    found = _FRONT_MATTER.match(source)
    if found is None:
        if source.startswith("---"):
            raise TemplateFault("the front matter is not closed by a line '---'", file=file, line=1, column=1)
        return Split(FrontMatter(), source, {}, {})
    document = _Document(found["yaml"], file)
    values = document.values()
    if values.schema is not None:
        document.check(values, strict=strict)
    lines = {file: source.count("\n", 0, found.end()) + 1, **document.lines()}
    return Split(values, source[found.end() :], lines, document.columns())


@functools.cache
def _plain_loader() -> Any:
    """YAML without aliases, a few lines of which can stand for gigabytes."""
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported; write it out", problem_mark=mark)
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value if node.id == "mapping" else ():
                if key.id == "scalar" and key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands here twice", problem_mark=key.start_mark)
                seen.add(key.value if key.id == "scalar" else None)
            return super().construct_mapping(node, deep)

    return Plain


class _Document:
    """The YAML, and where everything in it is."""

    def __init__(self, text: str, file: str) -> None:
        import yaml

        self._file = file
        try:
            loader = _plain_loader()(text)
            self._root: Any = loader.get_single_node()
            self._values: Any = {} if self._root is None else loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line, column = (mark.line + 2, mark.column + 1) if mark else (2, 1)
            raise self._fault(str(error.problem), line, column) from None
        except (AttributeError, LookupError) as error:  # how `!!timestamp x`, `!!bool x` and `!!int -` end
            raise self._fault(f"a value is not what its tag says ({error})", 2, 1) from None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise self._fault(str(error).splitlines()[0], 2, 1) from None

    def values(self) -> FrontMatter:
        try:
            values = msgspec.convert(self._values, FrontMatter)
            msgspec.json.encode(values, order="sorted")  # what JSON cannot carry can neither be kept nor rendered
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as error:
            named = _FIELD.search(str(error)) or re.search(r"unknown field `(\w+)`", str(error))
            path = self._misfitting_words() if "`$.translations[...]" in str(error) else ()
            where = "".join(f"[{part!r}]" for part in path)
            message = re.sub(r"(?:\[\.\.\.\])+", lambda _: where, str(error)) if path else str(error)
            raise self._fault(
                message, *self._place(("translations", *path) if path else (named[1],) if named else ())
            ) from None
        return values

    def _misfitting_words(self) -> tuple[str, ...]:
        """The first locale, or the first key of one, that is none of `FrontMatter.translations`."""
        for locale, words in self._values["translations"].items():
            if not isinstance(words, dict):
                return (str(locale),)
            for key, text in words.items():
                if not isinstance(text, str):
                    return str(locale), str(key)
        return ()

    def check(self, values: FrontMatter, *, strict: bool) -> None:
        """Raises TemplateFault for a broken schema, and for an example that does not fit it."""
        assert values.schema is not None
        try:
            schema = Schema(values.schema)
        except BrokenSchema as error:
            raise self._misfit("schema", error.misfit) from None
        if strict and (misfit := schema.misfit(values.example)):
            raise self._misfit("example", misfit)

    def lines(self) -> dict[str, int]:
        """Line of each field's first character: of a block (`|`), that of its first line."""
        return {name: self._place((name,))[0] + _is_block(node) for name, node in self._fields()}

    def columns(self) -> dict[str, int]:
        """Columns before each text's first character."""
        found = {}
        for name, node in self._fields():
            if _is_block(node):
                found[name] = 2  # as nearly everybody indents
            elif node.id == "scalar":
                found[name] = node.start_mark.column + (node.style in ("'", '"'))  # a quote
        return found

    def _fields(self) -> list[tuple[str, Any]]:
        pairs = self._root.value if self._root is not None else []
        return [(key.value, node) for key, node in pairs if key.value in _PLACED]

    def _misfit(self, field: str, misfit: Misfit) -> TemplateFault:
        where = f"{field}{'' if misfit.field.startswith('[') or not misfit.field else '.'}{misfit.field}"
        return self._fault(f"{where}: {misfit.reason}", *self._place((field, *misfit.path)))

    def _place(self, path: schemas.Path) -> tuple[int, int]:
        """Line and column of a value, or of the nearest one around it that is there."""
        node, mark = self._root, None
        for part in path:
            if node is None or node.id == "scalar":
                break
            if node.id == "sequence":
                inner = node.value[part] if isinstance(part, int) and part < len(node.value) else None
                mark = inner.start_mark if inner else mark
            else:
                pair = next((pair for pair in node.value if pair[0].value == part), None)
                inner = pair[1] if pair else None
                mark = pair[0].start_mark if pair else mark
            node = inner
        return (mark.line + 2, mark.column + 1) if mark else (2, 1)

    def _fault(self, message: str, line: int, column: int) -> TemplateFault:
        return TemplateFault(f"front matter: {message}", file=self._file, line=line, column=column)


def _is_block(node: Any) -> bool:
    return node.id == "scalar" and node.style in ("|", ">")
