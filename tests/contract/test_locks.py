"""The locks hold what pyproject.toml asks for, by hash, and say nothing about where to fetch it."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\$", re.MULTILINE)
LOCKS = {
    "service/requirements.txt": [("project", "dependencies")],
    "tests/requirements.txt": [("project", "dependencies"), ("project", "optional-dependencies", "dev")],
    ".ci/requirements.txt": [("dependency-groups", "build")],
}


def asked(root: Path, lock: str) -> list[Requirement]:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    found: list[Requirement] = []
    for keys in LOCKS[lock]:
        table = project
        for key in keys:
            table = table[key]
        found += [Requirement(line) for line in table]
    return found


def pins(text: str) -> dict[str, str]:
    """Package to version, as it is installed here: where a lock has several, by their markers."""
    return {
        canonicalize_name(pin["name"]): pin["version"]
        for pin in PIN.finditer(text)
        if not pin["marker"] or Marker(pin["marker"]).evaluate()
    }


def direct(text: str) -> set[str]:
    """The packages that the lock holds because pyproject.toml names them."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    named = [block for block in blocks if "mailboat (pyproject.toml" in block]
    return {canonicalize_name(re.split(r"[=\[]", block)[0]) for block in named}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_pyproject_asks_for(root: Path, lock: str) -> None:
    text = (root / lock).read_text()
    locked, requirements = pins(text), asked(root, lock)
    assert direct(text) == {canonicalize_name(r.name) for r in requirements}, "Run `make lock`."
    wrong = [
        str(r) for r in requirements if not r.specifier.contains(locked[canonicalize_name(r.name)], prereleases=True)
    ]
    assert wrong == [], "Run `make lock`."


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes(root: Path, lock: str) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", (root / lock).read_text())
    bare = [block.splitlines()[0] for block in blocks if "==" in block and "--hash=sha256:" not in block]
    assert bare == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_no_address(root: Path, lock: str) -> None:
    assert "://" not in (root / lock).read_text()


def test_the_locks_agree_on_every_version(root: Path) -> None:
    """The image runs what the tests ran."""
    tested = pins((root / "tests/requirements.txt").read_text())
    for lock in ("service/requirements.txt", ".ci/requirements.txt"):
        versions = pins((root / lock).read_text())
        assert {n: v for n, v in versions.items() if tested.get(n, v) != v} == {}, lock
    assert pins((root / "service/requirements.txt").read_text()).keys() <= tested.keys()


def test_the_image_has_every_package_that_the_program_imports(root: Path) -> None:
    """What only the tests install is there on a developer's machine, and missing where it counts."""
    locked = pins((root / "service/requirements.txt").read_text()).keys()
    owners = importlib.metadata.packages_distributions()
    missing = {
        name
        for name in imported(root) - {"mailboat", "mailboat_crds", "mailboat_operator"}
        if not {canonicalize_name(owner) for owner in owners.get(name, [name])} & locked
    }
    assert missing == set(), "Name them in pyproject.toml's dependencies and run `make lock`."


def imported(root: Path) -> set[str]:
    """The top-level names of everything imported by the three packages, the standard library aside."""
    found = set()
    for folder in ("crds", "service", "operator"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names
