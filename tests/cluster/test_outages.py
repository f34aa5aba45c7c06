"""Pods that are killed, deleted and away, under load: what was accepted is sent, and all comes back by itself."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.cluster.release import TEMPLATE, Release
from tests.conftest import until

ASK = """
import json, sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], *(text.encode() for text in sys.argv[2:]))
request.add_header("X-Api-Key", "key")
request.add_header("X-Api-Secret", "secret")
try:
    answer = urllib.request.urlopen(request, timeout=20)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.headers.get("Retry-After", ""), answer.read().decode()]))
"""
# What a process of the pod does with a template when it cannot ask PostgreSQL.
RENDER = """
import asyncio, os, sys
from mailboat.db import engine
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.registry.mount import Mount
from mailboat.render.base import Job
from mailboat.render.pools import Pools

async def main(namespace, name):
    pool = await engine.pool(os.environ["DATABASE_URL"], name="test", size=1)
    mount = Mount(os.environ["MAILBOAT_MOUNTED"])
    found = await Catalog(Folder(os.environ["MAILBOAT_TEMPLATES"]), pool, mount).resolve(namespace, name)
    pools = Pools(1)
    (outcome,) = await pools.render([Job(found, b'{"order": "A-1"}')])
    await pools.close()
    print(outcome.html)

asyncio.run(main(*sys.argv[1:]))
"""
LOAD_SECONDS = 2.0  # before the fault and after it
HONEST = {0, 503}  # no answer at all, or that nothing was accepted


def judge(outcome: dict[str, Any], record_property: Callable[[str, object], None]) -> None:
    """Nothing that was accepted is lost, and who was refused was told the truth."""
    told = f"{outcome['accepted']} accepted, {len(outcome['failed'])} refused, {len(outcome['not sent'])} lost"
    record_property("load", told)
    print(told)
    assert outcome["not sent"] == {}
    assert {status for status, _ in outcome["failed"]} <= HONEST
    assert outcome["accepted"] > 10


@pytest.mark.parametrize(
    ("component", "program"),
    [("api", ""), ("worker", ""), ("data", "postgres"), ("data", "valkey-server"), ("data", "")],
    ids=["the API", "a worker", "PostgreSQL", "Valkey", "both servers with their keeper"],
)
def test_kill_9_under_load_loses_no_mail(
    installed: Release, component: str, program: str, record_property: Callable[[str, object], None]
) -> None:
    installed.declare()
    (pod,) = installed.pods(component)
    before = installed.restarts(component)
    with installed.under_load() as outcome:
        time.sleep(LOAD_SECONDS)
        installed.kill(pod, program)
        if not program:
            until(lambda: installed.restarts(component) > before, "the container to be started again")
        installed.settle(component)
        until(installed.accepts, "mail to be accepted again")
        time.sleep(LOAD_SECONDS)
    judge(outcome, record_property)
    assert installed.pods(component) == {pod}
    assert program == "" or installed.restarts(component) == before, "its keeper starts it again"


@pytest.mark.parametrize("component", ["api", "worker", "data"])
def test_a_pod_that_is_deleted_under_load_is_replaced_and_no_mail_is_lost(
    installed: Release, component: str, record_property: Callable[[str, object], None]
) -> None:
    """PostgreSQL and Valkey find their data again: the messages of before, the clients and their keys."""
    installed.declare()
    (pod,) = installed.pods(component)
    first = installed.send()["id"]
    with installed.under_load() as outcome:
        time.sleep(LOAD_SECONDS)
        installed.kubectl("delete", pod, "--timeout=90s")
        until(lambda: installed.pods(component), "another pod")
        installed.settle(component)
        until(installed.accepts, "mail to be accepted again")
        time.sleep(LOAD_SECONDS)
    judge(outcome, record_property)
    assert installed.message(first)["status"] == "sent"


def asked(installed: Release, pod: str, port: int, path: str, *body: str) -> tuple[int, str, str]:
    """Status, Retry-After and text of the pod itself, which no Service leads to while it is not ready."""
    address = installed.kubectl("get", pod, "-o", "jsonpath={.status.podIP}")
    done = installed.node.run(sys.executable, "-c", ASK, f"http://{address}:{port}{path}", *body)
    status, again, text = json.loads(done.stdout)
    return status, again, text


def test_pods_that_start_while_postgres_is_away_say_so_render_from_their_mount_and_heal(installed: Release) -> None:
    installed.declare()
    edition = f"Edition {secrets.token_hex(4)}"
    installed.apply("EmailTemplate", "receipt", **TEMPLATE | {"source": f"<p>{edition} of {{{{ order }}}}</p>"})
    (api,) = installed.pods("api")
    until(lambda: edition in rendered_by(installed, "api"), "the edit to be live")
    digest = installed.kubectl("get", "emt/receipt", "-o", "jsonpath={.status.digest}")
    until(lambda: digest in installed.kubectl("exec", api, "--", "ls", "/mounted"), "the edit to be in the mount")
    installed.kubectl("scale", "statefulset/mailboat-data", "--replicas=0")
    installed.kubectl("wait", "--for=delete", "pod/mailboat-data-0", "--timeout=60s")
    try:
        pods = {component: another(installed, component) for component in ("api", "worker")}
        until(lambda: asked(installed, pods["api"], 8080, "/livez")[0] == 200, "the API to listen")
        status, _, why = asked(installed, pods["api"], 8080, "/readyz")
        assert (status, "database is away" in why) == (503, True)
        status, again, why = asked(installed, pods["api"], 8080, "/v1/send", json.dumps({"template": "receipt"}))
        assert (status, again, json.loads(why)["code"]) == (503, "1", "unavailable")
        until(
            lambda: "Postgres is away" in asked(installed, pods["worker"], 9090, "/readyz")[2], "the worker to say so"
        )
        assert [ready(installed, pod) for pod in pods.values()] == ["False", "False"]
        assert f"{edition} of A-1" in rendered_by(installed, "api")
    finally:
        installed.kubectl("scale", "statefulset/mailboat-data", "--replicas=1")
    for component in ("data", "api", "worker"):
        installed.settle(component)
    assert {component: installed.pods(component) for component in pods} == {c: {pod} for c, pod in pods.items()}
    assert [installed.restarts(component) for component in pods] == [0, 0]
    assert edition in installed.in_inbox(installed.send()["id"])["html"]


def another(installed: Release, component: str) -> str:
    """The pod that takes the place of the one there is, once it runs."""
    (old,) = installed.pods(component)
    installed.kubectl("delete", old, "--grace-period=1")

    def running() -> set[str]:
        phase = (
            "get",
            "pods",
            "-l",
            f"app.kubernetes.io/component={component}",
            "--field-selector=status.phase=Running",
        )
        return set(installed.kubectl(*phase, "-o", "name").split()) - {old}

    (new,) = until(running, "the next pod to run")
    return str(new)


def ready(installed: Release, pod: str) -> str:
    return installed.kubectl("get", pod, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")


def rendered_by(installed: Release, component: str) -> str:
    """The HTML of the template, as a process of the pod makes it."""
    (pod,) = installed.pods(component)
    return installed.kubectl("exec", pod, "--", "python", "-c", RENDER, installed.namespace, "receipt")
