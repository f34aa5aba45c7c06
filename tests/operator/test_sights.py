"""Objects as a listing had them: used as long as they are the newest, and no longer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mailboat.settings import Settings
from mailboat_operator.reconcile.objects import Key
from mailboat_operator.reconciler import Reconciler, Sight
from mailboat_operator.records import Records

KEY = Key("EmailTemplate", "shop", "receipt")


def body(generation: int = 1, source: str = "<p>{{ order }}</p>") -> dict[str, Any]:
    metadata = {"name": "receipt", "namespace": "shop", "uid": "u-1", "generation": generation, "resourceVersion": "7"}
    spec = {"subject": "Receipt", "source": source, "example": {"order": "A-1"}}
    return {"apiVersion": "mailboat.dev/v1alpha1", "kind": "EmailTemplate", "metadata": metadata, "spec": spec}


class OneObject:
    """An API server that has this one object, or none; what it was asked and told."""

    def __init__(self, there: dict[str, Any] | None) -> None:
        self.there = there
        self.asked: list[str] = []
        self.statuses: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    async def get(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path)
        return self.there

    async def patch(self, path: str, patch: dict[str, Any], **_: Any) -> None:
        self.statuses.append(patch["status"])

    async def create(self, path: str, event: dict[str, Any]) -> None:
        self.events.append(event)


@pytest.fixture
async def records(dsn: str) -> Any:
    records = Records(Settings(database_url=dsn, render_processes=1))
    yield records
    await records.close()


def reconciler(kube: Any, records: Records) -> Reconciler:
    return Reconciler(kube, records, lambda: None, lambda _: None)


def generations(query: Any) -> list[int]:
    return [row["generation"] for row in query("select generation from declared")]


async def test_what_a_listing_had_is_not_asked_for_again(records: Records, query: Any) -> None:
    kube = OneObject(None)
    await reconciler(kube, records).reconcile(KEY, Sight(body(), time.monotonic()))
    assert kube.asked == []
    assert generations(query) == [1]
    assert [status["observedGeneration"] for status in kube.statuses] == [1]


async def test_an_edit_that_was_seen_after_the_listing_began_is_not_undone_by_it(records: Records, query: Any) -> None:
    kube = OneObject(body(2, "<p>Edited {{ order }}</p>"))
    at = time.monotonic()
    work = reconciler(kube, records)
    await work.reconcile(KEY)
    await work.reconcile(KEY, Sight(body(), at))
    assert generations(query) == [2]


async def test_what_was_deleted_after_the_listing_began_does_not_come_back(records: Records, query: Any) -> None:
    kube = OneObject(None)
    at = time.monotonic()
    work = reconciler(kube, records)
    await work.reconcile(KEY, Sight(body(), at))
    work.gone(KEY, "u-1")
    await work.reconcile(KEY, Sight(body(), at))
    assert generations(query) == []


async def test_a_later_listing_counts_again(records: Records) -> None:
    kube = OneObject(body(2))
    work = reconciler(kube, records)
    await work.reconcile(KEY)
    work.forget_before(time.monotonic())
    await work.reconcile(KEY, Sight(body(2), time.monotonic()))
    assert len(kube.asked) == 1


@pytest.mark.parametrize(
    ("source", "told"), [("<p>{{ order }}</p>", []), ("<p>{{ order }</p>", [("Warning", "SourceBroken")])]
)
async def test_a_first_look_tells_of_what_is_broken_and_not_of_what_is_good(
    records: Records, source: str, told: list[tuple[str, str]]
) -> None:
    kube = OneObject(None)
    await reconciler(kube, records).reconcile(KEY, Sight(body(source=source), time.monotonic(), told=False))
    assert [(event["type"], event["reason"]) for event in kube.events] == told
