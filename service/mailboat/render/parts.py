"""What the engines have in common: subjects, translations."""

from __future__ import annotations

from collections.abc import Mapping


def one_line(subject: str) -> str:
    """A header's value: line breaks, also those of Unicode, become one space."""
    return " ".join(line for part in subject.splitlines() if (line := part.strip()))


def translations(known: Mapping[str, dict[str, str]], locale: str | None) -> dict[str, str]:
    """Those of the locale, else of its language, else none."""
    if not locale:
        return {}
    language = locale.replace("_", "-").partition("-")[0]
    return known.get(locale) or known.get(language) or {}
