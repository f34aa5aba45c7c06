"""Endpoints that an EmailClient declares, beside those that its client made."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from mailboat.declare.clients import wanted_endpoints
from mailboat.declare.inputs import Inputs
from mailboat.declare.seal import Sealer
from mailboat.delivery import endpoints as declared
from mailboat.delivery.endpoints import Endpoints
from mailboat.errors import Problem
from mailboat_crds.models import ClientCredentials, EmailClientSpec, KeyRef, Webhook

URL, OTHER = "https://shop.example.com/a", "https://shop.example.com/b"


def spec(*webhooks: Webhook) -> EmailClientSpec:
    return EmailClientSpec(("*@shop.example.com",), ClientCredentials("key"), webhooks=webhooks)


async def test_declared_endpoints_follow_their_resource_and_others_stay(
    endpoints: Endpoints, pool: asyncpg.Pool, client: Any, sealing_key: str
) -> None:
    sealer = Sealer(sealing_key)

    async def apply(secret: str, *webhooks: Webhook) -> bool:
        wanted = wanted_endpoints(spec(*webhooks), Inputs({"hook": {"secret": secret}}))
        async with pool.acquire() as connection:
            return await declared.declare(connection, client.id, wanted, sealer.seal, sealer.open)

    await endpoints.add(OTHER, [])
    hook = Webhook(URL, KeyRef("hook", "secret"), ("bounced",))
    assert await apply("one", hook)
    assert not await apply("one", hook)
    assert await apply("two", hook)  # another secret
    assert {(one["url"], one["origin"]) for one in await endpoints.list()} == {(URL, "resource"), (OTHER, "api")}
    assert await apply("two")
    assert [one["url"] for one in await endpoints.list()] == [OTHER]


async def test_an_endpoint_whose_secret_lacks_the_key_waits_for_it_and_says_so(
    endpoints: Endpoints, pool: asyncpg.Pool, client: Any, sealing_key: str, query: Any
) -> None:
    sealer, hook = Sealer(sealing_key), Webhook(URL, KeyRef("hook", "secret"))

    async def apply(**secret: str) -> bool:
        wanted = wanted_endpoints(spec(hook), Inputs({"hook": secret}))
        async with pool.acquire() as connection:
            return await declared.declare(connection, client.id, wanted, sealer.seal, sealer.open)

    assert await apply(other="x")
    assert not await apply(other="x")
    (shown,) = await endpoints.list()
    assert (shown["url"], shown["state"]) == (URL, "paused")
    reason = f"The webhook {URL} needs the key 'secret' of Secret 'hook', which is not there: add it."
    assert shown["paused_reason"] == reason
    for refused in (endpoints.resume(shown["id"]), endpoints.rotate(shown["id"], 60.0), endpoints.test(shown["id"])):
        with pytest.raises(Problem) as told:
            await refused
        assert (told.value.status, told.value.code) == (409, "wrong_state")
    await pool.execute(
        "insert into webhook_deliveries (id, endpoint_id, event, body, state) "
        "values (gen_random_uuid(), $1, 'sent', '{}', 1)",
        shown["id"],
    )
    assert await apply(secret="now")
    (shown,) = await endpoints.list()
    assert (shown["state"], shown["paused_reason"]) == ("active", None)
    assert [row["state"] for row in query("select state from webhook_deliveries")] == [0]
    # The key goes again: what was good goes on to sign.
    assert not await apply(other="x")
    assert [one["state"] for one in await endpoints.list()] == ["active"]


async def test_one_that_its_client_paused_stays_so_when_its_secret_changes(
    endpoints: Endpoints, pool: asyncpg.Pool, client: Any, sealing_key: str
) -> None:
    sealer, hook = Sealer(sealing_key), Webhook(URL, KeyRef("hook", "secret"))
    for secret in ("one", "two"):
        async with pool.acquire() as connection:
            wanted = wanted_endpoints(spec(hook), Inputs({"hook": {"secret": secret}}))
            await declared.declare(connection, client.id, wanted, sealer.seal, sealer.open)
        (shown,) = await endpoints.list()
        await endpoints.pause(shown["id"])
    assert [one["state"] for one in await endpoints.list()] == ["paused"]
