"""Verdict: what one attempt means for its message. Pure; the tables of all cases are in its tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from mailboat.domain import retry
from mailboat.domain.message import Receipt
from mailboat.errors import ProviderError, RenderUnavailable, Throttled

Outcome = Literal["sent", "retryable", "failed", "uncertain"]
Ends = Literal["sent", "scheduled", "failed", "dead", "held"]


class Fate(msgspec.Struct, frozen=True):
    """How one recipient fared: `sent`, `failed` or `deferred` (still open)."""

    status: Literal["sent", "failed", "deferred"]
    detail: str


class Verdict(msgspec.Struct, frozen=True):
    """Where the message goes now.

    `delay` is seconds until the next try when it is scheduled; `fates` is set where recipients fared differently.
    """

    ends: Ends
    outcome: Outcome
    detail: str
    delay: float = 0.0
    fates: dict[str, Fate] = {}


def of_receipt(receipt: Receipt, open_recipients: list[str], attempt: int, policy: retry.Policy) -> Verdict:
    """A provider took the message, perhaps not for every recipient."""
    if not receipt.refused:
        return Verdict("sent", "sent", receipt.detail)
    fates = {email: Fate("sent", receipt.detail) for email in open_recipients}
    for email, refusal in receipt.refused.items():
        fates[email] = Fate("deferred" if refusal.retryable else "failed", refusal.detail)
    if any(fate.status == "deferred" for fate in fates.values()):
        delay = retry.next_delay(policy, attempt)
        if delay is not None:
            return Verdict("scheduled", "retryable", receipt.detail, delay, fates)
        fates = {e: Fate("failed", f.detail) if f.status == "deferred" else f for e, f in fates.items()}
    return Verdict("sent", "sent", receipt.detail, fates=fates)


def of_error(
    error: ProviderError | RenderUnavailable,
    attempt: int,
    policy: retry.Policy,
    *,
    hold_uncertain: bool,
    some_sent: bool,
    open_recipients: Sequence[str] = (),
) -> Verdict:
    """The message was not taken. `some_sent`: earlier attempts reached other recipients; it ends as sent then, and
    those still open have failed."""
    detail = str(error) or type(error).__name__
    if error.ambiguous and hold_uncertain:
        return Verdict("held", "uncertain", detail)
    outcome: Outcome = "uncertain" if error.ambiguous else "retryable" if error.retryable else "failed"
    delay = retry.next_delay(policy, attempt) if error.retryable else None
    if delay is None and some_sent:
        return Verdict("sent", outcome, detail, fates={email: Fate("failed", detail) for email in open_recipients})
    if delay is None:
        return Verdict("dead" if error.retryable else "failed", outcome, detail)
    wait = error.retry_after if isinstance(error, Throttled) and error.retry_after else 0.0
    return Verdict("scheduled", outcome, detail, max(delay, min(wait, policy.cap)))


def of_fault(detail: str) -> Verdict:
    """The template or the data is at fault: no other try would fare better."""
    return Verdict("failed", "failed", detail)
