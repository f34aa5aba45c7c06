"""EmailClients in PostgreSQL: rows, keys with overlap, what their Secret holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bcrypt
import pytest

from mailboat.declare.inputs import Inputs

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
NOTHING = Inputs()


def works(query: Any, secret: dict[str, str], prefix: str = "", at: datetime | None = None) -> bool:
    rows = query(
        "select secret_hash, expires_at, revoked_at from client_keys where key = $1", secret[f"{prefix}api-key"]
    )
    row = rows[0]
    ended = row["revoked_at"] is not None or (row["expires_at"] is not None and row["expires_at"] <= (at or NOW))
    return not ended and bcrypt.checkpw(secret[f"{prefix}api-secret"].encode(), row["secret_hash"].encode())


async def test_a_new_client_gets_its_row_and_a_key(declarer: Any, client: Any, query: Any, ready: Any) -> None:
    outcome = await declarer.apply(client(rateLimit={"perMinute": 60}, quota={"monthly": 10}), NOTHING, None, NOW)
    assert outcome.change == "created"
    assert set(outcome.secret) == {"api-key", "api-secret", "url"}
    assert works(query, outcome.secret)
    (row,) = query("select namespace, name, rate_per_minute, rate_burst, quota_monthly, senders, lane from clients")
    assert tuple(row) == ("shop", "storefront", 60, 100, 10, ["orders@shop.example.com"], 1)
    assert ready(outcome) == ("True", "Reconciled", "The client may send.")
    assert [key.id for key in outcome.status.keys] == [outcome.secret["api-key"]]
    assert (outcome.status.usage.month, outcome.status.usage.remaining) == ("2026-12", 10)


async def test_applied_again_nothing_changes(declarer: Any, client: Any, query: Any) -> None:
    first = await declarer.apply(client(), NOTHING, None, NOW)
    before = query("select * from clients"), query("select * from client_keys"), query("select count(*) from audit")
    second = await declarer.apply(client(), NOTHING, first.secret, NOW)
    assert (second.change, second.secret, second.events) == ("unchanged", None, ())
    assert second.status == first.status
    assert (
        query("select * from clients"),
        query("select * from client_keys"),
        query("select count(*) from audit"),
    ) == before


async def test_a_changed_spec_changes_the_row_and_keeps_the_key(declarer: Any, client: Any, query: Any) -> None:
    first = await declarer.apply(client(), NOTHING, None, NOW)
    second = await declarer.apply(client(lane="bulk"), NOTHING, first.secret, NOW)
    assert (second.change, second.secret, second.status.observed_generation) == ("configured", None, 2)
    assert [row["lane"] for row in query("select lane from clients")] == [2]


async def test_after_a_rotation_both_keys_work_until_the_overlap_ends(declarer: Any, client: Any, query: Any) -> None:
    spec = client(credentials={"secretName": "storefront-email", "rotation": {"interval": "720h", "overlap": "24h"}})
    first = await declarer.apply(spec, NOTHING, None, NOW)
    later = NOW + timedelta(days=30)
    assert (await declarer.apply(spec, NOTHING, first.secret, later - timedelta(seconds=1))).secret is None
    second = await declarer.apply(spec, NOTHING, first.secret, later)
    assert second.secret["previous-api-key"] == first.secret["api-key"]
    assert second.secret["api-key"] != first.secret["api-key"]
    assert works(query, second.secret, at=later)
    assert works(query, second.secret, "previous-", at=later + timedelta(hours=23))
    assert not works(query, second.secret, "previous-", at=later + timedelta(hours=24))
    assert [key.state for key in second.status.keys] == ["active", "overlap"]
    third = await declarer.apply(spec, NOTHING, second.secret, later + timedelta(hours=25))
    assert set(third.secret) == {"api-key", "api-secret", "url"}
    assert third.secret["api-key"] == second.secret["api-key"]


async def test_the_annotation_rotates_once(declarer: Any, resource: Any) -> None:
    def asked(value: str) -> Any:
        return resource(
            "EmailClient",
            "storefront",
            annotations={"mailboat.dev/rotate-requested-at": value},
            senders=["*"],
            credentials={"secretName": "storefront-email"},
        )

    first = await declarer.apply(asked("1"), NOTHING, None, NOW)
    assert (await declarer.apply(asked("1"), NOTHING, first.secret, NOW)).secret is None
    second = await declarer.apply(asked("2"), NOTHING, first.secret, NOW)
    assert second.secret["previous-api-key"] == first.secret["api-key"]
    assert second.status.last_handled_rotate_at == "2"
    assert (await declarer.apply(asked("2"), NOTHING, second.secret, NOW)).secret is None


@pytest.mark.parametrize("held", [None, {}, {"api-key": "mb_1", "api-secret": "x"}])
async def test_a_secret_that_is_lost_or_changed_gets_a_new_key(
    declarer: Any, client: Any, query: Any, held: Any
) -> None:
    first = await declarer.apply(client(), NOTHING, None, NOW)
    second = await declarer.apply(client(), NOTHING, held, NOW)
    assert second.secret["api-key"] != first.secret["api-key"]
    assert works(query, second.secret)
    assert works(query, first.secret, at=NOW + timedelta(hours=23))  # who has it goes on for the overlap


async def test_a_secret_whose_half_was_changed_gets_a_new_key(declarer: Any, client: Any) -> None:
    first = await declarer.apply(client(), NOTHING, None, NOW)
    second = await declarer.apply(client(), NOTHING, first.secret | {"api-secret": "guess"}, NOW)
    assert second.secret["api-key"] != first.secret["api-key"]


async def test_what_others_put_into_the_secret_is_left_alone(declarer: Any, client: Any) -> None:
    first = await declarer.apply(client(), NOTHING, None, NOW)
    assert (await declarer.apply(client(), NOTHING, first.secret | {"note": "ours"}, NOW)).secret is None


async def test_a_suspended_client_says_so_and_its_row_too(declarer: Any, client: Any, query: Any, ready: Any) -> None:
    outcome = await declarer.apply(client(suspended=True), NOTHING, None, NOW)
    assert ready(outcome, "Suspended")[:2] == ("True", "Suspended")
    assert query("select suspended from clients")[0]["suspended"]
    outcome = await declarer.apply(client(), NOTHING, outcome.secret, NOW)
    assert ready(outcome, "Suspended") == ("", "", "")


async def test_a_used_up_quota_is_a_condition(declarer: Any, client: Any, query: Any, ready: Any) -> None:
    first = await declarer.apply(client(quota={"monthly": 5}), NOTHING, None, NOW)
    query("insert into usage select id, date '2026-12-01', 5 from clients")
    outcome = await declarer.apply(client(quota={"monthly": 5}), NOTHING, first.secret, NOW)
    assert ready(outcome, "QuotaExceeded")[:2] == ("True", "QuotaUsed")
    assert outcome.status.usage.remaining == 0


async def test_a_sender_that_can_be_nobody_is_named_and_the_row_stays(
    declarer: Any, client: Any, query: Any, ready: Any
) -> None:
    await declarer.apply(client(), NOTHING, None, NOW)
    outcome = await declarer.apply(client(senders=["a..b@shop.example.com"]), NOTHING, None, NOW)
    status, reason, message = ready(outcome)
    assert (status, reason) == ("False", "SpecInvalid")
    assert message.startswith("spec.senders[0]: 'a..b@shop.example.com' can be nobody's address")
    assert ready(outcome, "Stalled")[0] == "True"
    assert query("select senders from clients")[0]["senders"] == ["orders@shop.example.com"]


async def test_a_missing_webhook_secret_is_named(declarer: Any, client: Any, ready: Any) -> None:
    hook = {"url": "https://shop.example.com/hook", "secretRef": {"name": "hook", "key": "secret"}}
    outcome = await declarer.apply(client(webhooks=[hook]), NOTHING, None, NOW)
    assert ready(outcome)[:2] == ("False", "SecretNotFound")
    assert "'hook'" in ready(outcome)[2]
    outcome = await declarer.apply(
        client(webhooks=[hook]), Inputs({"hook": {"secret": "whsec_x"}}), outcome.secret, NOW
    )
    assert ready(outcome)[0] == "True"


async def test_a_webhook_secret_without_the_key_is_named(declarer: Any, client: Any, ready: Any, query: Any) -> None:
    hook = {"url": "https://shop.example.com/hook", "secretRef": {"name": "hook", "key": "secret"}}
    for content in ({"token": "x"}, {"secret": ""}):
        outcome = await declarer.apply(client(webhooks=[hook]), Inputs({"hook": content}), None, NOW)
        status, reason, message = ready(outcome)
        assert (status, reason) == ("False", "SecretIncomplete")
        assert message.startswith("The webhook https://shop.example.com/hook needs the key 'secret' of Secret 'hook'")
        assert ready(outcome, "Stalled")[0] == "True"
    (row,) = query("select paused_reason from webhook_endpoints")
    assert row["paused_reason"] == message
    await declarer.apply(client(webhooks=[hook]), Inputs({"hook": {"secret": "whsec_x"}}), outcome.secret, NOW)
    assert [row[0] for row in query("select paused_at from webhook_endpoints")] == [None]


async def test_a_route_to_a_provider_that_is_not_there_is_a_condition_until_it_is(
    declarer: Any, client: Any, provider: Any, ready: Any, resource: Any
) -> None:
    outcome = await declarer.apply(client(route=["relay=90", "missing=10", "smtp"]), NOTHING, None, NOW)
    status, reason, message = ready(outcome, "RouteIncomplete")
    assert (status, reason) == ("True", "ProviderNotFound")
    assert message.startswith("The route names 'relay' and 'missing', and namespace shop has no such EmailProvider")
    assert "mail takes the others" in message
    assert ready(outcome)[0] == "True"
    await declarer.apply(provider("relay", inbox={}), NOTHING)
    await declarer.apply(resource("EmailProvider", "missing", namespace="default", inbox={}), NOTHING)
    outcome = await declarer.apply(client(route=["relay", "missing"]), NOTHING, outcome.secret, NOW)
    assert "'missing'" in ready(outcome, "RouteIncomplete")[2]  # of default, and not for others
    shared = {"inbox": {}, "allowedNamespaces": {"names": ["shop"]}}
    await declarer.apply(resource("EmailProvider", "missing", namespace="default", **shared), NOTHING)
    outcome = await declarer.apply(client(route=["relay", "missing"]), NOTHING, outcome.secret, NOW)
    assert ready(outcome, "RouteIncomplete") == ("", "", "")
    outcome = await declarer.apply(client(route=["nowhere"]), NOTHING, outcome.secret, NOW)
    assert "its mail has nowhere to go" in ready(outcome, "RouteIncomplete")[2]


async def test_a_provider_twice_in_a_route_is_a_fault(declarer: Any, client: Any, ready: Any) -> None:
    outcome = await declarer.apply(client(route=["smtp=10", "smtp=90"]), NOTHING, None, NOW)
    assert ready(outcome) == ("False", "SpecInvalid", "spec.route names 'smtp' twice: keep one of them.")


async def test_retained_a_client_stays_suspended_and_goes_on_when_applied_again(
    declarer: Any, client: Any, query: Any
) -> None:
    first = await declarer.apply(client(), NOTHING, None, NOW)
    identifier = query("select id from clients")[0]["id"]
    assert await declarer.delete("EmailClient", "shop", "storefront", "Retain")
    assert query("select suspended from clients")[0]["suspended"]
    assert not works(query, first.secret)
    assert not await declarer.delete("EmailClient", "shop", "storefront", "Retain")
    again = await declarer.apply(client(), NOTHING, first.secret, NOW)
    assert works(query, again.secret)
    assert [tuple(row) for row in query("select id, suspended from clients")] == [(identifier, False)]


async def test_deleted_a_client_is_gone_with_its_keys(declarer: Any, client: Any, query: Any) -> None:
    await declarer.apply(client(), NOTHING, None, NOW)
    await declarer.delete("EmailClient", "shop", "storefront", "Delete")
    for table in ("clients", "client_keys", "client_secrets", "declared"):
        assert query(f"select * from {table}") == []


async def test_no_secret_is_in_any_row(declarer: Any, client: Any, query: Any) -> None:
    hook = {"url": "https://shop.example.com/hook", "secretRef": {"name": "hook", "key": "secret"}}
    outcome = await declarer.apply(client(webhooks=[hook]), Inputs({"hook": {"secret": "whsec_hush"}}), None, NOW)
    tables = [row["tablename"] for row in query("select tablename from pg_tables where schemaname = 'public'")]
    everything = "".join(str([dict(row) for row in query(f"select * from {table}")]) for table in tables)
    assert outcome.secret["api-key"] in everything
    assert outcome.secret["api-secret"] not in everything
    assert "whsec_hush" not in everything
