"""The lines around a fault, as compilers show them."""

from __future__ import annotations

import re
from pathlib import Path

from mailboat.domain.revision import Sources
from mailboat.errors import TemplateFault, visible
from mailboat.registry.folder import LARGEST_FILE

AROUND = 2
WIDEST = 160
_NEWLINE = re.compile(r"\r\n|\r|\n")


def frame(source: str, line: int, column: int, start: int = 1) -> str:
    """Some lines of a file with a mark under the column (0: no mark); empty if there is no such line.

    `start`: the number of the source's first line.
    """
    lines = _NEWLINE.split(source)
    if len(lines) > line - start + 1 and not lines[-1]:
        lines.pop()
    end = start + len(lines) - 1
    if not start <= line <= end:
        return ""
    first, last = max(start, line - AROUND), min(end, line + AROUND)
    width = len(str(last))
    shift = max(0, column - WIDEST // 2)  # a long line is shown around the fault
    shown = []
    for number in range(first, last + 1):
        text = lines[number - start][shift : shift + WIDEST].expandtabs(1).rstrip()
        shown.append(f"{'>' if number == line else ' '} {number:>{width}} | {visible(text)}".rstrip())
        if number == line and 0 < column <= len(lines[number - start]) + 1:
            shown.append(f"  {' ' * width} | {' ' * (column - 1 - shift)}^")
    return "\n".join(shown)


def of_fault(fault: TemplateFault, sources: Sources | None, root: Path) -> str:
    """The frame of a fault, in its revision or else in the folder as it is now; empty if there is none."""
    if sources and fault.file in sources.files:
        start = sources.first_line.get(fault.file, 1)  # the lines before it are front matter, which is not kept
        if fault.line >= start:
            return frame(sources.files[fault.file], fault.line, fault.column, start)
    path = (root / fault.file).resolve()
    return of_file(path, fault.line, fault.column) if path.is_relative_to(root) else ""


def of_file(path: Path, line: int, column: int) -> str:
    """The frame in a file; empty if it cannot be read, or is too large to be a template's."""
    try:
        return frame(path.read_text("utf-8"), line, column) if path.stat().st_size <= LARGEST_FILE else ""
    except (OSError, UnicodeDecodeError):
        return ""
