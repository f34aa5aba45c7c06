"""Status: what a message's attempts and events add up to. Order never matters, and a repeat changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import reduce
from typing import Literal

import msgspec

Status = Literal[
    "scheduled", "queued", "sending", "cancelled", "held", "dead", "sent", "deferred", "failed", "rejected",
    "delivered", "bounced", "complained",
]  # fmt: skip

RANK = {
    word: rank
    for rank, word in enumerate(
        (
            "unknown",
            # Where the message is on our side.
            "scheduled",
            "queued",
            "sending",
            "cancelled",
            "held",
            "dead",
            # What a provider said later. It knows better: mail that we gave up on may have arrived all the same.
            "accepted",
            "sent",
            "deferred",
            "failed",
            "rejected",
            "delivered",
            "unsubscribed",
            "opened",
            "clicked",
            # After delivery a server may still send the mail back, and a person may still complain.
            "bounced",
            "complained",
        )
    )
}
"""The later fact wins. Words that prove an arrival stand above `delivered`."""

SHOWN = {"accepted": "sent", "unsubscribed": "delivered", "opened": "delivered", "clicked": "delivered"}
"""Facts that say something else besides how the mail fared: a status is about the mail."""

GONE_WRONG = ("complained", "bounced", "rejected")
_NEVER = datetime.min.replace(tzinfo=UTC)


class Fact(msgspec.Struct, frozen=True):
    """What is known about one recipient: a status or an event's word, and the words of whoever said it."""

    word: str
    bounce: str = ""
    at: datetime = _NEVER
    detail: str = ""


def merge(current: str, incoming: str) -> str:
    """The stronger of two words. Total, commutative, associative and idempotent, unknown words included."""
    return max(current, incoming, key=lambda word: (RANK.get(word, -1), word))


def strongest(facts: Iterable[Fact]) -> Fact:
    """The fact that decides a recipient's status: the strongest word; of equals the hard, told and late one."""
    return reduce(_stronger, facts)


def shown(word: str) -> str:
    """The status that a word stands for."""
    return SHOWN.get(word, word)


def overall(recipients: Iterable[str]) -> str:
    """A message's status from those of its recipients.

    What went wrong for anybody counts most; else the message is as far as the recipient that is least far. Recipients
    that failed at once do not hold back the others.
    """
    words = set(recipients)
    for word in GONE_WRONG:
        if word in words:
            return word
    return min(words - {"failed"} or {"failed"}, key=lambda word: (RANK.get(word, -1), word))


def _stronger(one: Fact, other: Fact) -> Fact:
    return max(one, other, key=_strength)


def _strength(fact: Fact) -> tuple[int, str, int, bool, datetime, str]:
    hardness = ("", "soft", "hard").index(fact.bounce)
    return RANK.get(fact.word, -1), fact.word, hardness, fact.detail != "", fact.at, fact.detail
