"""The engine `react`: React Email in V8. Its other half is `service/engine`, whose `engine.mjs` lists the calls."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render import confine, findings, limits, parts, react_v8, text
from mailboat.render.lru import Lru

KEPT_REVISIONS = 128
PATIENCE = limits.STARVED_SECONDS + 0.5
"""V8's own clock is the wall's, so that it stops late only what the parent, who sees the CPU's, cannot."""
RENDER_SECONDS = limits.RENDER_SECONDS + PATIENCE
PREPARING_SECONDS = limits.COMPILE_SECONDS + PATIENCE
NO_SUBJECT = "The template exports no `subject`, so the mail has none."


class Artifact(msgspec.Struct, frozen=True):
    """JavaScript by file. `subject` is for a template that exports none."""

    entry: str
    codes: dict[str, str]
    subject: str = ""
    translations: dict[str, dict[str, str]] = {}


class Place(msgspec.Struct, frozen=True):
    """A fault as the engine tells it."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0


react_v8.load()  # once, in the process that all render processes are forked from

_artifacts = msgspec.msgpack.Decoder(Artifact)
_places = msgspec.json.Decoder(Place)
_codes = msgspec.json.Decoder(dict[str, str])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class React:
    """See `engines.Engine`. Made in a process that has been forked, since V8 does not survive a fork."""

    def __init__(self) -> None:
        os.environ["TZ"] = "UTC"
        self._isolate = react_v8.Isolate(limits.COMPILE_SECONDS)
        self._isolate.lock({"environment": confine.public(os.environ), "largest": limits.LARGEST_OUTPUT})
        self._preparing("warm-up.tsx", "warmUp", "")
        self._artifacts: Lru[str, Artifact] = Lru(KEPT_REVISIONS)

    def compile(self, sources: Sources) -> bytes:
        if sources.entry not in sources.files:
            raise TemplateFault(f"there is no file {sources.entry!r} in this template", file=sources.entry)
        request = _json({"entry": sources.entry, "files": sources.files})
        codes = _codes.decode(self._preparing(sources.entry, "compile", request))
        return msgspec.msgpack.encode(Artifact(sources.entry, codes, sources.subject, sources.translations))

    def define(self, digest: str, artifact: bytes) -> None:
        """Also renders the example: the first time takes longest, and no mail should pay for it."""
        revision = _artifacts.decode(artifact)
        request = _json({"entry": revision.entry, "codes": revision.codes})
        has_example = self._preparing(revision.entry, "define", digest, request) == "1"
        self._artifacts[digest] = revision
        if has_example:
            try:
                self._preparing(revision.entry, "render", digest, "", "{}")
            except limits.Exhausted:
                raise
            except TemplateFault:
                return  # it is asked for the example that fails, not the mails

    def render(self, digest: str, data: bytes, locale: str | None) -> Rendered:
        revision = self._artifacts.get(digest)
        if revision is None:
            raise KeyError(digest)
        extra = _json(_extra(revision, locale))
        try:
            answer = self._settle("render", digest, data.decode(), extra, seconds=RENDER_SECONDS)
        except react_v8.TimeIsUp:
            raise limits.Exhausted(limits.TOO_SLOW, file=revision.entry) from None
        lengths, _, rest = _take(answer, revision.entry, digest).partition(":")
        title, words = map(int, lengths.split())
        markup = rest[title + max(words, 0) :]
        plain = text.plain(markup) if words < 0 else rest[title : title + words]
        return _rendered(rest[:title] or revision.subject, markup, plain)

    def _preparing(self, entry: str, name: str, *arguments: str) -> str:
        """A call that does not count as a render."""
        try:
            answer = self._settle(name, *arguments, seconds=PREPARING_SECONDS)
            while answer == "s":
                answer = self._settle(name, *arguments, seconds=PREPARING_SECONDS)
            return _take(answer, entry, arguments[0])
        except react_v8.TimeIsUp:
            raise limits.Exhausted(limits.TOO_SLOW_TO_COMPILE, file=entry) from None

    def _settle(self, name: str, *arguments: str, seconds: float) -> str:
        """An answer that is not `pending`: after each call V8 does what was put off, and then is asked again."""
        end = time.monotonic() + seconds
        try:
            answer = self._isolate.call(name, *arguments, seconds=seconds)
            while answer == "p":
                left = end - time.monotonic()
                if left <= 0:
                    raise react_v8.TimeIsUp
                answer = self._isolate.call("resume", seconds=left)
        except react_v8.Broken as error:
            raise limits.Exhausted(f"{limits.TOO_MUCH_MEMORY} ({error})") from None
        return answer


def _extra(revision: Artifact, locale: str | None) -> dict[str, Any]:
    """Props beside the data: only what was asked for, so that a template sees what it would see elsewhere."""
    extra: dict[str, Any] = {} if locale is None else {"locale": locale}
    if revision.translations:
        extra["t"] = parts.translations(revision.translations, locale)
    return extra


def _take(answer: str, entry: str, digest: str) -> str:
    """What the engine answered. Raises TemplateFault or KeyError."""
    match answer[0]:
        case "f":
            place = _places.decode(answer[1:])
            raise TemplateFault(place.message, file=place.file or entry, line=place.line, column=place.column)
        case "u" | "s":  # defined again, it gets a new share of time
            raise KeyError(digest)
    return answer[1:]


def _rendered(subject: str, html: str, plain: str) -> Rendered:
    warnings = findings.warnings(html)
    title = parts.one_line(subject)
    return Rendered(title, html, plain, warnings if title else (*warnings, NO_SUBJECT))
