"""The lines around a fault, as compilers show them."""

from __future__ import annotations

import re
from pathlib import Path

AROUND = 2
WIDEST = 160
_NEWLINE = re.compile(r"\r\n|\r|\n")


def frame(source: str, line: int, column: int) -> str:
    """Some lines of a file with a mark under the column (0: no mark); empty if there is no such line."""
    lines = _NEWLINE.split(source)
    if len(lines) > line and not lines[-1]:
        lines.pop()
    if not 0 < line <= len(lines):
        return ""
    first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
    width = len(str(last))
    shift = max(0, column - WIDEST // 2)  # a long line is shown around the fault
    shown = []
    for number in range(first, last + 1):
        text = lines[number - 1][shift : shift + WIDEST].expandtabs(1).rstrip()
        shown.append(f"{'>' if number == line else ' '} {number:>{width}} | {text}".rstrip())
        if number == line and column:
            shown.append(f"  {' ' * width} | {' ' * (column - 1 - shift)}^")
    return "\n".join(shown)


def of_file(path: Path, line: int, column: int) -> str:
    """The frame in a file; empty if it cannot be read."""
    try:
        return frame(path.read_text("utf-8"), line, column)
    except (OSError, UnicodeDecodeError):
        return ""
