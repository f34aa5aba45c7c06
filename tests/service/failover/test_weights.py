"""Weighted routes: shares, stability, and what follows the drawn provider."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailboat.db.states import State
from mailboat.domain import identifier, leg
from mailboat.domain.leg import Leg
from mailboat.errors import ConfigurationError
from mailboat.settings import load

WEIGHTS = st.lists(st.integers(0, 9999), min_size=1, max_size=10)


@given(WEIGHTS, st.uuids())
def test_every_provider_is_tried_once_and_the_others_keep_their_order(weights: list[int], message_id: UUID) -> None:
    order = leg.order(weights, message_id)
    assert sorted(order) == list(range(len(weights)))
    assert order[1:] == [place for place in range(len(weights)) if place != order[0]]
    if any(weights):
        assert weights[order[0]] > 0


@given(WEIGHTS, st.uuids())
def test_every_try_of_a_message_draws_the_same(weights: list[int], message_id: UUID) -> None:
    assert leg.order(weights, message_id) == leg.order(list(weights), UUID(str(message_id)))


@given(st.integers(1, 10), st.uuids())
def test_without_weights_the_order_is_strict(count: int, message_id: UUID) -> None:
    assert leg.order([0] * count, message_id) == list(range(count))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=4), st.binary(min_size=14, max_size=14))
def test_the_shares_are_those_of_the_weights(weights: list[int], start: bytes) -> None:
    # Ids that differ by little, as those of one burst do.
    drawn = Counter(leg.order(weights, UUID(bytes=start + n.to_bytes(2, "big")))[0] for n in range(4000))
    for place, weight in enumerate(weights):
        assert drawn[place] / 4000 == pytest.approx(weight / sum(weights), abs=0.06)


def test_an_entry_is_a_name_with_or_without_a_weight() -> None:
    assert leg.parse("ses-new=10") == Leg("ses-new", 10)
    assert leg.parse("relay") == Leg("relay", 0)
    assert leg.names(["ses-new=10", "relay"]) == ["ses-new", "relay"]
    assert leg.twice(["a=1", "b", "a=2"]) == "a"
    assert leg.twice(["a=1", "b"]) is None


@pytest.mark.parametrize("route", ["ses=", "ses=ten", "ses=-1", "ses=10000", "=5", "ses=1=2"])
def test_a_weight_in_the_settings_that_is_none_is_named(route: str) -> None:
    with pytest.raises(ConfigurationError, match="MAILBOAT_ROUTE"):
        load({"MAILBOAT_ROUTE": f"smtp, {route}"})


def test_the_settings_take_weights() -> None:
    assert load({"MAILBOAT_ROUTE": "ses-new=10, smtp=90"}).default_route == ["ses-new=10", "smtp=90"]


async def test_each_provider_gets_its_share_and_retries_stay_with_it(
    new_client: Any, declare: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, query: Any,
    eventually: Any,
) -> None:  # fmt: skip
    declare("new", sink)
    declare("old", backup)
    start_role("worker", settings)
    ids = await send(new_client("shop", route=["old=75", "new=25"]), 200)
    await eventually(lambda: query("select count(*) from queue where state = $1", State.SENT)[0][0] == 200)
    meant = {one for one in ids if leg.order([75, 25], one)[0] == 1}
    assert set(sink.ids) == meant
    assert set(backup.ids) == set(ids) - meant
    assert 20 <= len(meant) <= 80


async def test_mail_of_an_unwell_provider_takes_the_others(
    new_client: Any, declare: Any, send: Any, start_role: Any, settings: Any, sink: Any, backup: Any, query: Any,
    eventually: Any,
) -> None:  # fmt: skip
    declare("new", sink, failures=1, window="60s", cooldown="1h")
    declare("old", backup)
    sink.on_body = lambda _: "421 4.3.2 shutting down"
    start_role("worker", settings)
    ids = await send(new_client("shop", route=["new=50", "old=50"]), 40)
    await eventually(lambda: query("select count(*) from queue where state = $1", State.SENT)[0][0] == 40)
    assert set(backup.ids) == set(ids)


def test_ids_of_one_moment_are_spread() -> None:
    drawn = Counter(leg.order([1, 1], identifier.new())[0] for _ in range(2000))
    assert 700 < drawn[0] < 1300
