"""A whole node beside the control plane: kubelet, containerd, kube-proxy, scheduler and DNS, so that pods run.

All of it lives in network, mount and process namespaces of its own: nothing on the machine's network changes, nothing
of the machine's network is reached, and when the one process that holds the namespaces ends, everything is gone.
Needs root, Linux, runc, containernetworking-plugins, iptables and conntrack.

    python -m tests.cluster.node FOLDER IMAGE.tar…     started by `Node` inside the namespaces; ends when stdin does
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.cluster import binaries
from tests.cluster.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
ADDRESS, NOWHERE, PODS = "10.250.0.1", "10.250.0.2", "10.244.0.0/24"
PROGRAMS = ("unshare", "nsenter", "ip", "runc", "iptables", "conntrack")
PLUGINS = Path("/usr/lib/cni")
START_SECONDS = 180.0
NAMESPACES = ("--net", "--mount", "--pid")
CONNECT = "import socket, sys; socket.create_connection(sys.argv[1:3], 5)"
PAUSE = """package main
import ("os"; "os/signal"; "syscall")
func main() { c := make(chan os.Signal, 1); signal.Notify(c, syscall.SIGTERM, syscall.SIGINT); <-c }
"""


class Node:
    """From outside: a cluster with one node. A context manager."""

    def __init__(self, images: Sequence[Path]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="node-", dir="/tmp"))
        self._images = images

    def __enter__(self) -> Node:
        argv = ["unshare", *NAMESPACES, "--fork", "--mount-proc", "--kill-child", sys.executable]
        argv += ["-m", "tests.cluster.node", str(self.folder), *map(str, self._images)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.log = (self.folder / "node.log").open("wb")
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment, cwd=ROOT
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"ready\n":
            self.__exit__()
            raise AssertionError((self.folder / "node.log").read_text()[-4000:])
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        self._inside = ["nsenter", "--target", children.split()[0], *NAMESPACES, "--"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()  # unshare ignores what is gentler; the kernel ends the rest
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.log):
            assert pipe is not None
            pipe.close()
        time.sleep(0.5)
        _remove_groups()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words: object, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command inside: it reaches pods and Services; kubectl and helm are the administrator's."""
        environment = {**os.environ, "KUBECONFIG": str(self.folder / "admin.conf"), "HOME": str(self.folder)}
        environment["PATH"] = f"{binaries.folder()}:{environment['PATH']}"
        argv = [*self._inside, *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, **options)
        assert not check or done.returncode == 0, f"{' '.join(map(str, words))}:\n{done.stdout}\n{done.stderr}"
        return done

    def listens(self, host: str, port: object) -> bool:
        """Whether somebody takes connections there, as seen from inside."""
        return self.run(sys.executable, "-c", CONNECT, host, port, check=False).returncode == 0


def _remove_groups() -> None:
    """kubelet leaves empty control groups behind."""
    for group in Path("/sys/fs/cgroup").glob("**/kubepods"):
        for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()


# --- inside


def main(folder: Path, images: Sequence[Path]) -> None:
    _network()
    plane = ControlPlane(binaries.folder(), folder, ADDRESS)
    plane.start()
    Inside(plane).start(images)
    print("ready", flush=True)
    sys.stdin.read()


def _network() -> None:
    """kubelet and kube-proxy want an address of their own and a default route, even one that leads nowhere."""
    for words in (
        "link set lo up",
        "link add node0 type bridge",
        f"addr add {ADDRESS}/24 dev node0",
        "link set node0 up",
        f"route add default via {NOWHERE} dev node0",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


class Inside:
    """The programs of the node."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane, self._folder = plane, plane.folder
        self._socket = f"{self._folder}/run/containerd.sock"

    def start(self, images: Sequence[Path]) -> None:
        self._containerd([_pause_image(self._folder), *images])
        self._write("Corefile", COREFILE.format(address=ADDRESS, kubeconfig=self._plane.admin))
        self._program("coredns", "-conf", "Corefile")
        self._kubelet()
        admin = f"--kubeconfig={self._plane.admin}"
        self._program("kube-scheduler", admin, "--leader-elect=false")
        proxied = ("--proxy-mode=iptables", "--cluster-cidr=10.244.0.0/16", "--conntrack-max-per-core=0")
        self._program("kube-proxy", admin, "--hostname-override=node", *proxied)
        ready = ("wait", "--for=condition=Ready", "node/node", "--timeout=1s")
        _until(lambda: self._plane.kubectl(*ready, check=False).returncode == 0, "the node to be ready")

    def _program(self, name: str, *flags: str) -> None:
        self._plane.server(name, *flags).start()

    def _write(self, name: str, content: Any) -> None:
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (self._folder / name).write_text(text)

    def _containerd(self, images: Sequence[Path]) -> None:
        (self._folder / "cni").mkdir()
        self._write("cni/10-bridge.conflist", json.dumps(_pod_network(self._folder)))
        self._write("containerd.toml", CONTAINERD.format(folder=self._folder, plugins=PLUGINS))
        os.environ["PATH"] = f"{binaries.folder()}:{os.environ['PATH']}"  # it looks for its shim there
        self._program("containerd", "-c", "containerd.toml")
        ctr = [str(binaries.folder() / "ctr"), "-a", self._socket]
        _until(lambda: subprocess.run([*ctr, "version"], capture_output=True).returncode == 0, "containerd")
        for image in images:
            load = [*ctr, "-n", "k8s.io", "images", "import", "--local", "--no-unpack", str(image)]
            subprocess.run(load, check=True, stdout=subprocess.DEVNULL)

    def _kubelet(self) -> None:
        self._write("resolv.conf", f"nameserver {ADDRESS}\n")
        self._write("kubelet.yaml", _kubelet_configuration(self._folder, self._socket))
        self._program(
            "kubelet",
            "--config=kubelet.yaml",
            f"--kubeconfig={self._plane.kubeconfig('kubelet', 'node')}",
            "--hostname-override=node",
            f"--root-dir={self._folder}/kubelet",
            f"--cert-dir={self._folder}/kubelet-pki",
            f"--node-ip={ADDRESS}",
        )


def _until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not true():
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.2)


def _pod_network(folder: Path) -> dict[str, Any]:
    ranges = [[{"subnet": PODS}]]
    addresses = {"type": "host-local", "dataDir": f"{folder}/ipam", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge, ports]}


def _kubelet_configuration(folder: Path, socket: str) -> dict[str, Any]:
    trusted = {"clientCAFile": f"{folder}/kubelet-client.crt"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": trusted},
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{socket}",
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{folder}/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "enforceNodeAllocatable": [],
        "syncFrequency": "2s",  # by default it takes a minute until a changed ConfigMap is in its mounts
        "evictionHard": {"memory.available": "100Mi"},
    }


CONTAINERD = """version = 3
root = "{folder}/containerd"
state = "{folder}/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{folder}/run/containerd.sock"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{plugins}"]
  conf_dir = "{folder}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = false
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
"""
COREFILE = """.:53 {{
  bind {address}
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig} test
    ttl 1
  }}
  errors
}}
"""


def _pause_image(folder: Path) -> Path:
    """The sandbox image: one static program that does nothing, compiled here."""
    source, program, image = folder / "pause.go", folder / "pause", folder / "pause.tar"
    source.write_text(PAUSE)
    build = ["go", "build", "-ldflags=-s -w", "-o", str(program), str(source)]
    subprocess.run(build, check=True, env={**os.environ, "CGO_ENABLED": "0"})
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(program, "pause")
    digest = "sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/pause"]}}
    config["rootfs"] = {"type": "layers", "diff_ids": [digest]}
    manifest = [{"Config": "config.json", "RepoTags": ["localhost/pause:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(image, "w") as tar:
        for name, content in (
            ("layer.tar", layer.getvalue()),
            ("config.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return image


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(image) for image in sys.argv[2:]])
