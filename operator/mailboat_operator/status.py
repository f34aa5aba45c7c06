"""Statuses: what is written of them, and what they say when there is nothing to say it from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mailboat.declare.outcome import Finding, conditions
from mailboat_crds.conditions import READY, RECONCILING, ROUTE_INCOMPLETE, STALLED
from mailboat_crds.models import Condition, EmailClient, EmailClientStatus, Resource, Status, seconds

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOK_SECONDS = 20.0  # between two looks for a provider that a route lacks


def as_json(status: Status) -> dict[str, Any]:
    """A status as the API server keeps it."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(status))
    return found


def merge_patch(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The RFC 7386 patch from one to the other, {} when there is nothing to do."""
    patch: dict[str, Any] = {name: None for name in current if name not in wanted}
    for name, value in wanted.items():
        before = current.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := merge_patch(before, value):
                patch[name] = inner
        elif value != before:
            patch[name] = value
    return patch


def waiting(kind: str, before: tuple[Condition, ...], generation: int, reason: str, text: str) -> tuple[Condition, ...]:
    """The conditions of a resource about which nothing can be found out now; it is tried again."""
    return _with(kind, before, generation, Finding(READY, None, reason, text), RECONCILING)


def refused(kind: str, before: tuple[Condition, ...], generation: int, reason: str, text: str) -> tuple[Condition, ...]:
    """The conditions of a resource that nobody but a person can help."""
    return _with(kind, before, generation, Finding(READY, False, reason, text), STALLED)


def _with(
    kind: str, before: tuple[Condition, ...], generation: int, ready: Finding, mark: str
) -> tuple[Condition, ...]:
    """The other conditions stay as they were found last."""
    kept = tuple(one for one in before if one.type not in (READY, RECONCILING, STALLED))
    found = [ready, Finding(mark, True, ready.reason, ready.message)]
    new = conditions(kind, before, found, generation, datetime.now(UTC))
    return (*new[:1], *kept, *new[1:])


def due(resource: Resource, status: Status, now: datetime) -> float | None:
    """Seconds until a key has to be replaced, the one before ends, or a missing provider is looked for again; None when
    no date is known."""
    if not isinstance(resource, EmailClient) or not isinstance(status, EmailClientStatus):
        return None
    dates = [datetime.fromisoformat(key.expires_at) for key in status.keys if key.expires_at]
    interval = resource.spec.credentials.rotation.interval
    if interval:
        newest = max((datetime.fromisoformat(key.created_at) for key in status.keys), default=EPOCH)
        dates.append(newest + timedelta(seconds=seconds(interval)))
    if any(one.type == ROUTE_INCOMPLETE for one in status.conditions):
        dates.append(now + timedelta(seconds=LOOK_SECONDS))
    return max(0.0, min((date - now).total_seconds() for date in dates)) + 1.0 if dates else None
