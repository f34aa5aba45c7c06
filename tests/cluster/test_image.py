"""The image, run the way a careful cluster runs it: not as root, without capabilities, on a root that is read-only."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.parser import Parser
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
from tests.cluster.conftest import PROVENANCE

NOTHING: Mapping[str, str] = {}
Found = TypeVar("Found")


class Unpacked(NamedTuple):
    """The image's files, and what it says about how to run it."""

    root: Path
    config: dict[str, Any]


@pytest.fixture(scope="module")
def unpacked(buildah: list[str], image: str) -> Iterator[Unpacked]:
    def run(*arguments: str) -> str:
        return subprocess.run([*buildah, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    config = json.loads(run("inspect", "--type", "image", image))["OCIv1"]["config"]
    container = run("from", "--pull-never", image)
    try:
        yield Unpacked(Path(run("mount", container)), config)
    finally:
        run("rm", container)


class Container:
    """One running container of the image, with the network of this machine. A context manager."""

    def __init__(self, unpacked: Unpacked, folder: Path, *arguments: str, **environment: str) -> None:
        self.name = f"mailboat-{uuid.uuid4().hex[:12]}"
        self.folder, self.log = folder, folder / "log"
        specification = json.dumps(specify(unpacked, arguments, environment))
        (folder / "config.json").write_text(specification)

    def __enter__(self) -> Container:
        with self.log.open("wb") as log:
            run = ["runc", "--root", self.folder / "state", "run", "--bundle", self.folder, self.name]
            self.process = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()  # runc hands the signal on
        try:
            self.process.wait(20)
        finally:
            subprocess.run(["runc", "--root", self.folder / "state", "delete", "--force", self.name], check=True)
            self.process.wait()

    def wait_for(self, found: Callable[[], Found | None], what: str, seconds: float = 60) -> Found:
        """What `found` finds. Fails with the container's output when it ends or takes too long."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            if (thing := found()) is not None:
                return thing
            time.sleep(0.05)
        pytest.fail(f"No {what}. The container said:\n{self.log.read_text()}")

    def users(self) -> set[str]:
        """The user ids of every process inside, as the kernel sees them."""
        listing = ["runc", "--root", self.folder / "state", "ps", "--format", "json", self.name]
        pids = json.loads(subprocess.run(listing, check=True, capture_output=True).stdout)
        lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return {uid for line in lines if line.startswith("Uid:") for uid in line.split()[1:]}


def specify(unpacked: Unpacked, arguments: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    """What runc shall run: entry point, user and variables are the image's, the restrictions are ours."""
    user, _, group = unpacked.config["User"].partition(":")
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": [f"uid={user}", "mode=700"]},
    ]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(unpacked.root), "readonly": True},
        "process": {
            "user": {"uid": int(user), "gid": int(group or user)},
            "args": [*unpacked.config["Entrypoint"], *arguments],
            "cwd": unpacked.config["WorkingDir"],
            "env": [*unpacked.config["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "capabilities": {},
            "noNewPrivileges": True,
        },
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(
    port: int, method: str, path: str, headers: Mapping[str, str] = NOTHING, body: str = ""
) -> tuple[int, str] | None:
    """Status and body of an answer, or None when nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body or None, dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return None
    finally:
        connection.close()


def test_the_api_answers_livez_as_a_user_without_rights(unpacked: Unpacked, tmp_path: Path) -> None:
    port = free_port()
    settings = {"SERVICE_ROLE": "api", "MAILBOAT_HOST": "127.0.0.1", "MAILBOAT_PORT": str(port)}
    with Container(unpacked, tmp_path, **settings) as container:
        status, _ = container.wait_for(lambda: ask(port, "GET", "/livez"), "answer on /livez")
        assert status == 200
        assert container.users() == {"10001"}


def test_one_container_carries_a_mail_from_the_printed_line_to_the_inbox(unpacked: Unpacked, tmp_path: Path) -> None:
    """PostgreSQL, Valkey, API, worker, render processes: all of it works without rights on a read-only root."""
    port = free_port()
    flags = ["up", "--data", "/data", "--host", "127.0.0.1", "--port", str(port)]
    with Container(unpacked, tmp_path, *flags) as container:
        text = container.wait_for(
            lambda: text if "\nready\n" in (text := container.log.read_text()) else None, "`ready`"
        )
        line = next(line for line in text.splitlines() if line.startswith("curl "))
        headers, body = curl(line)
        status, answer = container.wait_for(lambda: ask(port, "POST", "/v1/send", headers, body), "answer to the line")
        assert status == 202
        path = f"/v1/messages/{json.loads(answer)['id']}"

        def settled() -> dict[str, Any] | None:
            message = json.loads((ask(port, "GET", path, headers) or (0, "{}"))[1])
            return message if message.get("status") not in (None, "queued", "sending") else None

        message = container.wait_for(settled, "mail that left the queue")
        assert (message["status"], message["provider"]) == ("sent", "inbox"), message
        assert container.users() == {"10001"}


def curl(line: str) -> tuple[dict[str, str], str]:
    """Headers and body of a curl command."""
    words = shlex.split(line)
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    return headers, words[words.index("-d") + 1]


def test_a_role_that_does_not_exist_ends_with_a_word_about_the_ones_that_do(unpacked: Unpacked, tmp_path: Path) -> None:
    with Container(unpacked, tmp_path, SERVICE_ROLE="postman") as container:
        assert container.process.wait(30) == 2
    assert "worker" in container.log.read_text()


def test_the_image_names_a_user_by_number(unpacked: Unpacked) -> None:
    """Kubernetes refuses to check runAsNonRoot against a name."""
    user = unpacked.config["User"].partition(":")[0]
    assert user.isdecimal()
    assert int(user) > 0


def test_the_image_holds_no_compiler_and_no_package_manager_of_the_build(unpacked: Unpacked) -> None:
    unwanted = ["usr/bin/gcc", "usr/bin/cc", "opt/build", "opt/mailboat/bin/pip", "opt/mailboat/bin/uv", "src"]
    assert [path for path in unwanted if (unpacked.root / path).exists()] == []


def test_the_image_holds_the_program_of_this_tree(unpacked: Unpacked) -> None:
    """And not the one that a builder kept from the last time."""
    folder = Path(__file__).parents[2] / "service/mailboat"
    assert sources(installed(unpacked)) == sources(folder)


def test_the_image_says_where_it_comes_from_and_what_it_is_made_of(unpacked: Unpacked) -> None:
    asked = {"version": "VERSION", "revision": "REVISION", "source": "SOURCE", "created": "CREATED"}
    labels = unpacked.config["Labels"]
    assert {name: labels[f"org.opencontainers.image.{name}"] for name in asked} == {
        name: PROVENANCE[argument] for name, argument in asked.items()
    }
    listed = json.loads((unpacked.root / "opt/mailboat/share/mailboat/sbom.cdx.json").read_text())
    assert listed["metadata"]["timestamp"] == PROVENANCE["CREATED"]
    there = {
        (re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"])
        for folder in installed(unpacked).parent.glob("*.dist-info")
        for found in [Parser().parsestr((folder / "METADATA").read_text(), headersonly=True)]
    }
    named = {(one["name"], one["version"]) for one in listed["components"] if one["purl"].startswith("pkg:pypi/")}
    assert there - named == {("mailboat", PROVENANCE["VERSION"])}


def test_the_byte_code_is_in_the_image(unpacked: Unpacked) -> None:
    """On a read-only root it could not be kept, and every start would compile again."""
    package = installed(unpacked)
    files = [package / path for path in sources(package)]
    assert [path for path in files if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))] == []


def installed(unpacked: Unpacked) -> Path:
    return next(unpacked.root.glob("opt/mailboat/lib/python3.*/site-packages/mailboat"))


def sources(package: Path) -> dict[Path, bytes]:
    return {path.relative_to(package): path.read_bytes() for path in package.rglob("*.py")}
