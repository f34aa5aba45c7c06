"""docs/security.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

NAMED = re.compile(r"`([a-z_/]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_names_is_there(root: Path) -> None:
    named = NAMED.findall((root / "docs/security.md").read_text())
    assert len(named) > 40
    gone = [
        f"{path}::{name}"
        for path, name in named
        if not (file := root / "tests" / path).is_file() or f"def {name}(" not in file.read_text()
    ]
    assert gone == []


def test_every_threat_has_an_answer(root: Path) -> None:
    rows = [line.split(" | ") for line in (root / "docs/security.md").read_text().splitlines() if "::test_" in line]
    assert all(len(row) == 3 and row[1].strip() for row in rows)
