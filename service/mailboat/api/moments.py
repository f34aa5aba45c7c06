"""Times in requests."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator

_NUMBER = re.compile(r"\s*[-+]?[\d_]*\.?\d+\s*")


def _written(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("a time is written like 2026-12-01T09:00:00Z, not as a number")
    return value


Moment = Annotated[datetime, BeforeValidator(_written)]
"""A time in ISO 8601. Pydantic alone would take a number for seconds since 1970, or for milliseconds."""
