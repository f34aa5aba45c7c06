"""A declared provider's webhooks are expected by the API, as soon as it is declared and until it is deleted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from mailboat.declare.inputs import Inputs

DELIVERED = {
    "RecordType": "Delivery",
    "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
    "Recipient": "ada@example.com",
    "DeliveredAt": "2026-12-01T09:00:00Z",
    "Details": "OK",
    "ServerID": 1,
    "MessageStream": "outbound",
    "Metadata": {},
    "Tag": "",
}


async def test_a_declared_providers_webhooks_are_verified_with_its_secret(
    declarer: Any, provider: Any, settings_of: Any, start_role: Any, sealing_key: str, query: Any, until: Any
) -> None:
    settings = settings_of(sealing_key=sealing_key)
    api = await asyncio.to_thread(lambda: start_role("api", settings).until_ready())

    def post(password: str, name: str = "shop/postmark") -> int:
        url = f"{api.url}/webhooks/postmark/{name}"
        return httpx.post(url, json=DELIVERED, auth=("hook", password)).status_code

    assert await asyncio.to_thread(post, "right") == 404
    inputs = Inputs({"token": {"server-token": "t"}, "hook": {"username": "hook", "password": "right"}})
    spec = {"postmark": {"endpoint": "http://127.0.0.1:1"}, "credentials": {"secretRef": {"name": "token"}}}
    await declarer.apply(provider("postmark", **spec, webhook={"secretRef": {"name": "hook"}}), inputs)
    await asyncio.to_thread(until, lambda: post("right") == 204)
    assert await asyncio.to_thread(post, "wrong") == 401
    assert await asyncio.to_thread(post, "right", "postmark") == 404
    assert [row["provider"] for row in query("select provider from webhook_receipts")] == ["shop/postmark"]
    await declarer.delete("EmailProvider", "shop", "postmark")
    await asyncio.to_thread(until, lambda: post("right") == 404)
