"""The first minutes with Mailboat, and the minutes without Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from playwright.async_api import BrowserContext, Page, expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

Keep = Callable[..., Awaitable[UUID]]
Receipt = Callable[..., EmailMessage]


async def test_the_first_mail_shows_at_once_where_one_waits(
    site: str, page: Page, keep: Keep, receipt: Receipt
) -> None:
    await page.goto(f"{site}/ui")
    await expect(page).to_have_url(f"{site}/ui/welcome")
    await expect(page.locator("#curl")).to_contain_text("-H 'X-Api-Key: mb_4F7RW1QD'")
    await expect(page.locator("#curl")).to_contain_text(f"curl {site}/v1/send")
    await page.evaluate("window.untouched = true")
    message_id = await keep(receipt(1))
    await expect(page.frame_locator("iframe").get_by_text("Order A-1")).to_be_visible()
    assert await page.evaluate("window.untouched"), "The page was loaded again."
    await page.get_by_role("link", name="Open in the inbox").click()
    await expect(page).to_have_url(f"{site}/ui/inbox/{message_id}")
    await page.get_by_role("link", name="Mailboat").first.click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_the_curl_line_can_be_copied(site: str, page: Page) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site)
    await page.goto(f"{site}/ui/welcome")
    await page.get_by_role("button", name="Copy the curl line").click()
    await expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator("#curl").inner_text()
    assert '"to": "Ada <ada@example.com>"' in copied


async def test_the_parts_say_whether_a_worker_lives(site: str, page: Page, pool: asyncpg.Pool) -> None:
    await page.goto(f"{site}/ui/welcome")
    parts = page.get_by_role("region", name="Parts")
    await expect(parts).to_contain_text("Worker · none is running")
    await pool.execute("insert into workers (name) values ('one')")
    await page.evaluate("document.body.dispatchEvent(new CustomEvent('tick'))")
    await expect(parts).to_contain_text("Worker · 1, last heartbeat")


async def test_without_postgres_the_page_says_so_and_comes_back_by_itself(
    site: str, browser: BrowserContext, keep: Keep, receipt: Receipt, postgres: Any
) -> None:
    page = await browser.new_page()
    await keep(receipt(1))
    await asyncio.to_thread(postgres.stop)
    try:
        answer = await page.goto(f"{site}/ui/inbox")
        assert answer.status == 503
        await expect(page.get_by_role("heading", name="Postgres is away")).to_be_visible()
        async with page.expect_response("**/ui/health"):
            pass
        await expect(page.get_by_text("Trying every 2 seconds")).to_be_visible()
    finally:
        await asyncio.to_thread(postgres.start)
    await expect(page.get_by_role("article", name="Receipt A-1")).to_be_visible()
