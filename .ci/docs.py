"""Writes the pages of docs/ that come out of the code. With --check: says which are out of date, and exits with 1."""

from __future__ import annotations

import sys
from pathlib import Path

from mailboat import settings
from mailboat.api import problems
from mailboat.cli import roles

DOCS = Path(__file__).parent.parent / "docs"

SETTINGS = """\
<!-- Written by `make docs` from service/mailboat/settings.py. -->
# Settings

Every process reads them once, from its environment. An empty variable counts as not set; a wrong one stops the process
with a message that names it. `SERVICE_ROLE` chooses the [role](operations.md#roles).

| variable | default | meaning |
| --- | --- | --- |
"""

PROBLEMS = """\
<!-- Written by `make docs` from service/mailboat/api/problems.py. -->
# Problems

Every refusal is `application/problem+json` as in RFC 9457: `type`, `title`, `status`, `detail` for people, `code` for
programs, and `field` where one part of the request is at fault. Codes are stable.

| code | status | meaning |
| --- | --- | --- |
"""


def row(*cells: str) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"


def settings_page() -> str:
    notes = roles.settings_notes()
    return SETTINGS + "".join(
        row(f"`{settings.variable(field)}`", f"`{default}`" if default else "", note)
        for field, (default, note) in notes.items()
    )


def problems_page() -> str:
    return PROBLEMS + "".join(row(f"`{code}`", str(status), note) for code, (status, note) in problems.CODES.items())


PAGES = {"settings.md": settings_page, "problems.md": problems_page}


def main(check: bool) -> int:
    pages = {DOCS / name: write() for name, write in PAGES.items()}
    stale = [page for page, text in pages.items() if not page.exists() or page.read_text() != text]
    for page in stale:
        if check:
            print(f"{page.relative_to(DOCS.parent)} is out of date: run `make docs`.")
        else:
            page.write_text(pages[page])
            print(f"Wrote {page.relative_to(DOCS.parent)}.")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
