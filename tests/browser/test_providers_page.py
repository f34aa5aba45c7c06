"""The page of the providers: how each circuit stands and stood, the switch, and a mail to try one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from playwright.async_api import Page, expect

from mailboat.dashboard.views.providers import STRIP, strip

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_circuit_is_opened_and_closed_by_hand(site: str, page: Page, pool: asyncpg.Pool) -> None:
    await page.goto(f"{site}/ui/providers")
    card = page.locator("article", has_text="Inbox · from the settings")
    await expect(card.locator(".pill").first).to_have_text("closed")
    await card.get_by_role("button", name="Open by hand").click()
    await page.get_by_role("dialog").get_by_role("button", name="Open the circuit").click()
    await expect(card.locator(".note")).to_contain_text("A person keeps it out")
    await expect(card.locator(".pill").first).to_have_text("open")
    await card.get_by_role("button", name="Close by hand").click()
    await page.get_by_role("dialog").get_by_role("button", name="Close the circuit").click()
    await expect(card.locator(".pill").first).to_have_text("closed")
    await card.get_by_text("What the circuit did").click()
    await expect(card.locator("tbody tr")).to_have_count(2)
    await expect(card.locator("tbody tr").first).to_contain_text("a person")
    await page.evaluate("tell('tick')")
    await expect(card.locator("tbody tr").first).to_be_visible()
    acts = [
        (row["actor"], row["action"], row["subject"]) for row in await pool.fetch("select * from audit order by id")
    ]
    assert acts == [("dashboard", "provider.open", "inbox"), ("dashboard", "provider.close", "inbox")]


async def test_a_mail_is_sent_through_a_provider_to_try_it(site: str, page: Page, pool: asyncpg.Pool) -> None:
    await page.goto(f"{site}/ui/providers")
    form = page.get_by_role("form", name="A test through inbox")
    await form.get_by_label("From").fill("orders@shop.example.com")
    await form.get_by_label("To").fill("Ops <ops@example.com>")
    await form.get_by_label("Subject").fill("Does it <b>work</b>?")
    await form.get_by_role("button", name="Send a test").click()
    await expect(form.locator("output")).to_contain_text("kept in the inbox")
    await page.evaluate("tell('tick')")
    await expect(form.get_by_label("Subject")).to_have_value("Does it <b>work</b>?")
    assert await pool.fetchval("select subject from inbox where 'ops@example.com' = any(recipients)")
    assert await pool.fetchval("select count(*) from messages") == 0


@pytest.mark.parametrize(("sender", "to"), [("orders", "ops@example.com"), ("a@example.com", "")])
async def test_a_test_without_addresses_is_refused_with_the_reason(site: str, sender: str, to: str) -> None:
    async with httpx.AsyncClient(base_url=site, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        answer = await http.post("/ui/providers/inbox/test", data={"from": sender, "to": to})
        assert answer.status_code == 422
        assert "is not a mail address" in answer.text
        for act in ("open", "close", "test"):
            assert (await http.post(f"/ui/providers/default/nobody/{act}", data={})).status_code == 404


NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def change(state: str, hours: float) -> dict[str, object]:
    return {"state": state, "at": NOW - timedelta(hours=hours)}


async def test_the_picture_of_a_circuit_covers_the_day_and_shows_a_moment() -> None:
    assert strip([], NOW) == [("closed", 0.0, STRIP)]
    assert strip([change("open", 30)], NOW) == [("open", 0.0, STRIP)]
    changes = [change("closed", 5.999), change("open", 6), change("closed", 40)]
    assert [one[:2] for one in strip(changes, NOW)] == [("closed", 0.0), ("open", 72.0), ("closed", 72.0)]
    assert all(width >= 0.5 for _, _, width in strip(changes, NOW))
