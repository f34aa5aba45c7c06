"""What the engines have in common: subjects, translations."""

from __future__ import annotations

import re
from collections.abc import Mapping

_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

FALLBACK = "en"
"""The language of a mail whose own is not known."""


def one_line(subject: str) -> str:
    """A header's value: line breaks, also those of Unicode, and what else a header may not hold become one space."""
    return " ".join(line for part in _BREAK.split(subject) if (line := part.strip()))


def translations(known: Mapping[str, dict[str, str]], locale: str | None) -> dict[str, str]:
    """For each key the words of the locale, else of its language, else English ones."""
    if not known:
        return {}
    name = (locale or FALLBACK).replace("_", "-")
    return known.get(FALLBACK, {}) | known.get(name.partition("-")[0], {}) | known.get(locale or "", {})
