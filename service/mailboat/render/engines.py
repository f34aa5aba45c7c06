"""What a template engine does inside a render process, and which there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Sources


class Engine(Protocol):
    """One per render process, made at its first use. All that an engine raises is a TemplateFault or `KeyError`."""

    def compile(self, sources: Sources) -> bytes:
        """The artifact: all that `define` needs. Runs nothing of the template. Raises TemplateFault."""

    def define(self, digest: str, artifact: bytes) -> None:
        """Keep a revision ready. Older ones may be forgotten."""

    def render(self, digest: str, data: bytes, locale: str | None) -> Rendered:
        """Render one mail; `data` is a JSON object. Raises TemplateFault, and KeyError for a forgotten revision."""


@dataclass(frozen=True)
class Kind:
    """An engine before it is loaded. `memory`: bytes of private memory that its processes may have."""

    module: str
    maker: str
    memory: int

    def load(self) -> Callable[[], Engine]:
        """Import all that the engine needs, and nothing of the others; starts nothing."""
        return cast(Callable[[], Engine], getattr(importlib.import_module(self.module), self.maker))


ENGINES = {
    "jinja": Kind("mailboat.render.jinja", "Jinja", 384 << 20),
    "react": Kind("mailboat.render.react", "React", 1024 << 20),  # V8 does not start with much less
}
