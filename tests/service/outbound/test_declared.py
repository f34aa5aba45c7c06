"""Endpoints that an EmailClient declares, beside those that its client made."""

from __future__ import annotations

from typing import Any

import asyncpg

from mailboat.declare.clients import wanted_endpoints
from mailboat.declare.inputs import Inputs
from mailboat.declare.seal import Sealer
from mailboat.delivery import endpoints as declared
from mailboat.delivery.endpoints import Endpoints
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
    assert not await apply("two", Webhook(URL, KeyRef("hook", "missing")))
