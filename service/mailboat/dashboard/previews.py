"""Previews: what a template looks like with given data, and where the fault is when it has one."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mailboat.dashboard.desk import Unknown
from mailboat.dashboard.shelves import Shelf
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import TemplateFault
from mailboat.registry import literals, schemas
from mailboat.registry.folder import LARGEST_FILE
from mailboat.render import base
from mailboat.render.base import Job, Renderer
from mailboat.render.lru import Lru

AROUND = 4  # lines of source shown before and after a fault
LONGEST_LINE = 240
LONGEST_LINK = 6000  # characters of data that the address of a preview carries; servers take 8 kB in all
CLIP = 102_000  # octets at which Gmail clips a mail
KEPT = 512
KEPT_EDITED = 16  # with data of somebody's own


class Line(msgspec.Struct, frozen=True):
    """One line of source; the one with the fault has its caret's column, counted from 0, or -1."""

    number: int
    text: str
    caret: int | None = None


class Fault(msgspec.Struct, frozen=True):
    """What is wrong, where, and the source around it."""

    message: str
    place: str
    lines: tuple[Line, ...] = ()


class Preview(msgspec.Struct, frozen=True):
    """A template with its data, rendered or not: either `rendered` or `fault` is set. `link` is the data for a URL."""

    rendered: Rendered | None
    fault: Fault | None
    revision: Revision | None = None
    link: str = ""

    @property
    def size(self) -> int:
        return len(((self.rendered and self.rendered.html) or "").encode("utf-8", "replace"))


class Item(msgspec.Struct, frozen=True):
    """A template in the list."""

    namespace: str
    name: str
    preview: Preview


class Previews:
    """Renders templates with their examples, which are kept by digest, or with other data."""

    def __init__(self, shelf: Shelf, renderer: Callable[[], Renderer]) -> None:
        self._shelf, self._renderer = shelf, renderer
        self._examples: Lru[str, Preview] = Lru(KEPT)
        self._edited: Lru[tuple[str, str, str], Preview] = Lru(KEPT_EDITED)

    @property
    def folder(self) -> Path:
        """The folder that authors save in."""
        return self._shelf.folder.root

    async def revision(self, namespace: str, name: str) -> Revision:
        """As it is now. Raises Unknown, TemplateFault."""
        return await self._shelf.revision(namespace, name)

    async def live(self, namespace: str, name: str) -> Revision | None:
        """The last revision that could be read, which mail is sent with."""
        return await self._shelf.live(namespace, name)

    async def places(self, query: str = "") -> list[tuple[str, str]]:
        """Namespace and name of every template, by name; what stands in the folder is in `default`."""
        found = await self._shelf.places()
        return sorted((p for p in found if query.lower() in "/".join(p).lower()), key=lambda p: (p[1], p[0]))

    async def items(self, places: list[tuple[str, str]]) -> list[Item]:
        """These templates with their examples; those with faults first, then those with warnings."""
        found = [Item(namespace, name, await self.example(namespace, name)) for namespace, name in places]
        return sorted(found, key=lambda item: (item.preview.fault is None, not _warnings(item.preview)))

    async def example(self, namespace: str, name: str) -> Preview:
        """A template with its own example. Raises Unknown."""
        try:
            revision = await self.revision(namespace, name)
        except TemplateFault as fault:
            return Preview(None, self.describe(fault, None))
        kept = self._examples.get(revision.digest)
        if kept is None:
            kept = await self.render(revision, None)
            self._examples[revision.digest] = kept
        return kept

    async def render(self, revision: Revision, data: str | None, locale: str | None = None) -> Preview:
        """With these data, JSON as somebody typed it; None is the example."""
        try:
            encoded = _encoded(revision.sources, data)
        except ValueError as error:
            return Preview(None, Fault(f"The data are not JSON: {error}", "data"), revision)
        link = "" if data is None else pack(encoded)
        if len(link) > LONGEST_LINK:
            return Preview(None, Fault("The data are too large to preview: leave some of them out.", "data"), revision)
        if misfit := self._misfit(revision, encoded, data is None):
            return Preview(None, misfit, revision)
        (outcome,) = await self._renderer().render([Job(revision, encoded, locale or None, thorough=True)])
        if isinstance(outcome, Rendered):
            shown = Preview(outcome, None, revision, link)
            if link or locale:
                self._edited[revision.digest, link, locale or ""] = shown
            return shown
        fault = outcome if isinstance(outcome, TemplateFault) else TemplateFault(str(outcome))
        return Preview(None, self.describe(fault, revision), revision)

    def _misfit(self, revision: Revision, encoded: bytes, is_example: bool) -> Fault | None:
        """Why these data would not be accepted for a mail; of an example in the folder, with its place."""
        if encoded == base.OWN_EXAMPLE:
            try:
                literals.check_example(revision.sources)
            except TemplateFault as fault:
                return self.describe(fault, revision)
            return None
        try:
            misfit = schemas.misfit(revision, msgspec.json.decode(encoded))
        except schemas.BrokenSchema as error:
            return Fault(f"The schema cannot be used: {error.misfit.field}: {error}", "schema")
        if misfit is None:
            return None
        if is_example:
            try:
                self._shelf.folder.load(revision.name, strict=True)
            except TemplateFault as fault:
                return self.describe(fault, None)
        whose = "example does" if is_example else "data do"
        return Fault(f"The {whose} not fit the schema: {misfit.field or 'they'}: {misfit.reason}", "data")

    def shown(self, digest: str, link: str, locale: str) -> Preview | None:
        """What was rendered a moment ago, for the frame in which it is seen: the file may be another by now."""
        return self._edited.get((digest, link, locale)) if link or locale else self._examples.get(digest)

    def describe(self, fault: TemplateFault, revision: Revision | None) -> Fault:
        """The fault with the source around it, where that can be found."""
        place = ":".join(str(part) for part in (fault.file, fault.line, fault.column) if part)
        return Fault(fault.message, place, frame(*self._source(fault, revision), fault.line, fault.column))

    def _source(self, fault: TemplateFault, revision: Revision | None) -> tuple[str, int]:
        """The author's file and the number of its first line; "" when there is none."""
        if revision and fault.file in revision.sources.files:
            first = revision.sources.first_line.get(fault.file, 1)
            if fault.line >= first:
                return revision.sources.files[fault.file], first
        return _read(self.folder, fault.file), 1


def frame(source: str, first: int, line: int, column: int) -> tuple[Line, ...]:
    """The lines around a place; none where it is unknown."""
    lines = re.split(r"\r\n|\r|\n", source) if source else []
    at = line - first
    if not 0 <= at < len(lines):
        return ()
    start = max(at - AROUND, 0)
    return tuple(
        Line(first + n, lines[n][:LONGEST_LINE], (column - 1 if n == at else None))
        for n in range(start, min(at + AROUND + 1, len(lines)))
    )


def example_text(sources: Sources) -> str:
    """The example as one edits it. {} stands for one of React's that is not JSON."""
    return json.dumps(sources.example, indent=2, ensure_ascii=False)


def pack(data: bytes) -> str:
    """Data for a URL."""
    return base64.urlsafe_b64encode(zlib.compress(data, 9)).rstrip(b"=").decode()


def unpack(link: str) -> str:
    """What `pack` packed. Raises Unknown."""
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.urlsafe_b64decode(link + "=" * (-len(link) % 4)), LARGEST_FILE)
        return data.decode()
    except (ValueError, zlib.error):
        raise Unknown from None


def _encoded(sources: Sources, data: str | None) -> bytes:
    """What the renderer gets. Raises ValueError for what is no JSON object."""
    if data is None or (sources.engine == "react" and data.strip() in ("", "{}")):
        return base.example(sources)
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error).removeprefix("JSON is malformed: ")) from None
    if not isinstance(value, dict):
        raise ValueError("they have to be an object, in braces")
    return msgspec.json.encode(value)


def _read(root: Path, file: str) -> str:
    path = (root / file).resolve()
    try:
        if file and path.is_relative_to(root) and path.stat().st_size <= LARGEST_FILE:
            return path.read_text("utf-8", "replace")
    except (OSError, ValueError):
        return ""
    return ""


def _warnings(preview: Preview) -> tuple[Any, ...]:
    return preview.rendered.warnings if preview.rendered else ()
