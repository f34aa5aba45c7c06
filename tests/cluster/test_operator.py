"""The operator as a process, with the chart's rights, on a real API server, PostgreSQL and Valkey."""

from __future__ import annotations

import base64
import itertools
import json
import random
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.operated import ROTATE, Operated
from tests.conftest import Role

from mailboat.registry.mount import Mount
from mailboat.registry.shards import Head
from mailboat_operator.kube import PAGE


def test_a_client_a_template_and_a_provider_become_ready_and_a_mail_goes(operated: Operated, until: Any) -> None:
    operated.provider("relay")
    operated.client(route=["relay"], quota={"monthly": 1000})
    operated.template()
    for kind, name in (("emp", "relay"), ("emc", "storefront"), ("emt", "receipt")):
        operated.until(kind, name, "Reconciled")
    operated.part("worker")
    answer = operated.send()
    assert answer.status == 202, answer.body
    path = f"/v1/messages/{answer.body['id']}"
    until(lambda: operated.ask("GET", path).body["status"] == "sent", "the mail to be sent")
    columns = operated.cluster.kubectl("get", "mailboat", "-n", operated.namespace).stdout.split()
    assert {"READY", "SUSPENDED", "USED", "QUOTA", "REVISION", "REACHABLE", "CIRCUIT"} <= set(columns)


def test_the_credentials_secret_belongs_to_the_client_and_comes_back_when_it_is_deleted(
    operated: Operated, until: Any
) -> None:
    operated.client()
    operated.until("emc", "storefront", "Reconciled")
    secret = operated.get("secret", "storefront-email")
    (owner,) = secret["metadata"]["ownerReferences"]
    assert owner["uid"] == operated.get("emc", "storefront")["metadata"]["uid"]
    first = operated.credentials()
    assert set(first) == {"api-key", "api-secret", "url"}
    assert first["url"] == "http://mailboat-api.test.svc"
    assert operated.ask("GET", "/v1/templates").status == 200
    operated.cluster.kubectl("delete", "secret", "storefront-email", "-n", operated.namespace)
    until(lambda: operated.credentials().get("api-key", first["api-key"]) != first["api-key"], "another key")
    assert operated.ask("GET", "/v1/templates").status == 200


def test_a_secret_that_somebody_else_made_is_left_alone(operated: Operated, query: Any) -> None:
    operated.secret("storefront-email", password="theirs")
    operated.client()
    found = operated.until("emc", "storefront", "SecretTaken")
    assert "'storefront-email'" in found["message"]
    assert operated.credentials() == {"password": "theirs"}
    operated.cluster.kubectl("delete", "secret", "storefront-email", "-n", operated.namespace)
    operated.until("emc", "storefront", "Reconciled")
    assert set(operated.credentials()) == {"api-key", "api-secret", "url"}


def test_both_keys_work_during_the_overlap_of_a_rotation_and_then_only_the_new_one(
    operated: Operated, until: Any
) -> None:
    operated.client(credentials={"secretName": "storefront-email", "rotation": {"overlap": "8s"}})
    operated.until("emc", "storefront", "Reconciled")
    old = operated.credentials()
    operated.part("api")
    operated.annotate("emc", "storefront", f"{ROTATE}=2026-12-01")
    until(lambda: "previous-api-key" in operated.credentials(), "the pair of before")
    new = operated.credentials()
    assert (new["previous-api-key"], new["previous-api-secret"]) == (old["api-key"], old["api-secret"])
    assert [operated.ask("GET", "/v1/templates", pair=pair).status for pair in (old, new)] == [200, 200]
    status = operated.get("emc", "storefront")["status"]
    assert [(key["id"], key["state"]) for key in status["keys"]] == [
        (new["api-key"], "active"),
        (old["api-key"], "overlap"),
    ]
    assert status["lastHandledRotateAt"] == "2026-12-01"
    until(lambda: "previous-api-key" not in operated.credentials(), "the overlap to end")
    until(lambda: operated.ask("GET", "/v1/templates", pair=old).status == 401, "the old key to end")
    assert operated.credentials() == {name: new[name] for name in ("api-key", "api-secret", "url")}
    assert operated.ask("GET", "/v1/templates").status == 200


def test_a_broken_template_says_where_and_the_last_good_revision_stays_live(operated: Operated, query: Any) -> None:
    operated.client()
    operated.template()
    good = operated.until("emt", "receipt", "Reconciled") and operated.get("emt", "receipt")["status"]["digest"]
    operated.until("emc", "storefront", "Reconciled")
    operated.template("<p>\n  Order {{ order }</p>")
    broken = operated.until("emt", "receipt", "SourceBroken")
    assert broken["status"] == "False"
    assert broken["message"].startswith("index.html.j2:2:")
    assert operated.condition("emt", "receipt", "Published")["reason"] == "OlderRevisionLive"
    assert operated.send().status == 202
    assert [row["revision"] for row in query("select revision from messages")] == [good]
    operated.template("<p>Mended {{ order }}</p>")
    operated.until("emt", "receipt", "Reconciled")


def test_an_edit_is_in_the_next_mail_within_moments(operated: Operated, query: Any, record_property: Any) -> None:
    """Twenty times, from the API server's answer to the edit until a mail is accepted with it."""
    operated.client(rateLimit={"perMinute": 1_000_000, "burst": 100_000})
    operated.template()
    operated.until("emt", "receipt", "Reconciled")
    operated.until("emc", "storefront", "Reconciled")
    pair, took = operated.credentials(), []
    for number in range(21):
        before = query("select digest from template_heads where name = 'receipt'")[0]["digest"]
        operated.template(f"<p>Edit {number} of {{{{ order }}}}</p>")
        edited = time.monotonic()
        while _revision(operated, query, pair) == before:
            assert time.monotonic() - edited < 30
            time.sleep(0.02)
        took.append(time.monotonic() - edited)
    del took[0]  # the operator has only just begun to watch
    took.sort()
    figures = f"edit to accepted mail: p50 {took[9]:.3f} s, slowest of 20 {took[-1]:.3f} s"
    record_property("edit_to_mail", figures)
    print(figures)


def _revision(operated: Operated, query: Any, pair: Any) -> str:
    """Send a mail; the revision that it was accepted with."""
    answer = operated.send(pair)
    assert answer.status == 202, answer.body
    (row,) = query("select revision from messages where id = $1", answer.body["id"])
    return str(row["revision"])


def test_a_source_in_a_config_map_is_followed(operated: Operated, until: Any) -> None:
    def source(text: str) -> dict[str, Any]:
        metadata = {"name": "sources", "namespace": operated.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"receipt": text}}

    manifest = operated.manifest(
        "EmailTemplate",
        "receipt",
        {"subject": "Receipt", "sourceRef": {"name": "sources", "key": "receipt"}, "example": {}},
    )
    operated.cluster.apply(manifest)
    assert "ConfigMap 'sources' is not there" in operated.until("emt", "receipt", "SourceNotFound")["message"]
    operated.cluster.apply(source("<p>One</p>"))
    operated.until("emt", "receipt", "Reconciled")
    first = operated.get("emt", "receipt")["status"]["digest"]
    operated.cluster.apply(source("<p>Two</p>"))
    until(lambda: operated.get("emt", "receipt")["status"]["digest"] != first, "the second source")


def test_what_is_live_is_in_the_config_maps_that_pods_mount(operated: Operated, until: Any, tmp_path: Path) -> None:
    def mounted(name: str) -> str | None:
        """The digest that a pod would find now."""
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        listed = json.loads(operated.cluster.kubectl("get", "cm", "-n", operated.namespace, "-o", "json").stdout)
        for found in listed["items"]:
            for file, packed in (found.get("binaryData") or {}).items():
                (folder / file).write_bytes(base64.b64decode(packed))
        revision = Mount(str(folder)).own(operated.namespace, name)
        return revision and revision.digest

    def live(name: str) -> str:
        return str(operated.get("emt", name)["status"]["digest"])

    operated.template()
    operated.template(name="other")
    for name in ("receipt", "other"):
        operated.until("emt", name, "Reconciled")
    until(lambda: (mounted("receipt"), mounted("other")) == (live("receipt"), live("other")), "both to be there")
    operated.template("<p>Edited {{ order }}</p>")
    operated.delete("emt", "other")
    operated.until("emt", "receipt", "Reconciled")
    until(lambda: (mounted("receipt"), mounted("other")) == (live("receipt"), None), "the edit, and the other to go")


def test_a_template_without_room_in_its_config_map_is_live_and_told(operated: Operated, query: Any, until: Any) -> None:
    def is_neighbour(name: str) -> bool:
        return Head(operated.namespace, name, "", False).shard == 0

    names = list(itertools.islice(filter(is_neighbour, (f"long-{n}" for n in itertools.count())), 4))
    for number, name in enumerate(names):
        noise = base64.b64encode(random.Random(number).randbytes(147_000)).decode()
        operated.template(f"<!-- {noise} -->{{{{ order }}}}", name)
    for name in names:
        operated.until("emt", name, "Reconciled")
    told = "jsonpath={range .items[?(@.reason=='ShardFull')]}{.type} {.involvedObject.name}{'\\n'}{end}"

    def events() -> list[str]:
        found = operated.cluster.kubectl("get", "events", "-n", operated.namespace, "-o", told)
        return found.stdout.splitlines()

    last = max(names)  # they are packed by name
    until(lambda: events() == [f"Warning {last}"], "the event")
    assert operated.condition("emt", last)["status"] == "True"
    assert len(query("select * from template_heads")) == 4


def test_a_quota_that_is_used_up_is_refused_and_stands_in_the_status(operated: Operated, until: Any) -> None:
    operated.client(quota={"monthly": 1})
    operated.template()
    operated.until("emc", "storefront", "Reconciled")
    operated.until("emt", "receipt", "Reconciled")
    assert operated.send().status == 202
    refused = operated.send()
    assert (refused.status, refused.body["code"]) == (429, "quota_exceeded")
    operated.annotate("emc", "storefront", "mailboat.dev/reconcile-requested-at=now")
    operated.until("emc", "storefront", "QuotaUsed", "QuotaExceeded")
    usage = operated.get("emc", "storefront")["status"]["usage"]
    assert (usage["accepted"], usage["remaining"]) == (1, 0)
    operated.client(quota={"monthly": 2})
    until(lambda: operated.send().status == 202, "the raised quota")


def test_the_longest_source_fits_beside_the_annotations(operated: Operated) -> None:
    operated.template("<p>{{ order }}</p>" + "x" * 199_000)
    operated.until("emt", "receipt", "Reconciled")
    operated.template("<p>{{ order }}</p>" + "y" * 199_000)
    operated.until("emt", "receipt", "Reconciled")
    assert operated.get("emt", "receipt")["metadata"].get("annotations", {}) == {}
    operated.delete("emt", "receipt")


def test_a_providers_secret_is_missed_read_and_read_again_when_it_changes(
    operated: Operated, sink: Any, query: Any, until: Any
) -> None:
    signed = {"domain": "shop.example.com", "secretRef": {"name": "dkim"}}
    operated.provider("relay", smtp={"host": "127.0.0.1", "port": sink.port, "tls": "none", "dkim": signed})
    assert "'dkim'" in operated.until("emp", "relay", "SecretNotFound")["message"]
    operated.secret("dkim", **{"private-key": "not a key at all"})
    assert "not a key" not in operated.until("emp", "relay", "SecretIncomplete")["message"]
    operated.secret("dkim", **{"private-key": (operated.cluster.folder / "sa.key").read_text()})
    operated.until("emp", "relay", "Reconciled")
    sealed = query("select sealed from providers")[0]["sealed"]
    operated.secret("dkim", **{"private-key": (operated.cluster.folder / "server.key").read_text()})
    until(lambda: query("select sealed from providers")[0]["sealed"] != sealed, "the new key in the record")


def test_a_provider_that_does_not_answer_is_tried_again_until_it_does(
    operated: Operated, free_port: Callable[[], int]
) -> None:
    operated.provider("relay", smtp={"host": "127.0.0.1", "port": free_port(), "tls": "none"})
    operated.until("emp", "relay", "Unreachable")
    assert operated.condition("emp", "relay", "Reconciling")["status"] == "True"


def test_an_open_circuit_is_in_the_status_while_it_is_open_and_told_once(
    operated: Operated, query: Any, until: Any
) -> None:
    operated.provider("relay")
    operated.until("emp", "relay", "Reconciled")
    key, add = (
        f"{operated.namespace}/relay",
        "insert into circuit_changes (provider, state, reason) values ($1, $2, $3)",
    )
    query(add, key, "open", "454 too many connections")
    found = operated.until("emp", "relay", "BreakerOpen", "CircuitOpen")
    assert "454 too many connections" in found["message"]
    assert operated.get("emp", "relay")["status"]["circuit"] == "open"
    assert operated.condition("emp", "relay")["status"] == "True", "its spec is in force all the same"
    query(add, key, "half-open", "one message tries")
    until(lambda: operated.get("emp", "relay")["status"]["circuit"] == "half-open", "the probe")
    query(add, key, "closed", "it answers again")
    until(lambda: operated.condition("emp", "relay", "CircuitOpen") == {}, "the condition to go")
    assert operated.get("emp", "relay")["status"]["circuit"] == "closed"
    told = "jsonpath={range .items[*]}{.type} {.reason}{'\\n'}{end}"
    events = operated.cluster.kubectl("get", "events", "-n", operated.namespace, "-o", told).stdout.splitlines()
    events = [event for event in events if event != "Normal Reconciled"]  # no news, if the first look found it
    assert sorted(events) == ["Normal BreakerClosed", "Warning BreakerOpen"]


def test_a_suspended_client_is_refused_and_comes_back_with_the_same_key(operated: Operated, until: Any) -> None:
    operated.client()
    operated.template()
    operated.until("emc", "storefront", "Reconciled")
    operated.until("emt", "receipt", "Reconciled")
    pair = operated.credentials()
    assert operated.send().status == 202
    operated.client(suspended=True)
    operated.until("emc", "storefront", "Suspended", "Suspended")
    until(lambda: operated.send().status == 403, "the refusal")
    operated.client(suspended=False)
    until(lambda: operated.send().status == 202, "the mail to be taken again")
    assert operated.credentials() == pair


def test_a_deleted_client_can_send_no_more_and_its_secret_goes_with_it(
    operated: Operated, query: Any, until: Any
) -> None:
    operated.client()
    operated.until("emc", "storefront", "Reconciled")
    pair = operated.credentials()
    assert operated.ask("GET", "/v1/templates").status == 200
    operated.delete("emc", "storefront")
    until(lambda: operated.ask("GET", "/v1/templates", pair=pair).status == 401, "the key to end")
    until(lambda: operated.credentials() == {}, "the Secret to go")
    assert [tuple(row) for row in query("select name, suspended from clients")] == [("storefront", True)]


def test_a_client_with_the_policy_delete_leaves_no_row(operated: Operated, query: Any, until: Any) -> None:
    operated.client(deletionPolicy="Delete")
    operated.until("emc", "storefront", "Reconciled")
    operated.delete("emc", "storefront")
    until(lambda: query("select name from clients") == [], "the row to go")


def test_a_client_that_is_made_again_does_not_bring_its_old_keys_back(operated: Operated, until: Any) -> None:
    operated.client()
    operated.until("emc", "storefront", "Reconciled")
    old = operated.credentials()
    assert operated.ask("GET", "/v1/templates").status == 200
    operated.leader.stop()
    operated.delete("emc", "storefront")
    operated.client()
    operated.operator()
    until(lambda: operated.credentials().get("api-key", old["api-key"]) != old["api-key"], "another key")
    until(lambda: operated.ask("GET", "/v1/templates", pair=old).status == 401, "the old key to end")
    assert operated.ask("GET", "/v1/templates").status == 200


def test_the_deletion_of_a_namespace_ends(operated: Operated, query: Any, until: Any) -> None:
    """Also while the operator loses the rights that it has in there."""
    operated.client()
    operated.template()
    operated.provider()
    for kind, name in (("emp", "relay"), ("emc", "storefront"), ("emt", "receipt")):
        operated.until(kind, name, "Reconciled")
    operated.cluster.kubectl("delete", "namespace", operated.namespace, "--timeout=30s")
    until(lambda: query("select kind from declared") == [], "the records to go")


def test_an_event_is_told_once_and_not_again(operated: Operated) -> None:
    operated.template("<p>{{ order }</p>")
    operated.until("emt", "receipt", "SourceBroken")
    for number in range(3):
        operated.annotate("emt", "receipt", f"mailboat.dev/reconcile-requested-at=at-{number}")
        _until_handled(operated, f"at-{number}")
    listed = operated.cluster.kubectl("get", "events", "-n", operated.namespace, "-o", "jsonpath={.items[*].reason}")
    assert listed.stdout.split() == ["SourceBroken"]


def _until_handled(operated: Operated, request: str) -> None:
    deadline = time.monotonic() + 30
    while operated.get("emt", "receipt")["status"].get("lastHandledReconcileAt") != request:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_deleted_while_there_was_no_operator_is_found_by_the_next(
    operated: Operated, query: Any, until: Any
) -> None:
    operated.template()
    operated.until("emt", "receipt", "Reconciled")
    operated.leader.stop()
    operated.delete("emt", "receipt")
    assert len(query("select * from template_heads")) == 1
    operated.operator()
    until(lambda: query("select * from template_heads") == [], "the head to go")


def test_a_namespace_full_of_resources_is_ready_at_an_operators_first_look(operated: Operated, until: Any) -> None:
    """More than the API server gives at once. What is good is no news then; what is broken gets its event."""
    operated.leader.stop()
    spec = {"subject": "Receipt", "source": "<p>{{ order }}</p>", "example": {"order": "A-1"}}
    manifests = [operated.manifest("EmailTemplate", f"receipt-{n}", spec) for n in range(PAGE + 5)]
    operated.cluster.apply(*manifests, operated.manifest("EmailTemplate", "broken", spec | {"source": "{{ order }"}))
    leader = operated.operator()
    until(lambda: _looked_at(leader) >= len(manifests) + 1, "the first look")
    columns = "custom-columns=:.metadata.name,:.status.conditions[?(@.type=='Ready')].reason"
    listed = operated.cluster.kubectl("get", "emt", "-n", operated.namespace, "--no-headers", "-o", columns)
    found = dict(line.split() for line in listed.stdout.splitlines())
    assert found == {"broken": "SourceBroken"} | {f"receipt-{n}": "Reconciled" for n in range(PAGE + 5)}
    told = operated.cluster.kubectl("get", "events", "-n", operated.namespace, "-o", "jsonpath={.items[*].reason}")
    assert told.stdout.split() == ["SourceBroken"]


def _looked_at(operator: Role) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.settings.port}/metrics", timeout=5) as answer:
        found = re.search(r'kind="EmailTemplate",outcome="done"} (\d+)', answer.read().decode())
    return int(found[1]) if found else 0


def test_rows_that_were_lost_come_back_with_the_sweep(operated: Operated, query: Any, until: Any) -> None:
    operated.leader.stop()
    operated.operator(sweep_seconds=2.0)
    operated.client(suspended=True)
    operated.until("emc", "storefront", "Suspended", "Suspended")
    query("update clients set suspended = false")
    until(lambda: query("select suspended from clients")[0]["suspended"], "the drift to be mended")


def test_no_log_line_holds_a_secret(operated: Operated) -> None:
    operated.client()
    operated.until("emc", "storefront", "Reconciled")
    held = operated.credentials()
    assert held["api-secret"] not in operated.leader.log.read_text()
