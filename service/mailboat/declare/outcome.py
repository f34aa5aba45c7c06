"""What came of a resource: what changed, its status, and what is left to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple

import msgspec

from mailboat_crds.conditions import OF_KIND, ONLY_WHILE_TRUE, READY, RECONCILING, STALLED
from mailboat_crds.models import Condition, Status

Change = Literal["created", "configured", "unchanged"]
LONGEST_MESSAGE = 1024  # characters; a condition's message is for people


class Finding(NamedTuple):
    """A condition before it has times. `holds` None is Unknown."""

    type: str
    holds: bool | None
    reason: str
    message: str


class Outcome(msgspec.Struct, frozen=True):
    """`status` is for the resource. `secret` is what the client's Secret has to hold, None when it holds that already.

    `again`: something was away, so the same has to be tried soon. `events` are the conditions that changed.
    """

    change: Change
    status: Status
    secret: dict[str, str] | None = None
    again: bool = False
    events: tuple[Condition, ...] = ()

    def __repr__(self) -> str:
        return f"Outcome({self.change!r}, again={self.again})"


def summary(findings: Sequence[Finding], *, again: bool, message: str) -> list[Finding]:
    """The findings with Ready, and with Reconciling or Stalled where one of them is not as it should be."""
    bad = next((one for one in findings if one.type not in ONLY_WHILE_TRUE and one.holds is not True), None)
    if bad is None:
        return [Finding(READY, True, "Reconciled", message), *findings]
    ready = Finding(READY, None if bad.holds is None else False, bad.reason, bad.message)
    waits = Finding(RECONCILING if again else STALLED, True, bad.reason, bad.message)
    return [ready, *findings, waits]


def conditions(
    kind: str, before: Sequence[Condition], findings: Sequence[Finding], generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Findings as conditions, in the kind's order. A time changes only with the status that it belongs to."""
    known = {condition.type: condition for condition in before}
    found = {finding.type: finding for finding in findings}
    return tuple(
        _condition(found[name], known.get(name), generation, now)
        for name in OF_KIND[kind]
        if name in found and (found[name].holds or name not in ONLY_WHILE_TRUE)
    )


def _condition(finding: Finding, before: Condition | None, generation: int, now: datetime) -> Condition:
    status: Literal["True", "False", "Unknown"] = "Unknown"
    if finding.holds is not None:
        status = "True" if finding.holds else "False"
    same = before is not None and before.status == status
    return Condition(
        type=finding.type,
        status=status,
        reason=finding.reason,
        message=_one_line(finding.message),
        last_transition_time=before.last_transition_time if same and before is not None else stamp(now),
        observed_generation=generation,
    )


def stated(condition: Condition) -> Finding:
    """A condition as the finding that it came from."""
    holds = None if condition.status == "Unknown" else condition.status == "True"
    return Finding(condition.type, holds, condition.reason, condition.message)


def changed(before: Sequence[Condition], after: Sequence[Condition]) -> tuple[Condition, ...]:
    """The conditions whose status or reason is new: what is worth an event."""
    known = {(condition.type, condition.status, condition.reason) for condition in before}
    return tuple(one for one in after if (one.type, one.status, one.reason) not in known)


def stamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 1]}…"
