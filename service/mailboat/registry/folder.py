"""The source volume: a read-only folder with templates, each a file or a folder of its own.

    receipt.html.j2            YAML front matter, then the HTML
    welcome/index.html.j2      the same with files of its own beside it
    invoice.tsx                a React Email component; also invoice/index.tsx, and both of them in emails/

A revision holds the entry and every file that it extends, includes or imports, from anywhere inside the volume.
"""

from __future__ import annotations

import functools
import posixpath
import re
from pathlib import Path

from mailboat.domain import revision
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import TemplateFault
from mailboat.registry import front_matter, imports, literals

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
JINJA_ENTRIES = ("{name}.html.j2", "{name}/index.html.j2")
REACT_ENTRIES = ("{name}.tsx", "{name}/index.tsx", "emails/{name}.tsx", "emails/{name}/index.tsx")
LARGEST_FILE = 1_048_576  # octets
MOST_FILES = 200
_REFERENCE = re.compile(
    r"{%[-+]?\s*(?:extends|include|import|from)\s+(?P<quote>['\"])(?P<file>[^'\"]+)(?P=quote)(?P<rest>[^%]*)"
)
_NEWLINE = re.compile(r"\r\n|\r")
_COMMENT = re.compile(r"{#.*?#}", re.DOTALL)


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
            return self._inside(path) and imports.is_template(self.read(path, path.name))
        except (TemplateFault, OSError):
            return True

    def load(self, name: str, *, strict: bool = False) -> tuple[Revision, list[Path]] | None:
        """The revision as it is on disk now, and the files it was read from. Raises TemplateFault.

        strict: also for an example that does not fit the schema, which is no reason not to send mails.
        """
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
        source = self.read(entry, key)
        front = front_matter.split(source, key, strict=strict)
        files = _Files(self, key, front)
        files.follow(entry, key, front.body)
        sources = Sources(
            engine="jinja",
            entry=key,
            files=files.sources,
            subject=front.values.subject,
            text=front.values.text,
            schema=front.values.schema,
            example=front.values.example,
            translations=front.values.translations,
            tailwind={"theme": front.values.tailwind.theme} if front.values.tailwind else {},
            first_line=front.lines,
            first_column=front.columns,
        )
        return revision.revise(name, sources), [entry, *files.paths]

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
            files[key] = self.read(paths[-1], key)
            for wanted, there in imports.of(key, files[key], self._has):
                (queue if there else missing).append(wanted)
        sources = Sources(engine="react", entry=entry, files=files, schema=literals.schema(files[entry], entry))
        return revision.revise(name, sources), [
            *paths,
            *map(self._root.joinpath, missing),
        ]

    def _has(self, key: str) -> bool:
        path = self._root / key
        return path.is_file() and self._inside(path)

    def find(self, origin: Path, reference: str) -> Path | None:
        """What a file means by a reference: `./` and `../` from where it is; else beside it, then from the root."""
        relative = reference.startswith(("./", "../"))
        for base in (origin.parent,) if relative else (origin.parent, self._root):
            path = base / reference
            if path.is_file() and self._inside(path):
                return path
        return None

    def leaves(self, origin: Path, reference: str) -> bool:
        """Whether a reference leads out of the volume, by its dots or by a link."""
        return not (self._inside(origin.parent / reference) and self._inside(self._root / reference))

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix() if path.is_relative_to(self._root) else path.name

    def read(self, path: Path, key: str) -> str:
        if path.stat().st_size > LARGEST_FILE:
            raise TemplateFault(f"the file is larger than {LARGEST_FILE // 1024} KiB", file=key, line=1, column=1)
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            before = content[: error.start].decode("utf-8")
            raise _fault(f"the file is not UTF-8 text (octet {error.start})", key, before, len(before)) from None
        if "\0" in text:
            raise _fault("the file has a NUL in it, so it is not text", key, text, text.index("\0"))
        return _NEWLINE.sub("\n", text.removeprefix("\ufeff"))


class _Files:
    """The files of one template, by the names under which its engine knows them."""

    def __init__(self, folder: Folder, entry: str, front: front_matter.Split) -> None:
        self._folder, self._entry, self._before = folder, entry, front.lines.get(entry, 1) - 1
        self.sources = {entry: front.body}
        self.paths: list[Path] = []
        self._places: dict[str, Path] = {}

    def follow(self, origin: Path, key: str, source: str) -> None:
        """Take every file that this one names, and what those name. Raises TemplateFault."""
        plain = _COMMENT.sub(lambda found: " " * len(found[0]), source)
        for reference in _REFERENCE.finditer(plain):
            self._take(origin, key, plain, reference)

    def _take(self, origin: Path, key: str, source: str, reference: re.Match[str]) -> None:
        written = reference["file"]
        fault = functools.partial(self._fault, key, source, reference.start("file"))
        path = self._folder.find(origin, written)
        if path is None:
            if "ignore missing" in reference["rest"]:
                return
            out = self._folder.leaves(origin, written)
            raise fault(f"{written!r} lies outside of the source volume" if out else f"there is no file {written!r}")
        name = posixpath.normpath(posixpath.join(posixpath.dirname(key), written)) if written[0] == "." else written
        if name in self.sources:
            if self._places.get(name, path) != path:
                raise fault(f"{written!r} is another file here than elsewhere in this template: rename one of the two")
            return
        if len(self.sources) >= MOST_FILES:
            raise fault(f"more than {MOST_FILES} files")
        self._places[name] = path
        self.paths.append(path)
        self.sources[name] = text = self._folder.read(path, name)
        self.follow(path, name, text)

    def _fault(self, key: str, source: str, offset: int, message: str) -> TemplateFault:
        return _fault(message, key, source, offset, self._before if key == self._entry else 0)


def _fault(message: str, file: str, source: str, offset: int, before: int = 0) -> TemplateFault:
    """A fault at an offset, with so many lines before the source."""
    line, column = source.count("\n", 0, offset) + 1 + before, offset - source.rfind("\n", 0, offset)
    return TemplateFault(message, file=file, line=line, column=column)
