"""Kubernetes, etcd, containerd, Helm and CoreDNS, compiled from Go modules into a cache outside the tree.

The versions are pinned by modules/*/go.sum, which name the cache's folder too. The first build takes ten minutes and
says how far it is; afterwards it is a look whether the files are there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MODULES = Path(__file__).parent / "modules"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailboat-cluster"
KUBERNETES, CONTAINERD = "v1.36.3", "v2.2.9"
STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


class Program(NamedTuple):
    """A main package of one of the modules, and the name of its binary."""

    module: str
    package: str
    name: str


def _programs(module: str, prefix: str, *names: str) -> list[Program]:
    return [Program(module, prefix + name, name) for name in names]


CONTROL_PLANE = [
    Program("kube", "go.etcd.io/etcd/server/v3", "etcd"),
    *_programs("kube", "k8s.io/kubernetes/cmd/", "kube-apiserver", "kube-controller-manager", "kubectl"),
]
HELM = _programs("helm", "helm.sh/helm/v4/cmd/", "helm")
NODE = [
    *_programs("kube", "k8s.io/kubernetes/cmd/", "kube-scheduler", "kubelet", "kube-proxy"),
    *_programs("node", "github.com/containerd/containerd/v2/cmd/", "containerd", "containerd-shim-runc-v2", "ctr"),
    *_programs("dns", "github.com/coredns/", "coredns"),
]
TAGS = {"kube": "selinux,notest,grpcnotrace", "node": "no_btrfs,no_zfs,no_devmapper"}


def folder() -> Path:
    """Where the binaries of these versions are kept."""
    sums = b"".join((MODULES / name / "go.sum").read_bytes() for name in ("kube", "node", "helm", "dns"))
    return CACHE / hashlib.sha256(sums).hexdigest()[:16]


def wants_go(programs: list[Program]) -> str | None:
    """What is wrong with the Go of this machine, if these programs still have to be built."""
    if all((folder() / program.name).exists() for program in programs):
        return None
    wanted = re.search(r"^go (\d+)\.(\d+)", (MODULES / "kube/go.mod").read_text(), re.MULTILINE)
    assert wanted is not None
    version = f"{wanted[1]}.{wanted[2]}"
    if shutil.which("go") is None:
        return f"Kubernetes is built with Go {version} or newer, and there is no `go`: install it from go.dev/dl"
    found = re.search(r"go(\d+)\.(\d+)", subprocess.run(["go", "version"], capture_output=True, text=True).stdout)
    if found is None or (int(found[1]), int(found[2])) < (int(wanted[1]), int(wanted[2])):
        return f"Kubernetes is built with Go {version} or newer; `go version` says {found and found[0]}"
    return None


def build(programs: list[Program]) -> Path:
    """The folder with all of these, built where they are missing. Says on stderr what takes its time."""
    out = folder()
    out.mkdir(parents=True, exist_ok=True)
    missing = [program for program in programs if not (out / program.name).exists()]
    for number, program in enumerate(missing, 1):
        started = time.monotonic()
        print(f"[{number}/{len(missing)}] building {program.name} …", file=sys.stderr, flush=True)
        _build(program, out)
        print(f"    {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return out


def _build(program: Program, out: Path) -> None:
    """Never leaves half a binary under the final name."""
    unready = out / f".{program.name}.{os.getpid()}"
    flags = ["-trimpath", f"-tags={TAGS.get(program.module, '')}", "-ldflags", _linked(program.module)]
    subprocess.run(
        ["go", "build", *flags, "-o", unready, program.package],
        cwd=MODULES / program.module,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    unready.rename(out / program.name)


def _linked(module: str) -> str:
    """Version numbers, as a release has them."""
    words = ["-s", "-w"]
    if module == "node":
        words.append(f"-X github.com/containerd/containerd/v2/version.Version={CONTAINERD}")
    if module == "kube":
        stamps = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": "36", "gitTreeState": "clean"}
        stamps["buildDate"] = "2026-01-01T00:00:00Z"
        words += [f"-X {package}.{name}={value}" for package in STAMPED for name, value in stamps.items()]
    return " ".join(words)


if __name__ == "__main__":
    build([*CONTROL_PLANE, *HELM, *NODE])
