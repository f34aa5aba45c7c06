"""Stopped mail is dealt with by the tick and by the thousand, and one sees how far it has come."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import httpx
import pytest
from playwright.async_api import Page, expect

from mailboat.db.states import State
from mailboat.delivery import stopped

pytestmark = pytest.mark.asyncio(loop_scope="session")

Send = Callable[..., Awaitable[UUID]]


async def count(pool: asyncpg.Pool, state: State) -> int:
    found: int = await pool.fetchval("select count(*) from queue where state = $1", state)
    return found


async def test_those_that_are_ticked_are_replayed(site: str, page: Page, send: Send, pool: asyncpg.Pool) -> None:
    for n in range(4):
        await send(f"late-{n}@example.com", State.DEAD, words="Timed out")
    await page.goto(f"{site}/ui/dead-letters")
    bar = page.get_by_role("group", name="Selected messages")
    await expect(bar.get_by_role("button", name="Replay selected")).to_be_disabled()
    await page.get_by_label("Select late-1@example.com").check()
    await page.get_by_label("Select late-2@example.com").check()
    await expect(bar.locator("output")).to_have_text("2 selected")
    await bar.get_by_role("button", name="Replay selected").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay them").click()
    await expect(page.locator("#job h2")).to_have_text("2 messages are queued again")
    await page.get_by_role("link", name="Show what is left").click()
    await expect(page.locator("tbody .go")).to_have_text(["late-3@example.com", "late-0@example.com"])
    await page.get_by_label("All on this page").check()
    await expect(bar.locator("output")).to_have_text("2 selected")
    await bar.get_by_role("button", name="Replay selected").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replay them").click()
    await expect(page.locator("#job h2")).to_have_text("2 messages are queued again")
    assert await count(pool, State.QUEUED) == 4
    assert await pool.fetchval("select count(*) from audit where action = 'dead_letters.replay'") == 2


async def test_held_mail_is_released_and_failed_by_the_tick_and_in_all(
    site: str, page: Page, send: Send, pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopped, "AT_ONCE", 3)
    for n in range(10):
        await send(f"held-{n}@example.com", State.HELD, words="The connection broke")
    await page.goto(f"{site}/ui/held")
    for name, verb, ticked in (("Send selected again", "Send them again", 1), ("Fail selected", "Fail them", 2)):
        await page.get_by_label(f"Select held-{ticked}@example.com").check()
        await page.get_by_role("button", name=name).click()
        await page.get_by_role("dialog").get_by_role("button", name=verb).click()
        await expect(page.locator("#job h2")).to_contain_text("1 message is")
        await page.get_by_role("link", name="Show what is left").click()
    await expect(page.locator("#held article")).to_have_count(8)
    await page.get_by_role("button", name="Send all 8 again").click()
    await page.get_by_role("dialog").get_by_role("button", name="Send all again").click()
    await expect(page.locator("#job h2")).to_have_text("8 messages are queued again")
    assert (await count(pool, State.QUEUED), await count(pool, State.FAILED)) == (9, 1)
    assert await count(pool, State.HELD) == 0


async def test_nothing_is_done_when_nothing_is_ticked(site: str, send: Send, pool: asyncpg.Pool) -> None:
    await send("held@example.com", State.HELD)
    async with httpx.AsyncClient(base_url=site, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        for path in ("/ui/held/all/release", "/ui/held/all/fail", "/ui/dead-letters/selected"):
            answer = await http.post(path, data={})
            assert answer.status_code == 422
            assert "Tick the messages first." in answer.text
        assert (await http.post("/ui/held/all/eat", data={"all": "1"})).status_code == 404
        assert (await http.post("/ui/held/all/fail", data={"id": "no-id"})).status_code == 404
    assert await count(pool, State.HELD) == 1
