"""When to try again: jittered exponential backoff, and the end of patience."""

from __future__ import annotations

import random

import msgspec


class Policy(msgspec.Struct, frozen=True):
    """`attempts`: how often a message is tried in all. `base` and `cap` are seconds."""

    attempts: int = 12
    base: float = 5.0
    cap: float = 1800.0


def next_delay(policy: Policy, attempt: int, chance: float | None = None) -> float | None:
    """Seconds until the next try after `attempt` (from 1) failed, or None when it was the last.

    `chance` in [0, 1) replaces the die in tests. The delay lies between half the exponential step and the step.
    """
    if attempt >= policy.attempts:
        return None
    step = min(policy.cap, policy.base * 2.0 ** min(attempt - 1, 60))
    return step * (0.5 + (random.random() if chance is None else chance) / 2)
