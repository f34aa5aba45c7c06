"""What a template engine does inside a render process, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources
from mailboat.render import jinja


class Engine(Protocol):
    """One per render process, made at its first use. All that an engine raises is a TemplateFault or `KeyError`."""

    def compile(self, sources: Sources) -> bytes:
        """The artifact: all that `define` needs. Runs nothing of the template. Raises TemplateFault."""

    def define(self, digest: str, artifact: bytes) -> None:
        """Keep a revision ready. Older ones may be forgotten."""

    def render(self, digest: str, data: bytes, locale: str | None) -> Rendered:
        """Render one mail; `data` is a JSON object. Raises TemplateFault, and KeyError for a forgotten revision."""


ENGINES: dict[str, Callable[[], Engine]] = {"jinja": jinja.Jinja}
