"""Event: one fact that a provider reports later, in words of our own. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

Word = Literal[
    "accepted",  # the provider has it; nothing we did not know
    "deferred",  # the recipient's server said "later"; the provider goes on trying
    "delivered",  # the recipient's server took it
    "bounced",  # the recipient's server refused it, at once or later
    "rejected",  # the provider did not send it
    "failed",  # the provider could not send it
    "complained",  # the recipient called it spam
    "opened",
    "clicked",
    "unsubscribed",
    "unknown",  # a word that we have no meaning for; the raw event is kept
]
Bounce = Literal["hard", "soft"]

MESSAGE_KEY = "mailboat_id"
"""The name under which providers are told our message id, and under which their events give it back."""
LONGEST = 2000


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact about one recipient.

    `event_id` is the provider's own and the same in every repeat; `at` is when it happened, None where that is not
    said. `bounce` is hard when the address will never work. `reason` holds the provider's words. `word` is the
    provider's name of the fact, `raw` the fact itself where it is unknown to us; `message_id` is our own mark.
    """

    event: Word
    recipient: str = ""
    provider_message_id: str = ""
    event_id: str = ""
    at: datetime | None = None
    bounce: Bounce | None = None
    reason: str = ""
    tags: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    word: str = ""
    raw: Any = None

    @property
    def message_id(self) -> UUID | None:
        """Our message, if the provider gave our mark back."""
        given = self.metadata.get(MESSAGE_KEY) or self.tags.get(MESSAGE_KEY)
        try:
            return UUID(str(given)) if given else None
        except ValueError:
            return None

    @property
    def suppresses(self) -> Literal["bounce", "complaint"] | None:
        """Why this address must not be mailed again, if it is so."""
        if self.event == "complained":
            return "complaint"
        return "bounce" if self.event == "bounced" and self.bounce == "hard" else None


# Readers of foreign JSON: whatever stands there, each gives a value of its type.


def text(value: Any, longest: int = LONGEST) -> str:
    """Text fit for the database: no NUL, no half surrogate pairs, cut; "" for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value)[:longest].replace("\0", "").encode("utf-8", "replace").decode()


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def texts(value: Any) -> dict[str, str]:
    """A mapping with text for values."""
    return {text(name): text(entry) for name, entry in mapping(value).items()}


def moment(value: Any) -> datetime | None:
    """Seconds since 1970 (number or digits) or ISO 8601, in UTC; None for anything else."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdecimal():
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)
        return datetime.fromtimestamp(float(value), UTC) if not isinstance(value, bool) else None
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def named(words: Mapping[str, Word], word: str) -> Word:
    """Our word for the provider's; unknown for one that we have no meaning for."""
    return words.get(word, "unknown")
