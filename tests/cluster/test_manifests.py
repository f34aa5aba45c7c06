"""The real API server judges the manifests of the contract: the CRDs are what the models say they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.control_plane import ControlPlane

MANIFESTS = Path(__file__).parents[1] / "contract/manifests"
INVALID, VALID = (sorted((MANIFESTS / folder).glob("*.yaml")) for folder in ("invalid", "valid"))


def documents(path: Path, namespace: str) -> list[dict[str, Any]]:
    found = list(yaml.safe_load_all(path.read_text()))
    for manifest in found:
        manifest["metadata"]["namespace"] = namespace
    return found


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_manifest_is_refused_and_the_field_is_named(
    cluster: ControlPlane, namespace: str, path: Path
) -> None:
    """Rules in CEL speak in our words; for the schema the server has words of its own."""
    *before, manifest = documents(path, namespace)
    if before:
        cluster.apply(*before)
    verb = "replace" if before else "create"  # unlike apply, they name all that is wrong at once
    done = cluster.kubectl(verb, "-f", "-", input=yaml.safe_dump(manifest), check=False)
    assert done.returncode != 0
    faults = re.findall(r"^# refused: (\S+): (.*)$", path.read_text(), re.MULTILINE)
    named = [message in done.stderr or field in done.stderr for field, message in faults]
    enough = any if "unknown field" in done.stderr else all  # at those it stops
    assert enough(named), done.stderr


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_manifest_is_taken(cluster: ControlPlane, namespace: str, path: Path) -> None:
    cluster.apply(*documents(path, namespace))


@pytest.mark.parametrize("kind", ["emailclients", "emailtemplates", "emailproviders"])
def test_kubectl_explains_every_field(cluster: ControlPlane, kind: str) -> None:
    text = cluster.kubectl("explain", kind, "--recursive").stdout
    assert "<no description>" not in text
    assert "spec" in text
