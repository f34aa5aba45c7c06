"""The tree is the one of the README, and no folder of it gets in the way of Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = {
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "charts",
    "crds",
    "docs",
    "operator",
    "pyproject.toml",
    "service",
    "skaffold.yaml",
    "templates",
    "tests",
    "zensical.toml",
}

# In two halves, so that this file does not contain them itself.
PACKAGE_HOSTS = [
    left + right
    for left, right in [
        ("pypi", ".org"),
        ("python", "hosted"),
        ("registry.", "npmjs"),
        ("registry.", "yarnpkg"),
        ("proxy.", "golang"),
        ("sum.", "golang"),
        ("crates", ".io"),
        ("repo1.", "maven"),
        ("deb.", "debian"),
        ("security.", "debian"),
    ]
]


def test_the_top_level_holds_what_the_design_says_and_nothing_else(tracked: list[Path]) -> None:
    assert {path.parts[0] for path in tracked if not path.parts[0].startswith(".")} == TOP


def test_the_folder_operator_is_not_a_package(root: Path) -> None:
    """With an __init__.py it would hide the standard library's module from every process started at the top."""
    assert not (root / "operator/__init__.py").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import operator; operator.itemgetter"],
        ["-m", "json.tool", "--help"],
        ["-m", "pytest", "--version"],
        ["-c", "import collections, enum, dataclasses, asyncio, mailboat_operator"],
    ],
    ids=" ".join,
)
def test_python_works_at_the_top_of_the_tree(root: Path, command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run([sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_folder_of_tests_is_a_package(tracked: list[Path]) -> None:
    assert [path for path in tracked if path.parts[0] == "tests" and path.name == "__init__.py"] == []


def test_no_file_names_a_package_host(root: Path, tracked: list[Path]) -> None:
    named = {
        f"{path}: {host}"
        for path in tracked
        for host in PACKAGE_HOSTS
        if host.encode() in (root / path).read_bytes().lower()
    }
    assert named == set()


def test_imports_keep_to_the_layers(root: Path) -> None:
    checker = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([checker, "--no-cache"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
