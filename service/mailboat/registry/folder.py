"""The source volume: a read-only folder with templates, each a file or a folder of its own.

    receipt.html.j2            YAML front matter, then the HTML
    welcome/index.html.j2      the same with files of its own beside it
    invoice.tsx                a React Email component; also invoice/index.tsx, and both of them in emails/

A revision holds the entry and every file that it extends, includes or imports, from anywhere inside the volume.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from mailboat.domain import revision
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import TemplateFault
from mailboat.registry import imports

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
JINJA_ENTRIES = ("{name}.html.j2", "{name}/index.html.j2")
REACT_ENTRIES = ("{name}.tsx", "{name}/index.tsx", "emails/{name}.tsx", "emails/{name}/index.tsx")
LARGEST_FILE = 1_048_576  # octets
MOST_FILES = 200
_REFERENCE = re.compile(r"{%-?\s*(?:extends|include|import|from)\s+(['\"])(?P<file>[^'\"]+)\1")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)^---[ \t]*\r?\n", re.DOTALL | re.MULTILINE)


class FrontMatter(msgspec.Struct, forbid_unknown_fields=True):
    """What may stand between the `---` lines at the top of an entry."""

    subject: str = ""
    text: str | None = None
    schema: dict[str, Any] | None = None
    example: dict[str, Any] = {}
    translations: dict[str, dict[str, str]] = {}


class Folder:
    """Reads templates when asked; keeps nothing."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).resolve()

    @property
    def root(self) -> Path:
        return self._root

    def names(self) -> list[str]:
        """Every template's name, sorted."""
        if not self._root.is_dir():
            return []
        found = {path.name.removesuffix(".html.j2") for path in self._root.glob("*.html.j2")}
        found |= {path.parent.name for path in self._root.glob("*/index.html.j2")}
        for pattern in REACT_ENTRIES:
            for path in self._root.glob(pattern.format(name="*")):
                if self._is_react(path):
                    found.add(path.parent.name if path.name == "index.tsx" else path.stem)
        return sorted(name for name in found if NAME.fullmatch(name))

    def entry(self, name: str) -> Path | None:
        """The entry file of a template, or None when there is no such template."""
        if not NAME.fullmatch(name):
            return None
        return self._first(JINJA_ENTRIES, name) or self._first(REACT_ENTRIES, name)

    def _first(self, patterns: tuple[str, ...], name: str) -> Path | None:
        for pattern in patterns:
            path = self._root / pattern.format(name=name)
            if path.is_file() and self._inside(path):
                return path
        return None

    def _is_react(self, path: Path) -> bool:
        """Whether this .tsx file is a template. One that cannot be read is, so that somebody hears of it."""
        try:
            return self._inside(path) and imports.is_template(self._read(path, path.name))
        except (TemplateFault, OSError):
            return True

    def load(self, name: str) -> tuple[Revision, list[Path]] | None:
        """The revision as it is on disk now, and the files it was read from. Raises TemplateFault."""
        entry = self.entry(name)
        if entry is None:
            return None
        key = self._key(entry)
        if key.endswith(".tsx"):
            return self._load_react(name, key)
        if (other := self._first(REACT_ENTRIES, name)) is not None:
            raise TemplateFault(
                f"{self._key(other)} is a template of the same name: rename one of the two", file=key, line=1, column=1
            )
        source = self._read(entry, key)
        front, body, first_line = _split(source, key)
        files, paths = {key: body}, [entry]
        self._collect(entry, body, files, paths)
        sources = Sources(
            engine="jinja",
            entry=key,
            files=files,
            subject=front.subject,
            text=front.text,
            schema=front.schema,
            example=front.example,
            translations=front.translations,
            first_line={key: first_line} if first_line > 1 else {},
        )
        return revision.revise(name, sources), paths

    def _load_react(self, name: str, entry: str) -> tuple[Revision, list[Path]]:
        """With the places of what it imports in vain, so that it is noticed when that appears."""
        files: dict[str, str] = {}
        paths: list[Path] = []
        queue, missing = [entry], list[str]()
        for key in queue:
            if key in files:
                continue
            if len(files) >= MOST_FILES:
                raise TemplateFault(f"more than {MOST_FILES} files", file=entry)
            paths.append(self._root / key)
            files[key] = self._read(paths[-1], key)
            for wanted, there in imports.of(key, files[key], self._has):
                (queue if there else missing).append(wanted)
        return revision.revise(name, Sources(engine="react", entry=entry, files=files)), [
            *paths,
            *map(self._root.joinpath, missing),
        ]

    def _has(self, key: str) -> bool:
        path = self._root / key
        return path.is_file() and self._inside(path)

    def _collect(self, origin: Path, source: str, files: dict[str, str], paths: list[Path]) -> None:
        for reference in _REFERENCE.finditer(source):
            path = self._resolve(origin, reference["file"])
            line = source.count("\n", 0, reference.start()) + 1
            if path is None:
                raise TemplateFault(f"there is no file {reference['file']!r}", file=self._key(origin), line=line)
            key = reference["file"]
            if key in files:
                continue
            if len(files) >= MOST_FILES:
                raise TemplateFault(f"more than {MOST_FILES} files", file=self._key(origin), line=line)
            files[key] = self._read(path, key)
            paths.append(path)
            self._collect(path, files[key], files, paths)

    def _resolve(self, origin: Path, reference: str) -> Path | None:
        """A reference is looked for beside the entry's folder first, then from the root of the volume."""
        for base in (origin.parent, self._root):
            path = base / reference
            if path.is_file() and self._inside(path):
                return path
        return None

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else path.name

    def _read(self, path: Path, key: str) -> str:
        if path.stat().st_size > LARGEST_FILE:
            raise TemplateFault(f"the file is larger than {LARGEST_FILE // 1024} KiB", file=key)
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise TemplateFault(f"the file is not UTF-8 text (octet {error.start})", file=key) from None


def _split(source: str, file: str) -> tuple[FrontMatter, str, int]:
    """Front matter, the body, and the line at which the body begins."""
    found = _FRONT_MATTER.match(source)
    if found is None:
        if source.startswith("---"):
            raise TemplateFault("the front matter is not closed by a line '---'", file=file, line=1, column=1)
        return FrontMatter(), source, 1
    return _front_matter(found["yaml"], file), source[found.end() :], source.count("\n", 0, found.end()) + 1


def _front_matter(text: str, file: str) -> FrontMatter:
    import yaml

    try:
        values = yaml.safe_load(text)
        return msgspec.convert({} if values is None else values, FrontMatter)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 2, mark.column + 1) if mark else (2, 1)
        raise TemplateFault(f"front matter: {error.problem}", file=file, line=line, column=column) from None
    except (msgspec.ValidationError, RecursionError) as error:
        raise TemplateFault(f"front matter: {error}", file=file, line=2, column=1) from None
