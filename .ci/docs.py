"""Writes the pages of docs/ that come out of the code. With --check: says which are out of date, and exits with 1."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from mailboat import settings
from mailboat.settings import Settings

DOCS = Path(__file__).parent.parent / "docs"

SETTINGS = """\
<!-- Written by `make docs` from service/mailboat/settings.py. -->
# Settings

Every process reads them once, from its environment. An empty variable counts as not set; a wrong one stops the process
with a message that names it.

| variable | default | meaning |
| --- | --- | --- |
"""


def comments() -> Iterator[tuple[str, str]]:
    """Each field of Settings with the string that stands below it."""
    tree = ast.parse(Path(settings.__file__).read_text())
    fields = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings").body
    for field, comment in pairwise(fields):
        match field, comment:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split()).replace("|", r"\|")


def settings_page() -> str:
    meaning = dict(comments())
    defaults = Settings()
    rows = []
    for field in Settings.__struct_fields__:
        default = getattr(defaults, field)
        shown = f"`{default}`" if default != "" else ""
        rows.append(f"| `{settings.variable(field)}` | {shown} | {meaning[field]} |\n")
    return SETTINGS + "".join(rows)


PAGES = {"settings.md": settings_page}


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
