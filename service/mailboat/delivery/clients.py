"""A client as the hot path knows it."""

from __future__ import annotations

import msgspec


class Client(msgspec.Struct, frozen=True):
    """An authenticated client: who it is and what it may."""

    id: int
    namespace: str
    name: str
    suspended: bool
    senders: tuple[str, ...]
    templates: tuple[str, ...]
    lane: int
    rate_per_minute: int
    rate_burst: int
