"""When to ask again, and when not. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

AGAIN = frozenset({429, 502, 503, 504})


class Policy(msgspec.Struct, frozen=True):
    """`retries` after the first try; waits double from `base`, with jitter, up to `cap` seconds. A `Retry-After` is
    obeyed if it is at most `patience` seconds; a longer one is the caller's to decide about."""

    retries: int = 4
    base: float = 0.25
    cap: float = 8.0
    patience: float = 30.0

    def wait(self, tries: int, retry_after: float | None = None) -> float | None:
        """Seconds before the next try, None when there is none. `tries`: those made so far."""
        if tries > self.retries or (retry_after is not None and retry_after > self.patience):
            return None
        wait = min(self.cap, self.base * float(2 ** (tries - 1))) * (0.5 + random.random() / 2)
        return max(retry_after or 0.0, wait)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """What the header says, in seconds from now; None when it says nothing (RFC 9110 §10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
