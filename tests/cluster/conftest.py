from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cluster import binaries
from tests.cluster.binaries import CACHE, CONTROL_PLANE, HELM, NODE, Program
from tests.cluster.control_plane import ControlPlane
from tests.cluster.node import PLUGINS, PROGRAMS, Node
from tests.cluster.operated import Operated, admit
from tests.cluster.release import HOOKS, NAME, Release
from tests.conftest import Role

from mailboat.settings import Settings

ROOT = Path(__file__).parents[2]
# The same for each build, so that the next one finds its layers; .ci/image gives the commit's.
PROVENANCE = {
    "VERSION": "0.1.0",
    "REVISION": "0" * 40,
    "SOURCE": "https://git.example.com/mailboat",
    "CREATED": "2026-01-01T00:00:00Z",
    "SOURCE_DATE_EPOCH": "1767225600",
}


def need(condition: bool, what: str) -> None:
    """Skip for want of a part; in continuous integration every part must be there."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"The image is built with {what}.")


@pytest.fixture(scope="session")
def buildah() -> list[str]:
    """The command that works on our own store of images, apart from the machine's."""
    need(os.geteuid() == 0, "root's rights")
    for program in ("buildah", "runc", "debootstrap"):
        need(shutil.which(program) is not None, f"{program}: apt-get install {program}")
    CACHE.mkdir(parents=True, exist_ok=True)
    store = ["--storage-driver", "overlay", "--root", f"{CACHE}/images", "--runroot", f"{CACHE}/images-run"]
    return ["buildah", *store]


@pytest.fixture(scope="session")
def image(buildah: list[str], pytestconfig: pytest.Config) -> str:
    """The image, built from the Dockerfile; only the first build on a machine takes longer than half a minute."""
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nBuilding {NAME}", flush=True)
        subprocess.run([ROOT / "tests/cluster/base-image.sh", *buildah[1:]], check=True)
        # The first stage gets a name too: the last line removes what is stale and keeps what the next build can use.
        for stage in (["--target", "build", "--tag", f"{NAME}-build"], ["--tag", NAME]):
            flags = ["--isolation", "chroot", "--pull-never", "--layers", "--force-rm", *stage]
            flags += [flag for name, value in PROVENANCE.items() for flag in ("--build-arg", f"{name}={value}")]
            subprocess.run([*buildah, "bud", *flags, ROOT], check=True)
        subprocess.run([*buildah, "rmi", "--prune"], check=True, stdout=subprocess.DEVNULL)
    return NAME


@pytest.fixture(scope="session")
def build(need: Callable[[object, str], None], pytestconfig: pytest.Config) -> Callable[[list[Program]], Path]:
    """build(programs): the folder with their binaries. The first time it shows how far it is."""

    def build(programs: list[Program]) -> Path:
        wrong = binaries.wants_go(programs)
        need(wrong is None, str(wrong))
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            return binaries.build(programs)

    return build


@contextlib.contextmanager
def running(plane: ControlPlane) -> Iterator[ControlPlane]:
    """With our kinds in it."""
    try:
        plane.start()
        plane.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        plane.kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=mailboat")
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def cluster(build: Callable[[list[Program]], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The session's cluster. Tests take a namespace of their own, and do not stop its parts."""
    with running(ControlPlane(build([*CONTROL_PLANE, *HELM]), tmp_path_factory.mktemp("cluster"))) as plane:
        yield plane


@pytest.fixture
def own_cluster(build: Callable[[list[Program]], Path], tmp_path: Path) -> Iterator[ControlPlane]:
    """A cluster that the test may break."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    with running(ControlPlane(build([*CONTROL_PLANE, *HELM]), folder)) as plane:
        yield plane


@pytest.fixture
def namespace(cluster: ControlPlane) -> str:
    """A namespace for this test alone."""
    return cluster.namespace()


@pytest.fixture
def operated(
    cluster: ControlPlane,
    namespace: str,
    settings_of: Callable[..., Settings],
    start_role: Callable[..., Role],
    free_port: Callable[[], int],
) -> Operated:
    """An operator that leads, in a namespace of the test's own, with a database of the test's own."""
    kubeconfig = admit(cluster, namespace, f"operator.watchNamespaces={{{namespace}}}")
    return Operated(cluster, namespace, kubeconfig, settings_of, start_role, free_port)


@pytest.fixture(scope="session")
def node(
    build: Callable[[list[Program]], Path],
    need: Callable[[object, str], None],
    buildah: list[str],
    image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Node]:
    """A cluster whose one node has the image of this tree."""
    for program in PROGRAMS:
        need(shutil.which(program), f"A node needs {program}: apt-get install it.")
    need(PLUGINS.is_dir(), "A node needs containernetworking-plugins: apt-get install it.")
    build([*CONTROL_PLANE, *HELM, *NODE])
    archive = tmp_path_factory.mktemp("image") / "mailboat.tar"
    subprocess.run([*buildah, "push", "-q", image, f"docker-archive:{archive}:{image}"], check=True)
    with Node([archive]) as node:
        yield node


@pytest.fixture(scope="session")
def installed(node: Node) -> Iterator[Release]:
    """A release that no test takes down, whose bundled servers keep their data."""
    hooks = ("ingress.webhooks.enabled=true", f"ingress.webhooks.hosts={{{HOOKS}}}")
    # However slow kube-proxy is here, a stopping pod answers until it is forgotten.
    release = Release(node, "api.preStopSeconds=8", "data.persistence.enabled=true", *hooks)
    release.provide_volume()
    release.install()
    yield release
    release.helm("uninstall", "mailboat", "--wait")
