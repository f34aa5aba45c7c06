"""What the documents tell a reader to do can be done."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs"]


def pages(root: Path) -> list[Path]:
    return [
        page for name in DOCUMENTS for page in [root / name, *sorted((root / name).rglob("*.md"))] if page.is_file()
    ]


@pytest.fixture(scope="module")
def targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (root / "Makefile").read_text(), re.MULTILINE))


def test_the_make_commands_of_the_documents_exist(root: Path, targets: set[str]) -> None:
    told = {
        (page.name, target)
        for page in pages(root)
        for target in re.findall(r"(?:`|^ *\$? ?)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert told, "The documents name no make command at all."
    assert {(page, target) for page, target in told if target not in targets} == set()


def test_the_links_between_the_documents_lead_somewhere(root: Path) -> None:
    broken = {
        f"{page.relative_to(root)}: {link}"
        for page in pages(root)
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    }
    assert broken == set()


def test_make_alone_prints_each_target_with_one_line_of_help(root: Path, targets: set[str]) -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert [line.split()[:2] for line in printed.splitlines()] == [["make", t] for t in in_order(root)]
    assert {"setup", "run", "check", "test", "lock", "docs", "bench", "image"} <= targets


def in_order(root: Path) -> list[str]:
    """Every target that the Makefile declares, as it declares them."""
    return re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)[1].split()


def test_continuous_integration_runs_what_the_readme_says(root: Path) -> None:
    run = (root / ".ci/run").read_text()
    assert run.index("make check") < run.index("make test")
    assert "make test" in (root / "README.md").read_text()


def test_the_generated_pages_are_up_to_date(root: Path) -> None:
    done = subprocess.run([sys.executable, ".ci/docs.py", "--check"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
