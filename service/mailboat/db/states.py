"""How states and lanes are stored: small numbers in the tables, words everywhere else."""

from __future__ import annotations

import enum


class State(enum.IntEnum):
    """Where a message is on its road."""

    SCHEDULED = 0  # waits for run_at
    QUEUED = 1  # waits for a worker
    SENDING = 2  # a worker has it
    SENT = 3  # a provider took it
    FAILED = 4  # refused for good
    DEAD = 5  # ran out of attempts
    CANCELLED = 6
    HELD = 7  # may have been sent: a person decides

    @property
    def word(self) -> str:
        return self.name.lower()


class Lane(enum.IntEnum):
    """Which messages go first."""

    HIGH = 0
    NORMAL = 1
    BULK = 2

    @property
    def word(self) -> str:
        return self.name.lower()
