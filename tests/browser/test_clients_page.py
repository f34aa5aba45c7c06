"""Clients in the dashboard: what they may do is changed there, and what cannot be is refused with the reason."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import httpx
import pytest
from playwright.async_api import Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

Send = Callable[..., Awaitable[UUID]]


@pytest.fixture
def place(site: str) -> str:
    return f"{site}/ui/clients/default/storefront"


async def test_senders_limits_and_rules_are_changed(place: str, page: Page, send: Send, pool: asyncpg.Pool) -> None:
    await pool.execute("delete from clients")
    await send()
    await page.goto(place)
    await page.get_by_text("Change them").click()
    await page.get_by_label("Senders").fill("orders@shop.example.com\n*@shop.example.com\n")
    await page.get_by_label("Route").fill("inbox\nnobody=3")
    await page.get_by_label("Quota a month").fill("5000")
    await page.get_by_label("Mails a minute").fill("60")
    await page.get_by_label("Lane").select_option("high")
    await page.get_by_label("Uncertain mail").select_option("a person decides")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("dl.facts")).to_contain_text("60 a minute")
    await expect(page.locator(".note")).to_contain_text("The route names 'nobody'")
    row = await pool.fetchrow("select * from clients where name = 'storefront'")
    assert row["senders"] == ["orders@shop.example.com", "*@shop.example.com"]
    assert (row["route"], row["quota_monthly"], row["lane"]) == (["inbox", "nobody=3"], 5000, 0)
    assert (row["on_uncertain"], row["retry_attempts"]) == ("hold", None)
    assert await pool.fetchval("select action from audit") == "client.update"
    await page.get_by_text("Change them").click()
    await page.get_by_label("Quota a month").fill("")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("no quota")).to_be_visible()
    assert await pool.fetchval("select quota_monthly from clients where name = 'storefront'") is None


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"senders": "orders"}, "Senders: &#39;orders&#39; is neither an address"),
        ({"templates": "../up"}, "Templates: "),
        ({"route": "inbox\ninbox=2"}, "Route: &#39;inbox&#39; is named twice"),
        ({"quota_monthly": "many"}, "Quota a month: "),
        ({"rate_per_minute": "0"}, "Mails a minute: "),
        ({"lane": "fast"}, "Lane: "),
    ],
)
async def test_what_cannot_be_is_refused_with_the_field_and_the_reason(
    place: str, send: Send, pool: asyncpg.Pool, form: dict[str, str], says: str
) -> None:
    await send()
    before = await pool.fetchrow("select * from clients where name = 'storefront'")
    async with httpx.AsyncClient(headers={"Sec-Fetch-Site": "same-origin"}) as http:
        answer = await http.post(place, data=form)
    assert answer.status_code == 422
    assert says in answer.text
    assert await pool.fetchrow("select * from clients where name = 'storefront'") == before


async def test_what_an_email_client_declares_is_changed_there(place: str, send: Send, pool: asyncpg.Pool) -> None:
    await send()
    await pool.execute(
        """insert into declared (kind, namespace, name, generation, digest, metadata, spec, status)
           values ('EmailClient', 'default', 'storefront', 1, '', '{}', '{}', '{}')"""
    )
    try:
        async with httpx.AsyncClient(headers={"Sec-Fetch-Site": "same-origin"}) as http:
            answer = await http.post(place, data={"rate_per_minute": "1"})
            page = await http.get(place)
    finally:
        await pool.execute("delete from declared")
    assert answer.status_code == 422
    assert "EmailClient default/storefront declares them" in answer.text
    assert "Change them" not in page.text
