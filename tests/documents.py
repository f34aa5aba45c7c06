"""What the documents tell a reader to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> Iterator[str]:
    """Each command of the page's shell fences, as one line of text or several."""
    for language, text in FENCE.findall(page.read_text()):
        if language == "sh":
            line = ""
            for part in text.splitlines():
                line = f"{line}\n{part}" if line else part
                if not line.endswith("\\") and len(re.findall(r"(?<!\\)'", line.partition(" #")[0])) % 2 == 0:
                    yield line
                    line = ""
            assert not line, f"{page}: the command does not end: {line}"
