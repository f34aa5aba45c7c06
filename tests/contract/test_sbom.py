"""The list of what the image is made of names every locked package, each with a licence that we can ship."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.licenses import canonicalize_license_expression
from packaging.utils import canonicalize_name

EPOCH = "1767225600"


@pytest.fixture
def sbom(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """.ci/sbom.py, as a module."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    specification = importlib.util.spec_from_file_location("sbom", root / ".ci/sbom.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def document(sbom: ModuleType) -> dict[str, Any]:
    found: dict[str, Any] = sbom.bom()
    return found


def test_every_locked_package_of_python_is_listed(root: Path, document: dict[str, Any]) -> None:
    lines = [line for line in (root / "service/requirements.txt").read_text().splitlines() if "==" in line]
    pins = [line.split()[0].partition("==") for line in lines if not line.startswith((" ", "#"))]
    locked = {f"pkg:pypi/{canonicalize_name(name.partition('[')[0])}@{version}" for name, _, version in pins}
    assert len(locked) > 80
    assert {one["purl"] for one in document["components"] if one["purl"].startswith("pkg:pypi/")} == locked


def test_every_locked_package_of_the_engine_is_listed_with_its_hash(root: Path, document: dict[str, Any]) -> None:
    packages = json.loads((root / "service/engine/package-lock.json").read_text())["packages"]
    locked = {
        (folder.rpartition("node_modules/")[2], about["version"])
        for folder, about in packages.items()
        if folder and not about.get("dev")
    }
    found = [one for one in document["components"] if one["purl"].startswith("pkg:npm/")]
    assert len(locked) > 20
    assert {("/".join(filter(None, (one.get("group"), one["name"]))), one["version"]) for one in found} == locked
    assert all(one["hashes"][0]["alg"] == "SHA-512" and len(one["hashes"][0]["content"]) == 128 for one in found)


def test_the_list_is_whole_and_speaks_of_nothing_that_is_not_in_it(document: dict[str, Any]) -> None:
    refs = [one["bom-ref"] for one in document["components"]]
    known = {*refs, document["metadata"]["component"]["bom-ref"]}
    assert len(set(refs)) == len(refs)
    assert {one["ref"] for one in document["dependencies"]} == known
    edges = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    assert {ref for asked in edges.values() for ref in asked} <= known
    reached, ahead = set(), [document["metadata"]["component"]["bom-ref"]]
    while ahead:
        if (ref := ahead.pop()) not in reached:
            reached.add(ref)
            ahead += edges[ref]
    assert known - reached == set(), "nobody asks for these"


def test_every_licence_is_an_spdx_expression_that_may_be_shipped(sbom: ModuleType, document: dict[str, Any]) -> None:
    assert sbom.faults() == []
    for one in document["components"]:
        assert canonicalize_license_expression(one["licenses"][0]["expression"])


@pytest.mark.parametrize(
    ("expression", "may"),
    [("MIT", True), ("MIT AND PSF-2.0", True), ("GPL-3.0-only OR MIT", True), ("(MIT OR CC0-1.0)", True),
     ("GPL-3.0-only", False), ("MIT AND AGPL-3.0-only", False), ("", False)],
)  # fmt: skip
def test_a_licence_that_binds_the_program_may_not_be_shipped(sbom: ModuleType, expression: str, may: bool) -> None:
    assert sbom.may_ship(expression) is may


def test_a_package_without_a_licence_and_a_licence_without_a_package_are_told(
    sbom: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    known = json.loads((root / ".ci/licences.json").read_text())
    known["nobody"] = known.pop("yarl")
    known["idna"] = "AGPL-3.0-only"
    (tmp_path / "licences.json").write_text(json.dumps(known))
    monkeypatch.setattr(sbom, "LICENCES", str(tmp_path / "licences.json"))
    told = "\n".join(sbom.faults())
    assert "yarl@" in told
    assert "has no licence" in told
    assert "names nobody, which is not locked" in told
    assert "AGPL-3.0-only" in told


def test_the_same_tree_gives_the_same_octets(root: Path, tmp_path: Path) -> None:
    """With Python's own library alone, as where the image is built."""
    for name in ("first", "second"):
        program = [sys.executable, "-I", "-S", root / ".ci/sbom.py", tmp_path / name]
        subprocess.run(program, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH}, check=True)
    first, second = ((tmp_path / name).read_bytes() for name in ("first", "second"))
    assert first == second
    assert json.loads(first)["metadata"]["timestamp"] == "2026-01-01T00:00:00Z"
