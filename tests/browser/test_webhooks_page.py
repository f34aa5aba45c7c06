"""Webhook endpoints in the dashboard: made, changed, paused, their secret rotated, and what they were told."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from playwright.async_api import Page, expect

from mailboat.domain import identifier
from mailboat.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

Send = Callable[..., Awaitable[UUID]]
URL = "https://shop.example.com/hooks/email"
FAILED, DELIVERED = 5, 3


async def told(pool: asyncpg.Pool, state: int, recipient: str) -> UUID:
    """A delivery of the only endpoint."""
    number = identifier.new()
    tries = [{"at": "2026-11-24T12:00:00Z", "status": 500, "detail": "<b>no</b>", "seconds": 0.2}]
    await pool.execute(
        """insert into webhook_deliveries (id, endpoint_id, event, body, state, attempts, tries)
           select $1, id, 'bounced', $2::json, $3, 1, $4::jsonb from webhook_endpoints""",
        number,
        json.dumps({"type": "bounced", "data": {"message_id": str(number), "recipient": recipient}}),
        state,
        json.dumps(tries),
    )
    return number


async def test_an_endpoint_is_made_changed_paused_and_removed(
    site: str, page: Page, send: Send, pool: asyncpg.Pool
) -> None:
    await send()
    await page.goto(f"{site}/ui/webhooks")
    await expect(page.get_by_text("Nobody is told anything")).to_be_visible()
    await page.get_by_label("Client", exact=True).select_option("default/storefront")
    await page.get_by_label("Address").fill(URL)
    await page.get_by_label("bounced").check()
    await page.get_by_role("button", name="Make it").click()
    secret = await page.locator("#secret").text_content() or ""
    assert secret.startswith("whsec_")
    await page.locator("#endpoints").get_by_role("link", name=URL).click()
    assert secret not in await page.content()
    await page.get_by_label("delivered").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("delivered")).to_be_checked()
    await page.get_by_role("button", name="Rotate").click()
    await page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    await expect(page.locator("#secret")).not_to_have_text(secret)
    await page.get_by_role("button", name="Pause").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause it").click()
    await expect(page.locator("h1 + .sub .pill")).to_have_text("paused")
    await page.get_by_role("button", name="Resume").click()
    await expect(page.locator("h1 + .sub .pill")).to_have_text("active")
    await page.get_by_role("button", name="Remove").click()
    await page.get_by_role("dialog").get_by_role("button", name="Remove it").click()
    await expect(page).to_have_url(f"{site}/ui/webhooks")
    acts = [row["action"] for row in await pool.fetch("select action from audit order by id")]
    steps = ("create", "change", "rotate", "pause", "resume", "remove")
    assert acts == [f"webhook.{step}" for step in steps]


async def endpoint(site: str, pool: asyncpg.Pool) -> str:
    """Where the page of a new endpoint is."""
    async with httpx.AsyncClient(base_url=site, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        answer = await http.post("/ui/webhooks", data={"client": "default/storefront", "url": URL})
        assert answer.status_code == 200
    return f"{site}/ui/webhooks/{await pool.fetchval('select id from webhook_endpoints')}"


async def test_what_failed_is_told_again(site: str, page: Page, send: Send, pool: asyncpg.Pool) -> None:
    await send()
    place = await endpoint(site, pool)
    for n in range(2):
        await told(pool, FAILED, f"failed-{n}@example.com")
    await told(pool, DELIVERED, "<script>alert(1)</script>")
    await page.goto(place)
    rows = page.locator("#log tbody tr")
    await expect(rows).to_have_count(3)
    await expect(rows.first).to_contain_text("<script>alert(1)</script>")
    await rows.first.get_by_text("what was told").click()
    await expect(rows.first.locator("pre")).to_contain_text('"type": "bounced"')
    await page.get_by_label("Result").select_option("failed")
    await expect(rows).to_have_count(2)
    await rows.first.get_by_role("button", name="Replay").click()
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="Replay failed").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay them").click()
    await expect(page.get_by_text("Nothing fits")).to_be_visible()
    assert await pool.fetchval("select count(*) from webhook_deliveries where state = 0") == 2
    await page.get_by_role("button", name="Send a test").click()
    await page.get_by_label("Result").select_option("waiting")
    await expect(rows).to_have_count(3)
    await expect(rows.first.locator("td:nth-child(2)")).to_have_text("test")


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"client": "default/nobody", "url": URL}, "Choose the client"),
        ({"client": "default/storefront", "url": "http://"}, "a URL of at most"),
        ({"client": "default/storefront", "url": "ftp://shop.example.com/hook"}, "https"),
        ({"client": "default/storefront", "url": URL, "events": "eaten"}, "nothing here"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_refused_with_the_reason(
    site: str, send: Send, form: dict[str, str], says: str
) -> None:
    await send()
    async with httpx.AsyncClient(base_url=site, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        answer = await http.post("/ui/webhooks", data=form)
        assert answer.status_code in (404, 422)
        assert says.lower() in answer.text.lower()


async def test_without_a_sealing_key_it_says_so(
    serve: Callable[..., AbstractAsyncContextManager[str]], send: Send, tmp_path: Path, pool: asyncpg.Pool
) -> None:
    await send()
    async with serve(Settings(dashboard="open", templates=str(tmp_path))) as origin, httpx.AsyncClient() as http:
        headers = {"Sec-Fetch-Site": "same-origin"}
        form = {"client": "default/storefront", "url": URL}
        answer = await http.post(f"{origin}/ui/webhooks", data=form, headers=headers)
    assert answer.status_code == 422
    assert "MAILBOAT_SEALING_KEY is not set" in answer.text
    assert await pool.fetchval("select count(*) from webhook_endpoints") == 0


async def test_what_an_email_client_declares_is_changed_there(site: str, send: Send, pool: asyncpg.Pool) -> None:
    await send()
    place = await endpoint(site, pool)
    await pool.execute("update webhook_endpoints set origin = 'resource'")
    async with httpx.AsyncClient(headers={"Sec-Fetch-Site": "same-origin"}) as http:
        for answer in (
            await http.post(place, data={"url": URL}),
            await http.post(f"{place}/rotate"),
            await http.delete(place),
        ):
            assert answer.status_code == 422
            assert "An EmailClient declares this endpoint" in answer.text
        assert (await http.get(place.rpartition("/")[0] + "/" + str(identifier.new()))).status_code == 404
