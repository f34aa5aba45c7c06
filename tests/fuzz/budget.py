"""How long is fuzzed: a few fixed examples with the other tests, new ones for FUZZ_MINUTES with `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

MINUTES = float(os.environ.get("FUZZ_MINUTES") or 0)
ROUND = 500  # examples between two looks at the clock


def fuzzed(examples: int) -> settings:
    """Settings of one test: so many examples, the same in each run, unless it is fuzzed at length."""
    return settings(
        max_examples=ROUND if MINUTES else examples,
        derandomize=not MINUTES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
