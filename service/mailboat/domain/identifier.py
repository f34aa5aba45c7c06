"""Message ids: UUIDv7 (RFC 9562 §5.7), so that ids sort by time and a partition is a range of ids."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from uuid import UUID


def new() -> UUID:
    """A new UUIDv7: 48 bits of milliseconds, 74 random bits."""
    return at(time.time_ns() // 1_000_000, os.urandom(10))


def at(milliseconds: int, tail: bytes = bytes(10)) -> UUID:
    """The UUIDv7 of a moment (milliseconds since 1970); without a tail, the lowest one of that millisecond."""
    head = milliseconds.to_bytes(6, "big")
    return UUID(bytes=head + bytes((0x70 | tail[0] & 15, tail[1], 0x80 | tail[2] & 63)) + tail[3:])


def floor(moment: datetime) -> UUID:
    """The lowest possible id of a moment, in this era or before: every id made before it is smaller."""
    return UUID(bytes=max(0, int(moment.timestamp() * 1000)).to_bytes(6, "big") + bytes(10))


def moment(identifier: UUID) -> datetime:
    """When the id was made, to the millisecond."""
    return datetime.fromtimestamp(int.from_bytes(identifier.bytes[:6], "big") / 1000, UTC)
