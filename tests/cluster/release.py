"""An installed chart on a node with running pods, and what tests ask of it."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.node import Node
from tests.conftest import until

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/mailboat"
NAME = "docker.io/library/mailboat:test"
IMAGE = (f"image.repository={NAME.removesuffix(':test')}", "image.tag=test", "image.pullPolicy=Never")
HOOKS = "hooks.example.com"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
REQUEST = """
import json, sys, urllib.request
method, url, headers, body = json.loads(sys.stdin.read())
headers["Content-Type"] = "application/json"
request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
LOAD = Path(__file__).parent / "load.py"
KILL = Path(__file__).parent / "kill.py"


def _selecting(component: str) -> tuple[str, str]:
    return "-l", f"app.kubernetes.io/component={component}"


class Release:
    """An installed chart, with the bundled servers, in a namespace that lets only restricted pods in."""

    def __init__(self, node: Node, *values: str) -> None:
        self.node, self.namespace = node, f"mail-{secrets.token_hex(3)}"
        node.run("kubectl", "create", "namespace", self.namespace)
        node.run("kubectl", "label", "namespace", self.namespace, RESTRICTED)
        self.values = [*IMAGE, "data.persistence.enabled=false", *values]

    def helm(self, *words: str) -> str:
        return self.node.run("helm", *words, "--namespace", self.namespace).stdout

    def install(self) -> str:
        """What the notes say. When it does not come up, why."""
        sets = [word for value in self.values for word in ("--set", value)]
        try:
            notes = self.helm("install", "mailboat", str(CHART), *sets, "--wait", "--timeout", "240s")
            until(self.is_reachable, "kube-proxy to know of the pods that helm saw ready")
            return notes
        except AssertionError as error:
            pods = self.kubectl("get", "pods", "-o", "wide")
            told = [
                self.kubectl("logs", f"-lapp.kubernetes.io/component={part}") for part in ("data", "operator", "api")
            ]
            raise AssertionError("\n".join([str(error), pods, *told, self.kubectl("get", "events")])) from None

    def provide_volume(self) -> None:
        """What a StorageClass would: a folder of the node, for the bundled servers of this release."""
        name = f"{self.namespace}-data"
        folder = self.node.folder / name
        folder.mkdir()
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}
        spec = {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "local": {"path": str(folder)},
            "claimRef": {"namespace": self.namespace, "name": "data-mailboat-data-0"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        }
        manifest = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump(manifest))

    def kubectl(self, *words: str, **options: Any) -> str:
        return self.node.run("kubectl", "-n", self.namespace, *words, **options).stdout

    def apply(self, kind: str, name: str, **spec: Any) -> None:
        manifest = {"apiVersion": "mailboat.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump(manifest))

    def declare(self) -> None:
        """One of each kind, and ready."""
        self.apply("EmailProvider", "inbox", inbox={})
        self.client("storefront", "inbox")
        self.apply("EmailTemplate", "receipt", **TEMPLATE)
        for thing in ("emp/inbox", "emc/storefront", "emt/receipt"):
            self.kubectl("wait", "--for=condition=Ready", thing, "--timeout=60s")

    def client(self, name: str, provider: str) -> None:
        """Its Secret is NAME-email."""
        self.apply(
            "EmailClient",
            name,
            senders=["orders@shop.example.com"],
            route=[provider],
            credentials={"secretName": f"{name}-email"},
            rateLimit={"perMinute": 100_000, "burst": 10_000},
        )

    def secret(self, name: str) -> dict[str, str]:
        data = json.loads(self.kubectl("get", "secret", name, "-o", "json"))["data"]
        return {key: base64.b64decode(text).decode() for key, text in data.items()}

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> Any:
        """Through the Service, from within the cluster's network."""
        url = f"http://{':'.join(self.address())}{path}"
        request = json.dumps([method, url, headers, json.dumps(body) if body else ""])
        return json.loads(self.node.run(sys.executable, "-c", REQUEST, input=request).stdout)

    def is_reachable(self) -> bool:
        """Whether the Service leads somewhere."""
        return self.node.listens(*self.address())

    def address(self) -> tuple[str, str]:
        """Host and port of the Service."""
        place = "jsonpath={.spec.clusterIP} {.spec.ports[0].port}"
        host, port = self.kubectl("get", "service", "mailboat-api", "-o", place).split()
        return host, port

    @contextlib.contextmanager
    def under_load(self) -> Iterator[dict[str, Any]]:
        """Mails through the Service all the while; afterwards, what `load.py` says of them."""
        held, outcome, stop = self.secret("storefront-email"), {}, self.node.folder / f"stop-{secrets.token_hex(3)}"
        words = (sys.executable, LOAD, *self.address(), held["api-key"], held["api-secret"], stop)
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(self.node.run, *words)
            try:
                yield outcome
            finally:
                stop.touch()
        outcome |= json.loads(running.result().stdout)

    def kill(self, pod: str, program: str = "") -> None:
        """By kill -9: the first process of its container, or the one of this program."""
        uid = self.kubectl("get", pod, "-o", "jsonpath={.metadata.uid}")
        self.node.run(sys.executable, KILL, uid, program)

    def restarts(self, component: str) -> int:
        """Of the containers, all pods together."""
        counts = "jsonpath={.items[*].status.containerStatuses[*].restartCount}"
        return sum(map(int, self.kubectl("get", "pods", *_selecting(component), "-o", counts).split()))

    def pods(self, component: str) -> set[str]:
        return set(self.kubectl("get", "pods", *_selecting(component), "-o", "name").split())

    def settle(self, component: str) -> None:
        """Wait until its pods are as many as they should be, and ready."""
        kind = "statefulset" if component == "data" else "deployment"
        self.kubectl("rollout", "status", f"{kind}/mailboat-{component}", "--timeout=120s")

    def pair(self, client: str = "storefront") -> dict[str, str]:
        """The headers of a client."""
        held = self.secret(f"{client}-email")
        return {"X-Api-Key": held["api-key"], "X-Api-Secret": held["api-secret"]}

    def message(self, identifier: str, client: str = "storefront") -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/v1/messages/{identifier}", self.pair(client))
        return found

    def send(self, client: str = "storefront") -> Any:
        mail = {"template": "receipt", "to": "ada@example.com", "data": {"order": "A-1042"}}
        return self.ask("POST", "/v1/send", self.pair(client), mail)

    def accepts(self) -> bool:
        """Whether a mail is taken now."""
        try:
            return "id" in self.send()
        except AssertionError:
            return False

    def in_inbox(self, identifier: str) -> dict[str, Any]:
        """The mail, as soon as it is there."""
        bearer = {"Authorization": f"Bearer {self.secret('mailboat-admin')['token']}"}

        def look() -> bool:
            return any(mail["id"] == identifier for mail in self.ask("GET", "/admin/inbox", bearer)["items"])

        until(look, "the mail to be in the inbox")
        found: dict[str, Any] = self.ask("GET", f"/admin/inbox/{identifier}", bearer)
        return found


TEMPLATE = {"subject": "Receipt {{ order }}", "source": "<p>Order {{ order }}</p>", "example": {"order": "A-1"}}
