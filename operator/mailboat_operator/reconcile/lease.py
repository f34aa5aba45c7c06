"""Who leads: the Lease of coordination.k8s.io, as the rules of one candidate. Clocks are never compared.

A holder renews every RENEW seconds and stops leading when it could not for DEADLINE; another candidate takes the Lease
when it has not seen it change for DURATION, measured on its own clock. DEADLINE is shorter than that, and what an
old leader might still write is refused by the fence in PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

DURATION, DEADLINE, RENEW, LOOK = 10.0, 7.0, 2.0, 1.0  # seconds
PATIENCE = 2.0  # seconds for one attempt


class Seen(NamedTuple):
    """A state of the Lease, and when it was first seen (monotonic)."""

    holder: str
    renewed: str
    transitions: int
    at: float


def seen(spec: Mapping[str, Any], before: Seen | None, now: float) -> Seen:
    """What is known after another look."""
    holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
    if before is not None and (before.holder, before.renewed) == (holder, renewed):
        return before
    return Seen(holder, renewed, spec.get("leaseTransitions") or 0, now)


def is_free(known: Seen, me: str, now: float) -> bool:
    """Whether this candidate may take the Lease, or has it."""
    return known.holder in ("", me) or now - known.at >= DURATION


def taken(known: Seen, me: str, now: datetime) -> dict[str, Any]:
    """The spec with which to take or renew it."""
    moment = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec: dict[str, Any] = {"holderIdentity": me, "leaseDurationSeconds": int(DURATION), "renewTime": moment}
    if known.holder != me:
        spec |= {"acquireTime": moment, "leaseTransitions": known.transitions + 1}
    return spec
