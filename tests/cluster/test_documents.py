"""Every kubectl and helm command of the documents, on a cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.cluster.control_plane import ControlPlane
from tests.documents import FENCE, ROOT, commands, pages

LINES = [line for page in pages() for line in commands(page) if line.startswith(("kubectl", "helm"))]
CONDITION = {"type": "Ready", "status": "True", "reason": "Told", "message": ""}
READY = json.dumps({"status": {"conditions": [CONDITION | {"lastTransitionTime": "2026-11-24T08:00:00Z"}]}})
BEFORE = [
    "kubectl create namespace shop",
    "kubectl config set-context --current --namespace=shop",
    "kubectl create secret generic mailboat-admin --from-literal=token=t",
    "kubectl apply -f mail.yaml",
    f"kubectl patch emc/storefront --subresource=status --type=merge -p '{READY}'",
    f"kubectl patch emt/receipt --subresource=status --type=merge -p '{READY}'",
]


def typed(line: str, folder: Path, cluster: ControlPlane) -> None:
    path = f"{cluster.binaries}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(folder / "config")}
    argv = ["bash", "-euo", "pipefail", "-c", line]
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def place(cluster: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the manifests of docs/kubernetes.md as mail.yaml; what an operator would say of them is said."""
    folder = tmp_path_factory.mktemp("documents")
    shutil.copy(cluster.admin, folder / "config")
    told = FENCE.findall((ROOT / "docs/kubernetes.md").read_text())
    (folder / "mail.yaml").write_text(next(text for language, text in told if language == "yaml"))
    (folder / "charts").symlink_to(ROOT / "charts")
    for line in BEFORE:
        typed(line, folder, cluster)
    return folder


@pytest.mark.parametrize("line", LINES)
def test_a_command_for_a_cluster_is_taken_by_one(line: str, place: Path, cluster: ControlPlane) -> None:
    """Only that pods come up is left to test_chart.py: this control plane has no node, but has our kinds already."""
    typed(line.replace("--wait", "--dry-run=server --set crds.enabled=false"), place, cluster)


def test_there_are_such_commands() -> None:
    assert len(LINES) >= 6
