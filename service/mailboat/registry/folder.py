"""The source volume: a read-only folder with templates, each a file or a folder of its own.

    receipt.html.j2            YAML front matter, then the HTML
    welcome/index.html.j2      the same with files of its own beside it
    invoice.tsx                a React Email component; also invoice/index.tsx
    emails/…/reset.tsx         the same anywhere in a project of React Email's: see `entries`

A revision holds the entry and every file that it extends, includes or imports, from anywhere inside the volume.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mailboat.domain import revision
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import TemplateFault
from mailboat.registry import aliases, entries, front_matter, imports, literals

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
JINJA_ENTRIES = ("{name}.html.j2", "{name}/index.html.j2")
REACT_ENTRIES = tuple(
    f"{folder}{{name}}{suffix}"
    for folder in ("", f"{entries.EMAILS}/")
    for suffix in (".tsx", "/index.tsx", ".jsx", "/index.jsx")
)
LARGEST_FILE = 1_048_576  # octets
MOST_FILES = 200
_REFERENCE = re.compile(
    r"{%[-+]?\s*(?:extends|include|import|from)\s+(?P<quote>['\"])(?P<file>[^'\"]+)(?P=quote)(?P<rest>[^%]*)"
)
_IS_SKIPPED = re.compile(r"(?:^|/)(?:[._]|node_modules/|static/)")
_NEWLINE = re.compile(r"\r\n|\r")
_COMMENT = re.compile(r"{#.*?#}", re.DOTALL)


class Folder:
    """Reads templates when asked."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(os.path.abspath(root))  # not what a link leads to now: tools swap links to swap folders
        self._deeper = entries.Entries(self._root)

    @property
    def root(self) -> Path:
        return self._root.resolve()

    def names(self) -> list[str]:
        """Every template's name, sorted."""
        if not self._root.is_dir():
            return []
        found = {path.name.removesuffix(".html.j2") for path in self._root.glob("*.html.j2") if not self._leaves(path)}
        found |= {path.parent.name for path in self._root.glob("*/index.html.j2") if not self._leaves(path)}
        for pattern in REACT_ENTRIES:
            for path in self._root.glob(pattern.format(name="*")):
                key = self._key(path)
                judge = self._judge(key) if path.parent.name in entries.PARTS else imports.is_template
                name = entries.name_of(key)
                if not _IS_SKIPPED.search(key) and self._is_template(path, judge) and self._first(REACT_ENTRIES, name):
                    found.add(name)
        for key in self._deeper.all():
            if self._is_mail(key) and (deeper := self.name_of(self._root / key)):
                found.add(deeper)
        return sorted(name for name in found if NAME.fullmatch(name))

    def links_out(self) -> list[str]:
        """The links that would be templates, if they did not lead out of the volume: paths from its top, sorted."""
        patterns = (pattern.format(name="*") for pattern in (*JINJA_ENTRIES, *REACT_ENTRIES))
        keys = {self._key(path) for pattern in patterns for path in self._root.glob(pattern) if self._leaves(path)}
        return sorted(key for key in keys if not _IS_SKIPPED.search(key))

    def entry(self, name: str) -> Path | None:
        """The entry file of a template, or None when there is no such template."""
        if not NAME.fullmatch(name):
            return None
        found = self._first(JINJA_ENTRIES, name) or self._first(REACT_ENTRIES, name)
        if found is None and (key := self._only(name)) is not None:
            found = self._root / key
        return found

    def name_of(self, path: Path) -> str | None:
        """The name by which a file in this folder is a template, or None."""
        path = Path(os.path.abspath(path))
        if not path.is_relative_to(self._root):
            return None
        key = self._key(path)
        short = (
            key.removesuffix(".html.j2").removesuffix("/index") if key.endswith(".html.j2") else entries.name_of(key)
        )
        found = (name for name in (short, entries.full_name_of(key)) if self._is_entry(name, path))
        return next(found, None)

    def _is_entry(self, name: str, path: Path) -> bool:
        entry = self.entry(name)
        return entry is not None and entry.resolve() == path.resolve()

    def _first(self, patterns: tuple[str, ...], name: str) -> Path | None:
        for pattern in patterns:
            path = self._root / pattern.format(name=name)
            if path.is_file() and self._inside(path):
                return path
        return None

    def _only(self, name: str) -> str | None:
        """The one file deeper in the folder that is the mail of this name; None if there are several, too."""
        found = [key for key in self._deeper.named(name) if self._is_mail(key)]
        return found[0] if len(found) == 1 else None

    def _is_mail(self, key: str) -> bool:
        return self._is_template(self._root / key, self._judge(key), unread=entries.may_be_mail(self._placed(key)))

    def _judge(self, key: str) -> Callable[[str], bool]:
        """What tells by its source whether a file is a mail."""
        return functools.partial(entries.is_mail, self._placed(key))

    def _placed(self, key: str) -> str:
        """The path with the folder's own name, if that says what is in it."""
        return f"{entries.EMAILS}/{key}" if self._root.name == entries.EMAILS else key

    def _is_template(self, path: Path, judge: Callable[[str], bool], *, unread: bool = True) -> bool:
        """One that cannot be read is what `unread` says: a template, most often, so that somebody hears of it."""
        try:
            return self._inside(path) and judge(self.read(path, path.name))
        except (TemplateFault, OSError):
            return unread

    def load(self, name: str, *, strict: bool = False) -> tuple[Revision, list[Path]] | None:
        """The revision as it is on disk now, and the files it was read from. Raises TemplateFault.

        strict: also for an example that does not fit the schema, which is no reason not to send mails.
        """
        entry = self.entry(name)
        if entry is None:
            return None
        key = self._key(entry)
        if not key.endswith(".html.j2"):
            return self._load_react(name, key, strict=strict)
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

    def _load_react(self, name: str, entry: str, *, strict: bool) -> tuple[Revision, list[Path]]:
        """With the places of what it imports in vain, so that it is noticed when that appears."""
        files: dict[str, str] = {}
        paths: list[Path] = []
        others = aliases.Aliases(entry, self._text)
        queue, missing = [entry], list[str]()
        for key in queue:
            if key in files:
                continue
            if len(files) >= MOST_FILES:
                raise TemplateFault(f"more than {MOST_FILES} files", file=entry)
            paths.append(self._root / key)
            files[key] = self.read(paths[-1], key)
            for wanted in imports.of(key, files[key], self._has, others.places):
                if not wanted.there:
                    self._refuse_link(key, files[key], wanted)
                (queue if wanted.there else missing).append(wanted.file)
        if others.file:
            files[aliases.KEY] = others.file
            paths += map(self._root.joinpath, others.configs)
        sources = Sources(
            engine="react",
            entry=entry,
            files=files,
            schema=literals.schema(files[entry], entry),
            example=literals.example(files[entry], entry),
        )
        if strict:
            literals.check_example(sources)
        return revision.revise(name, sources), [
            *paths,
            *map(self._root.joinpath, missing),
        ]

    def _has(self, key: str) -> bool:
        path = self._root / key
        try:
            return path.is_file() and self._inside(path)
        except OSError:  # a name that is too long, for one
            return False

    def _text(self, key: str) -> str | None:
        return self.read(self._root / key, key) if self._has(key) else None

    def _refuse_link(self, key: str, source: str, wanted: imports.Import) -> None:
        """Raises TemplateFault for an import that finds a file, but by a link out of the volume."""
        leads_out = not all(self._inside(self._root / each) for each in imports.candidates_of(wanted.file))
        if leads_out and not imports.is_commented(source, wanted.offset):
            raise _fault(f"{wanted.written!r} lies outside of the source volume, by a link", key, source, wanted.offset)

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
        try:
            return path.resolve().is_relative_to(self.root)
        except (OSError, RuntimeError):  # a link that leads to itself
            return False

    def _leaves(self, path: Path) -> bool:
        """Whether an entry at the top, or in a folder there, leads out by a link; of all others only that is asked."""
        return (path.is_symlink() or path.parent.is_symlink()) and not self._inside(path)

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
