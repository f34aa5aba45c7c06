"""A provider's webhook on its way in: from a pod that speaks Mailgun's API, through the Ingress, to the API."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster.node import ADDRESS
from tests.cluster.release import HOOKS, NAME, Release
from tests.conftest import free_port, until

DOOR = Path(__file__).parent / "ingress.py"
ASK = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Host": sys.argv[2]}), timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@pytest.fixture
def door(installed: Release) -> Iterator[int]:
    """The port of an Ingress controller on the node."""
    port, stop = free_port(), installed.node.folder / f"stop-{secrets.token_hex(3)}"
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(installed.node.run, sys.executable, DOOR, ADDRESS, port, stop)
        try:
            until(lambda: running.done() or installed.node.listens(ADDRESS, port), "the door to open")
            yield port
        finally:
            stop.touch()
    running.result()


def mailgun(namespace: str, port: int) -> list[dict[str, Any]]:
    """A pod that speaks Mailgun's API and reports to the host of the Ingress; its Service and its Secrets."""
    words = ["simulate", "mailgun", "--host", "0.0.0.0", "--port", "9100", "--key", "key", "--signing-key", "signing"]
    words += ["--webhook-url", f"http://{HOOKS}:{port}/webhooks/mailgun/{namespace}/relay"]
    container = {
        "name": "mailgun",
        "image": NAME,
        "imagePullPolicy": "Never",
        "args": words,
        "readinessProbe": {"tcpSocket": {"port": 9100}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "hostAliases": [{"ip": ADDRESS, "hostnames": [HOOKS]}],
        "containers": [container],
    }
    labels = {"app": "mailgun"}
    metadata = {"name": "mailgun", "labels": labels}
    ports = [{"port": 9100}]
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
        *(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": held}
            for name, held in (("mailgun", {"api-key": "key"}), ("mailgun-webhook", {"signing-key": "signing"}))
        ),
    ]


def test_a_signed_webhook_comes_in_by_the_ingress_and_the_mail_is_delivered(installed: Release, door: int) -> None:
    installed.declare()
    objects = mailgun(installed.namespace, door)
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    try:
        installed.kubectl("wait", "--for=condition=Ready", "pod/mailgun", "--timeout=60s")
        installed.apply(
            "EmailProvider",
            "relay",
            mailgun={"domain": "shop.example.com", "endpoint": f"http://mailgun.{installed.namespace}.svc:9100"},
            credentials={"secretRef": {"name": "mailgun"}},
            webhook={"secretRef": {"name": "mailgun-webhook"}},
        )
        installed.client("hooked", "relay")
        for thing in ("emp/relay", "emc/hooked"):
            installed.kubectl("wait", "--for=condition=Ready", thing, "--timeout=60s")
        identifier = installed.send("hooked")["id"]
        until(lambda: installed.message(identifier, "hooked")["status"] == "delivered", "the report of the delivery")
        events = installed.message(identifier, "hooked")["events"]  # Mailgun also reports that it has accepted the mail
        assert [each["recipient"] for each in events if each["event"] == "delivered"] == ["ada@example.com"]
    finally:
        installed.kubectl("delete", "emc/hooked", "emp/relay", "--ignore-not-found")
        installed.kubectl("delete", "-f", "-", "--grace-period=1", input=yaml.safe_dump_all(objects))


@pytest.mark.parametrize(
    ("host", "path"), [(HOOKS, "/admin/inbox"), (HOOKS, "/v1/messages"), ("other.example.com", "/webhooks/x")]
)
def test_no_other_path_and_no_other_host_comes_in_there(installed: Release, door: int, host: str, path: str) -> None:
    done = installed.node.run(sys.executable, "-c", ASK, f"http://{ADDRESS}:{door}{path}", host)
    assert done.stdout.strip() == "404"
