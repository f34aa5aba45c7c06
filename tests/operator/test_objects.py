"""From the API server's objects to ours, and back."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from mailboat_crds import check
from mailboat_crds.models import Condition
from mailboat_operator.reconcile import objects
from mailboat_operator.reconcile.marks import Marks
from mailboat_operator.reconcile.objects import CLIENT, Key
from mailboat_operator.reconcile.references import Reference, References

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def body(**changes: Any) -> dict[str, Any]:
    metadata = {
        "name": "storefront",
        "namespace": "shop",
        "uid": "u-1",
        "generation": 4,
        "resourceVersion": "77",
        "annotations": {"team": "shop", "operator.mailboat.dev/last-handled": "{}"},
        "managedFields": [{"manager": "kubectl"}],
    }
    spec = {"senders": ["orders@shop.example.com"], "credentials": {"secretName": "storefront-email"}}
    return {"apiVersion": "mailboat.dev/v1alpha1", "kind": "EmailClient", "metadata": metadata, "spec": spec} | changes


def test_a_resource_knows_its_identity_and_nothing_of_kopfs_notes() -> None:
    found = objects.resource_of(body(status={"conditions": [], "somethingNewer": {"a": 1}}))
    metadata = found.metadata
    assert (metadata.name, metadata.namespace, metadata.uid, metadata.generation) == ("storefront", "shop", "u-1", 4)
    assert metadata.annotations == {"team": "shop"}


def test_a_resource_that_an_older_definition_let_in_is_invalid() -> None:
    with pytest.raises(check.Invalid, match="senders"):
        objects.resource_of(body(spec={"credentials": {"secretName": "s"}}))


def test_values_of_a_secret_that_are_no_text_are_left_out() -> None:
    data = {"user": base64.b64encode(b"ada").decode(), "blob": base64.b64encode(b"\xff\xfe").decode(), "bad": "%%"}
    assert objects.texts({"data": data}) == {"user": "ada"}
    assert objects.texts({}) == {}


def test_a_clients_secret_is_its_own_by_owner_or_by_label() -> None:
    client = objects.resource_of(body())
    made = objects.secret_of(client, {"api-key": "k"})
    assert objects.is_of(made, client)
    assert objects.is_of({"metadata": {"labels": {CLIENT: "storefront"}}}, client)
    assert not objects.is_of({"metadata": {"labels": {CLIENT: "another"}}}, client)
    assert not objects.is_of({"metadata": {}}, client)
    assert objects.texts(made) == {"api-key": "k"}


def test_an_event_is_a_warning_when_something_is_wrong() -> None:
    bad = Condition(
        type="Ready",
        status="False",
        reason="SecretTaken",
        message="x" * 5000,
        last_transition_time="2026-12-01T00:00:00Z",
    )
    event = objects.event_of(body(), bad, "pod-1", NOW)
    assert (event["type"], event["reason"], len(event["message"])) == ("Warning", "SecretTaken", 1024)
    assert event["involvedObject"]["uid"] == "u-1"


def test_a_circuit_that_closes_is_good_news() -> None:
    def condition(kind: str, reason: str) -> Condition:
        moment = "2026-12-01T00:00:00Z"
        return Condition(type=kind, status="True", reason=reason, message="", last_transition_time=moment)

    ready, opened = condition("Ready", "Reconciled"), condition("CircuitOpen", "BreakerOpen")

    def told(before: tuple[Condition, ...], after: tuple[Condition, ...]) -> list[tuple[str, str]]:
        events = [objects.event_of(body(), one, "pod-1", NOW) for one in objects.events_of(before, after)]
        return [(event["type"], event["reason"]) for event in events]

    assert told((ready,), (ready, opened)) == [("Warning", "BreakerOpen")]
    assert told((ready, opened), (ready, opened)) == []
    assert told((ready, opened), (ready,)) == [("Normal", "BreakerClosed")]


def test_only_what_somebody_asks_for_is_news() -> None:
    marks, key = Marks(), Key("EmailClient", "shop", "storefront")
    first: dict[str, Any] = body()["metadata"]

    def is_new(**changes: Any) -> bool:
        return marks.is_new(key, first | changes)

    assert is_new()
    assert not is_new(resourceVersion="78", labels={"argocd.argoproj.io/instance": "mail"})
    assert is_new(generation=5)
    asked = {"mailboat.dev/rotate-requested-at": "now"}
    assert is_new(generation=5, annotations=asked)
    assert not is_new(generation=5, annotations={**asked, "team": "another"})
    assert is_new(generation=5, annotations=asked, uid="u-2"), "made again under the same name"
    marks.forget(key)
    assert is_new(generation=5, annotations=asked, uid="u-2")


def test_references_lead_back_to_what_was_reconciled_with_another_version() -> None:
    references, dkim = References(), Reference("secrets", "shop", "dkim")
    first, second = Key("EmailProvider", "shop", "a"), Key("EmailProvider", "shop", "b")
    references.put(first, {dkim: "1"})
    references.put(second, {dkim: "2"})
    assert references.to(dkim) == {first, second}
    assert references.stale(dkim, "2") == {first}
    references.put(first, {dkim: "2"})
    assert references.stale(dkim, "2") == set()
    references.forget(first)
    references.forget(second)
    assert (references.to(dkim), references.all("secrets"), references.stale(dkim, "3")) == (set(), [], set())
