"""Which files of a project are mails, and by which names, where they lie deeper than the entries that `folder` lists.

As React Email tells: a file with a default export somewhere in `emails/`, but for `static` and for folders whose names
begin with `_`. Elsewhere, and in a folder `components`, other code lies too: there a mail is what also has
`PreviewProps` or a `subject`. Hidden folders and `node_modules` are never looked into.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from mailboat.registry import imports

EMAILS = "emails"
SUFFIXES = (".tsx", ".jsx", ".js")
MOST_FOLDERS = 2000
DEEPEST = 12
SETTLED_SECONDS = 0.1
"""How old a folder's last change has to be for its time to tell it from the next one."""
PARTS = {"components", "component"}
_SKIPPED = {"static", "node_modules", "__pycache__"}
_SAYS_SO = re.compile(r"\bPreviewProps\b|^\s*export\s+(?:const|function|async\s+function)\s+subject\b", re.MULTILINE)
_USES_REACT = re.compile(r"""['"](?:react|react-email|@react-email/[\w/-]+)['"]""")

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")

Stamps = dict[Path, int]


class Entries:
    """Of one folder. The names of its files are kept until a folder changes; their content is not."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stamps: Stamps = {}
        self._by_name: dict[str, list[str]] = {}

    def named(self, name: str) -> list[str]:
        """The files that may be the mail of this name; more than one of them, and the name is nobody's."""
        self._look()
        return self._by_name.get(name, [])

    def all(self) -> list[str]:
        """Every file that may be a mail."""
        self._look()
        return sorted({file for files in self._by_name.values() for file in files})

    def _look(self) -> None:
        if self._stamps and all(_changed(folder) == at for folder, at in self._stamps.items()):
            return
        stamps: Stamps = {}
        found: dict[str, list[str]] = defaultdict(list)
        began = time.time_ns()
        for file in _files(self._root, stamps):
            for name in dict.fromkeys((name_of(file), full_name_of(file))):
                found[name].append(file)
        settled = began - max(stamps.values(), default=0) > SETTLED_SECONDS * 1e9
        self._stamps, self._by_name = stamps if settled else {}, dict(found)


def _files(root: Path, stamps: Stamps) -> Iterator[str]:
    """Files below the folders of `root`, by their paths from there; takes down when each folder changed."""
    queue = [(root, "")]
    for folder, key in queue:
        stamps[folder] = _changed(folder)
        try:
            children = sorted(os.scandir(folder), key=lambda child: child.name)
        except OSError:
            continue
        for child in children:
            path = f"{key}{child.name}"
            if child.name[0] in "._" or child.name in _SKIPPED:
                continue
            if child.is_dir(follow_symlinks=False):
                if len(queue) < MOST_FOLDERS and path.count("/") < DEEPEST:
                    queue.append((Path(child.path), f"{path}/"))
            elif child.name.endswith(SUFFIXES):
                yield path


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def is_mail(file: str, source: str) -> bool:
    """Whether the file of a folder below the top is a mail."""
    if not imports.is_template(source) or (file.endswith(".js") and not _USES_REACT.search(source)):
        return False
    return may_be_mail(file) or bool(_SAYS_SO.search(source))


def may_be_mail(file: str) -> bool:
    """Whether a file is a mail for all that its path tells."""
    folders = file.split("/")[:-1]
    return EMAILS in folders and not PARTS.intersection(folders)


def name_of(file: str) -> str:
    """The name of a file, or of the folder whose index it is."""
    *folders, last = file.split("/")
    stem = last.rpartition(".")[0]
    return _name(folders[-1] if stem == "index" and folders else stem)


def full_name_of(file: str) -> str:
    """With the folders that it is in, below `emails` if it is in there; for mails of one name in several folders."""
    *folders, last = file.split("/")
    if EMAILS in folders:
        folders = folders[folders.index(EMAILS) + 1 :]
    stem = last.rpartition(".")[0]
    return ".".join(map(_name, [*folders, *([] if stem == "index" and folders else [stem])]))


def _name(written: str) -> str:
    """A name without what none may have: `Welcome mail` is `Welcome-mail`."""
    return _NO_NAME.sub("-", written).strip("-") if _NO_NAME.search(written) else written
