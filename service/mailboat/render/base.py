"""What a renderer is asked and answers. `pool.Pool` is the one that workers use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import RenderUnavailable, TemplateFault

OWN_EXAMPLE = b""
"""Data that ask a React template for its own example, `PreviewProps`, which need not be JSON."""


def example(sources: Sources) -> bytes:
    """The data of a template's example."""
    return OWN_EXAMPLE if sources.engine == "react" else msgspec.json.encode(sources.example)


class Job(msgspec.Struct, frozen=True):
    """One mail to render. `data` is a JSON object, as stored.

    `thorough`: with the warnings that take time to find too, for people who look at a template.
    """

    revision: Revision
    data: bytes
    locale: str | None = None
    thorough: bool = False


Outcome = Rendered | TemplateFault | RenderUnavailable


class Renderer(Protocol):
    async def render(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome per job, in order. A fault of one never touches another; never raises for a template."""

    async def close(self) -> None:
        """End every process."""
