"""Standing: what a message's queue state, attempts and events add up to, per recipient and in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from mailboat.db.states import State
from mailboat.delivery import diagnosis
from mailboat.domain import status
from mailboat.domain.message import Envelope
from mailboat.domain.status import Fact

_envelope = msgspec.json.Decoder(Envelope).decode
Row = Mapping[str, Any]  # of `messages` joined with `queue`, of `attempts`, of `events`

# Which events may make a status; for all others the queue's state does.
_EVENTS = {
    "delivered": ("delivered", "opened", "clicked", "unsubscribed"),
    "deferred": ("deferred",),
    "bounced": ("bounced",),
    "rejected": ("rejected",),
    "complained": ("complained",),
}
REPORTED = frozenset(_EVENTS)
"""Statuses that only a provider's report can make."""


class Standing(msgspec.Struct, frozen=True):
    """A message's status, what it means, and each recipient with its own."""

    status: str
    diagnosis: str | None
    recipients: list[dict[str, Any]]


def of(message: Row, attempts: Sequence[Row], events: Sequence[Row]) -> Standing:
    """`attempts` in order; of lists, those without per-recipient outcomes matter for their detail only."""
    envelope = _envelope(message["envelope"])
    base = State(message["state"]).word
    last = attempts[-1]["detail"] if attempts else ""
    fates: dict[str, Row] = {}
    for attempt in attempts:
        if attempt["recipients"]:
            fates |= msgspec.json.decode(attempt["recipients"])
    recipients = []
    for kind, address in envelope.recipients:
        own = [event for event in events if event["recipient"] in (address.key, "")]
        fact = _fact(base, last, fates.get(address.email, {}), own)
        found = diagnosis.of(fact.word, fact.detail, fact.bounce)
        recipients.append(
            {
                "address": address.email,
                "kind": kind,
                "status": fact.word,
                "detail": fact.detail,
                "diagnosis": str(found) if found else None,
            }
        )
    overall = status.overall([str(one["status"]) for one in recipients])
    # The diagnosis of whoever made the status, else of anybody.
    by_weight = sorted(recipients, key=lambda one: one["status"] != overall)
    return Standing(overall, next((one["diagnosis"] for one in by_weight if one["diagnosis"]), None), recipients)


def shown(message: Row, events: Iterable[Row]) -> list[dict[str, Any]]:
    """The timeline, with recipients as the client wrote them. What happened at one moment comes in its usual order."""
    written = {address.key: address.email for _, address in _envelope(message["envelope"]).recipients}
    return [
        {
            "event": event["event"],
            "recipient": written.get(event["recipient"], event["recipient"]),
            "at": event["at"],
            "provider": event["provider"],
            "bounce": event["bounce"],
            "reason": event["reason"],
            "word": event["word"],
        }
        for event in sorted(events, key=lambda event: (event["at"], status.RANK[event["event"]]))
    ]


def candidates(wanted: str) -> tuple[str, Any]:
    """An SQL condition on `m` and `q`, and its value, which every message of this status meets."""
    reported = (
        "exists (select from events e where e.message_id = m.id and e.client_id = m.client_id "
        "and e.event = any({}::text[]))"
    )
    if events := _EVENTS.get(wanted):
        return reported, list(events)
    if wanted == "failed":
        return f"(q.state = {int(State.FAILED)} or {reported})", ["failed"]
    return "q.state = {}", State[wanted.upper()]


def by_message(rows: Iterable[Row]) -> dict[UUID, list[Row]]:
    """Rows grouped by message, in their order."""
    grouped: dict[UUID, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["message_id"], []).append(row)
    return grouped


def _fact(base: str, last: str, fate: Row, events: Iterable[Row]) -> Fact:
    """What is known about one recipient. Its own outcome knows better than the message as a whole, unless it waits."""
    word = fate.get("status", base)
    facts = [Fact(base if word == "deferred" else word, detail=fate.get("detail", last))]
    for event in events:
        # What a person did with the mail says that it arrived, and nothing about how.
        told = "" if event["event"] in status.SHOWN else event["reason"]
        facts.append(Fact(status.shown(event["event"]), event["bounce"] or "", event["at"], told))
    return status.strongest(facts)
