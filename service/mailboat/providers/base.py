"""What every provider is: `build` decides, `send` acts."""

from __future__ import annotations

from typing import Any, Protocol

from mailboat.domain.message import Mail, Receipt


class Provider(Protocol):
    """A way to hand mail over. One instance per name and process; `send` is called many times at once."""

    name: str
    kind: str
    concurrency: int  # how many sends may run at once in this process

    def build(self, mail: Mail) -> Any:
        """The request for this mail: pure, no I/O. Raises Rejected for what this provider cannot carry."""

    async def send(self, request: Any) -> Receipt:
        """Hand over what `build` made. Raises a ProviderError, whose class is the verdict."""

    async def check(self) -> str:
        """Connect, authenticate and say what answered. Raises a ProviderError."""

    async def close(self) -> None:
        """Give every connection back."""
