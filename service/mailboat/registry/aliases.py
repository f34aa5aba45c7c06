"""Other names for files of the volume: `paths` and `baseUrl` of the project's tsconfig.json (or jsconfig.json).

They are read when a template imports what is neither relative nor a package of the engine's. What the compiler needs of
them is lent to it as a file of the revision, KEY: JSON, from the pattern to places from the top of the volume, the
likeliest first. `paths.mjs` in `service/engine/runtime` reads it in the same way.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any

from mailboat.errors import TemplateFault

KEY = "tsconfig.paths.json"
CONFIGS = ("tsconfig.json", "jsconfig.json")
MOST_EXTENDED = 8
_OF_THE_ENGINE = re.compile(r"(?:react|react-email|tailwindcss|@react-email/[^/]+)(?:/|\Z)|node:")
_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:[^"\\\n]|\\.)*")|,(?=\s*[}\]])')

Read = Callable[[str], str | None]
Table = dict[str, list[str]]


class Aliases:
    """Of one template's project; `read` gives the text of a file of the volume, or None.

    `configs`: the files that were read. `used`: whether a name was asked for that is no package's.
    """

    def __init__(self, entry: str, read: Read) -> None:
        self._entry, self._read = entry, read
        self._table: Table | None = None
        self.configs: list[str] = []

    @property
    def table(self) -> Table:
        """From pattern to places. Raises TemplateFault."""
        if self._table is None:
            self._table = _table(list(self._chain()))
        return self._table

    def places(self, specifier: str) -> list[str]:
        """Where a name may lie, the likeliest place first. Raises TemplateFault."""
        if _OF_THE_ENGINE.match(specifier):
            return []
        found = [target for pattern, targets in self.table.items() for target in _matched(pattern, targets, specifier)]
        return [place for place in map(posixpath.normpath, found) if not place.startswith("..")]

    @property
    def file(self) -> str:
        """What the compiler is lent; empty if there is nothing to lend."""
        return json.dumps(self._table) if self._table else ""

    def _chain(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The nearest configuration above the entry, then what it extends: the file and its `compilerOptions`."""
        folders = posixpath.dirname(self._entry).split("/")
        above = ["/".join(folders[:depth]) for depth in range(len(folders), 0, -1)]
        nearest = (posixpath.join(folder, name) for folder in dict.fromkeys([*above, ""]) for name in CONFIGS)
        wanted = next((file for file in nearest if self._read(file) is not None), None)
        while wanted and wanted not in self.configs and len(self.configs) < MOST_EXTENDED:
            text = self._read(wanted)
            if text is None:
                return
            self.configs.append(wanted)
            config = _parsed(wanted, text)
            options = config.get("compilerOptions")
            yield wanted, options if isinstance(options, dict) else {}
            wanted = _extended(wanted, config.get("extends"))


def _parsed(file: str, text: str) -> dict[str, Any]:
    """JSON with comments and commas at the end, as TypeScript has it. Raises TemplateFault."""
    blanked = _COMMENT.sub(lambda found: found[1] or re.sub(r"[^\n]", " ", found[0]), text)
    try:
        config = json.loads(_TRAILING_COMMA.sub(lambda found: found[1] or " ", blanked))
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}"
        raise TemplateFault(message, file=file, line=error.lineno, column=error.colno) from None
    except RecursionError:
        raise TemplateFault("nested too deeply", file=file, line=1, column=1) from None
    return config if isinstance(config, dict) else {}


def _extended(file: str, extends: Any) -> str | None:
    """The file that is extended, if it is one of the project's and not a package's; of several, the last one wins."""
    last = extends[-1] if isinstance(extends, list) and extends else extends
    if not isinstance(last, str) or not last.startswith("."):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file), last))
    return path if path.endswith(".json") else f"{path}.json"


def _table(chain: list[tuple[str, dict[str, Any]]]) -> Table:
    """An exact name before a pattern, a long pattern before a short one; `baseUrl` last."""
    base = next((_from(file, told) for file, options in chain if isinstance(told := options.get("baseUrl"), str)), None)
    given = next(((file, told) for file, options in chain if isinstance(told := options.get("paths"), dict)), None)
    table: Table = {}
    if given is not None:
        folder = posixpath.dirname(given[0]) if base is None else base
        for pattern in sorted(given[1], key=lambda each: ("*" in each, -len(each.partition("*")[0]))):
            targets = given[1][pattern]
            if isinstance(targets, list):
                table[pattern] = [posixpath.join(folder, each) for each in targets if isinstance(each, str)]
    if base is not None:
        table.setdefault("*", []).append(posixpath.join(base, "*"))
    return table


def _from(file: str, reference: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(file), reference))


def _matched(pattern: str, targets: list[str], specifier: str) -> Iterator[str]:
    head, star, tail = pattern.partition("*")
    if not star:
        yield from targets if specifier == pattern else ()
    elif len(specifier) >= len(head) + len(tail) and specifier.startswith(head) and specifier.endswith(tail):
        name = specifier[len(head) : len(specifier) - len(tail)]
        yield from (target.replace("*", name, 1) for target in targets)
