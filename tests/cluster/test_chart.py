"""The chart on a node with running pods: from `helm install` to a mail in the inbox, and back to nothing."""

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

import pytest
import yaml
from tests.cluster.node import Node
from tests.conftest import until

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/mailboat"
IMAGE = ("image.repository=docker.io/library/mailboat", "image.tag=test", "image.pullPolicy=Never")
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
REQUEST = """
import json, sys, urllib.request
method, url, headers, body = json.loads(sys.stdin.read())
headers["Content-Type"] = "application/json"
request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""
LOAD = Path(__file__).parent / "load.py"
CONNECT = "import socket, sys; socket.create_connection(sys.argv[1:3], 5)"


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

    def kubectl(self, *words: str, **options: Any) -> str:
        return self.node.run("kubectl", "-n", self.namespace, *words, **options).stdout

    def apply(self, kind: str, name: str, **spec: Any) -> None:
        manifest = {"apiVersion": "mailboat.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump(manifest))

    def declare(self) -> None:
        """One of each kind, and ready."""
        self.apply("EmailProvider", "inbox", inbox={})
        self.apply(
            "EmailClient",
            "storefront",
            senders=["orders@shop.example.com"],
            route=["inbox"],
            credentials={"secretName": "storefront-email"},
            rateLimit={"perMinute": 100_000, "burst": 10_000},
        )
        self.apply("EmailTemplate", "receipt", **TEMPLATE)
        for thing in ("emp/inbox", "emc/storefront", "emt/receipt"):
            self.kubectl("wait", "--for=condition=Ready", thing, "--timeout=60s")

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
        return self.node.run(sys.executable, "-c", CONNECT, *self.address(), check=False).returncode == 0

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

    def pods(self, component: str) -> set[str]:
        selector = f"-lapp.kubernetes.io/component={component}"
        return set(self.kubectl("get", "pods", selector, "-o", "name").split())

    def send(self) -> Any:
        held = self.secret("storefront-email")
        headers = {"X-Api-Key": held["api-key"], "X-Api-Secret": held["api-secret"]}
        mail = {"template": "receipt", "to": "ada@example.com", "data": {"order": "A-1042"}}
        return self.ask("POST", "/v1/send", headers, mail)

    def in_inbox(self, identifier: str) -> dict[str, Any]:
        """The mail, as soon as it is there."""
        bearer = {"Authorization": f"Bearer {self.secret('mailboat-admin')['token']}"}

        def look() -> bool:
            return any(mail["id"] == identifier for mail in self.ask("GET", "/admin/inbox", bearer)["items"])

        until(look, "the mail to be in the inbox")
        found: dict[str, Any] = self.ask("GET", f"/admin/inbox/{identifier}", bearer)
        return found


TEMPLATE = {"subject": "Receipt {{ order }}", "source": "<p>Order {{ order }}</p>", "example": {"order": "A-1"}}


@pytest.fixture(scope="module")
def installed(node: Node) -> Iterator[Release]:
    """A release that no test takes down."""
    release = Release(node, "api.preStopSeconds=8")  # however slow kube-proxy is here
    release.install()
    yield release
    release.helm("uninstall", "mailboat", "--wait")


def test_a_mail_goes_from_three_resources_through_the_service_to_the_inbox(installed: Release) -> None:
    installed.declare()
    assert installed.secret("storefront-email")["url"] == f"http://mailboat-api.{installed.namespace}.svc"
    mail = installed.in_inbox(installed.send()["id"])
    assert (mail["subject"], "Order A-1042" in mail["html"]) == ("Receipt A-1042", True)
    installed.apply("EmailTemplate", "receipt", **TEMPLATE | {"source": "<p>Second edition {{ order }}</p>"})
    installed.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", "emt/receipt", "--timeout=30s")
    assert "Second edition" in installed.in_inbox(installed.send()["id"])["html"]


def test_an_upgrade_and_the_way_back_lose_no_request_and_no_mail(installed: Release) -> None:
    installed.declare()
    roles = ("api", "worker")
    editions = [word for role in roles for word in ("--set", f"{role}.podAnnotations.edition=second")]
    waiting = ("--wait", "--timeout", "120s")
    with installed.under_load() as outcome:
        installed.helm("upgrade", "mailboat", str(CHART), "--reuse-values", *editions, *waiting)
        between = set().union(*(installed.pods(role) for role in roles))
        installed.helm("rollback", "mailboat", *waiting)
        installed.kubectl("wait", "--for=delete", *between, "--timeout=120s")
    assert (outcome["failed"], outcome["not sent"]) == ([], {})
    assert outcome["accepted"] > 50


def test_helm_test_passes(installed: Release) -> None:
    assert "Succeeded" in installed.helm("test", "mailboat", "--timeout", "120s")


def test_the_migration_of_a_release_with_a_database_of_its_own_ends_well(installed: Release) -> None:
    """As the hook runs it before an upgrade, on the database of this release."""
    secrets_of = ("database.existingSecret=mailboat-data", "database.key=database-url",
                  "valkey.existingSecret=mailboat-data", "valkey.key=valkey-url")  # fmt: skip
    sets = [word for value in (*installed.values, *secrets_of) for word in ("--set", value)]
    job = installed.helm("template", "mailboat", str(CHART), "--show-only", "templates/migration.yaml", *sets)
    installed.kubectl("apply", "-f", "-", input=job)
    installed.kubectl("wait", "--for=condition=Complete", "job/mailboat-migrate", "--timeout=120s")
    installed.kubectl("delete", "job", "mailboat-migrate")


def test_the_pods_carry_the_labels_that_scripts_rely_on(installed: Release) -> None:
    listed = installed.kubectl(
        "get", "pods", "-l", "app.kubernetes.io/name=mailboat", "-o", "jsonpath={.items[*].metadata.labels}"
    )
    for component in ("api", "worker", "operator", "data"):
        assert f'"app.kubernetes.io/component":"{component}"' in listed


def test_uninstalling_leaves_nothing_that_cannot_be_deleted(node: Node, installed: Release) -> None:
    """The definitions are those of the other release; the resources stay, and go without an operator."""
    release = Release(node, "crds.enabled=false", "rbac.aggregate=false")
    release.values.append(f"operator.watchNamespaces={{{release.namespace}}}")
    release.install()
    release.declare()
    release.helm("uninstall", "mailboat", "--wait", "--timeout", "120s")
    ours = ("all,lease,role,rolebinding,serviceaccount", "-l", "app.kubernetes.io/name=mailboat", "-o", "name")
    until(lambda: release.kubectl("get", *ours) == "", "the pods to end")
    assert "emailclient" in release.kubectl("get", "mailboat", "-o", "name")
    release.kubectl("delete", "emc,emt,emp", "--all", "--timeout=20s")
    node.run("kubectl", "delete", "namespace", release.namespace, "--timeout=90s")
