"""What `mailboat doctor` says: one finding a check, with the remedy where something is to be done."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail", "skip"]


class Finding(msgspec.Struct, frozen=True):
    """`check` names what was looked at, `detail` what was seen, `remedy` what to do. `skip`: one could not look."""

    check: str
    level: Level
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    return Finding(check, "ok", detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "warn", detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, "fail", detail, remedy)


def skip(check: str, reason: str) -> Finding:
    return Finding(check, "skip", reason)


def graded(check: str, value: float, detail: str, *, warn_at: float, fail_at: float, remedy: str) -> Finding:
    """The more the worse."""
    level: Level = "fail" if value >= fail_at else "warn" if value >= warn_at else "ok"
    return Finding(check, level, detail, "" if level == "ok" else remedy)


def line(finding: Finding) -> str:
    """For people: one line, with the remedy at its end."""
    text = f"{finding.level:<4}  {finding.check}: {finding.detail}"
    return f"{text} → {finding.remedy}" if finding.remedy else text
