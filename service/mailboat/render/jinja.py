"""The engine `jinja`: sandboxed Jinja2, compiled to Python bytecode."""

from __future__ import annotations

import marshal
from types import CodeType
from typing import Any

import msgspec
from jinja2 import Template

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault
from mailboat.render import cycles, dress, faults, filters, findings, inline, limits, looks, parts, text
from mailboat.render.dress import Wardrobe
from mailboat.render.lru import Lru
from mailboat.render.sandbox import LimitError, Sandbox

KEPT_REVISIONS = 256


class Artifact(msgspec.Struct, frozen=True):
    """Bytecode of every file, marshalled; the sources go along to say where a fault is.

    `wardrobe`: for tags whose class is known only when they are rendered.  `late_css`: the authors' CSS is inlined in
    the finished mail.  `speaks`: a filter needs the words of locales.
    """

    sources: Sources
    codes: dict[str, bytes]
    wardrobe: Wardrobe = Wardrobe()
    late_css: bool = False
    speaks: bool = False
    warnings: tuple[str, ...] = ()


_artifacts = msgspec.msgpack.Decoder(Artifact)
_objects: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def is_html(name: str | None) -> bool:
    """Whether what this template prints is escaped: all but the subject and plain text."""
    return name not in (faults.SUBJECT, faults.TEXT) and not (name or "").endswith((".txt", ".txt.j2"))


class Program:
    """One revision, ready to render."""

    def __init__(self, artifact: Artifact) -> None:
        self.sources = artifact.sources
        self._warnings = artifact.warnings
        self._inliner = inline.Inliner() if artifact.late_css else None
        self._sandbox = sandbox = Sandbox(is_html)
        sandbox.filters[dress.FILTER] = dress.Dresser(artifact.wardrobe).dress
        if artifact.speaks:
            filters.prepare()
        for name, code in artifact.codes.items():
            loaded = marshal.loads(code)  # noqa: S302 (compiled by us, never taken from a client)
            assert isinstance(loaded, CodeType)
            sandbox.add(name, loaded)
        templates = sandbox.files.templates
        self._subject = templates[faults.SUBJECT]
        self._html = templates[self.sources.entry]
        self._text = templates.get(faults.TEXT)

    def render(self, data: bytes, locale: str | None) -> Rendered:
        self._sandbox.globals.update(locale=locale, t=parts.translations(self.sources.translations, locale))
        names = _objects.decode(data)
        subject = _output(self._subject, names)
        html = _output(self._html, names)
        if self._inliner:
            html = self._inliner.inline(html)
        plain = _output(self._text, names) if self._text else text.plain(html)
        return Rendered(parts.one_line(subject), html, plain, self._warnings + findings.warnings(html))


class Jinja:
    """See `engines.Engine`."""

    def __init__(self) -> None:
        self._programs: Lru[str, Program] = Lru(KEPT_REVISIONS)

    def compile(self, sources: Sources) -> bytes:
        if sources.entry not in sources.files:
            raise TemplateFault(f"there is no file {sources.entry!r} in this template", file=sources.entry)
        try:
            return msgspec.msgpack.encode(_compile(sources))
        except limits.RenderTimeout:
            raise limits.Exhausted(limits.TOO_SLOW_TO_COMPILE, file=sources.entry) from None
        except TemplateFault:
            raise
        except Exception as error:  # noqa: BLE001 (a template can cause any)
            raise faults.describe(error, sources) from None

    def define(self, digest: str, artifact: bytes) -> None:
        self._programs[digest] = Program(_artifacts.decode(artifact))

    def render(self, digest: str, data: bytes, locale: str | None) -> Rendered:
        program = self._programs.get(digest)
        if program is None:
            raise KeyError(digest)
        try:
            return program.render(data, locale)
        except (Exception, limits.RenderTimeout) as error:  # noqa: BLE001 (a template can cause any)
            raise faults.describe(error, program.sources) from None


def _compile(sources: Sources) -> Artifact:
    sandbox = Sandbox(is_html)
    names = [*sources.files, faults.SUBJECT] + ([] if sources.text is None else [faults.TEXT])
    codes = {name: sandbox.compile(faults.source(sources, name), name, name) for name in names}
    cycles.refuse(sources)
    look = looks.of(sources, {name: source for name, source in sources.files.items() if is_html(name)})
    for name, (source, origin) in look.edited.items():
        sandbox.origins[name] = origin
        sandbox.filters[dress.FILTER] = str
        codes[name] = sandbox.compile(source, name, name)
    dumped = {name: marshal.dumps(code) for name, code in codes.items()}
    speaks = bool(sandbox.used & filters.NEED_BABEL)
    return Artifact(sources, dumped, look.wardrobe, look.late_css, speaks, look.warnings)


def _output(template: Template, names: dict[str, Any]) -> str:
    output = "".join(template.root_render_func(template.new_context(names)))
    if len(output) > limits.LARGEST_OUTPUT:
        raise LimitError(f"makes more than {limits.LARGEST_OUTPUT} characters")
    return output
