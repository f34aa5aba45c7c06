"""What a person sees when something is wrong: nothing there yet, no Postgres, no tables, no such page, no session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from axe_playwright_python import base
from playwright.async_api import BrowserContext, expect

from mailboat.db import migrate
from mailboat.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

Serve = Callable[[Settings], AbstractAsyncContextManager[str]]
AXE = Path(base.__file__).with_name("axe.min.js").read_text()
EMPTY = {
    "messages": "No mail was accepted yet",
    "dead-letters": "Nothing is waiting here",
    "dead-letters?status=failed": "Nothing is waiting here",
    "held": "Nothing is held",
    "inbox": "The inbox is empty",
    "templates": "There are no templates yet",
    "clients": "New client",
    "providers": "from the settings",
    "webhooks": "Nobody is told anything",
    "suppressions": "No address is suppressed",
    "audit": "Nobody changed anything yet",
    "welcome": "Ready to sail",
}
PARTS = ("nav", "inbox/rows", "welcome/first", "welcome/parts")
MISSING = (
    "nothing", "messages/nothing", "messages/01a20dbe-0874-77b3-8613-b20240248d51", "webhooks/nothing",
    "webhooks/01a20dbe-0874-77b3-8613-b20240248d51", "clients/default/nobody", "templates/none", "inbox/nothing",
    "audit/more", "clients/default/%00", "messages?before=nonsense", "webhooks/%00", "providers/none",
)  # fmt: skip


async def test_an_empty_database_says_what_is_not_there_yet(site: str, pool: asyncpg.Pool) -> None:
    await pool.execute("delete from clients")
    async with httpx.AsyncClient(base_url=site) as http:
        for path, says in EMPTY.items():
            answer = await http.get(f"/ui/{path}")
            assert (path, answer.status_code) == (path, 200)
            assert says in answer.text, path
        assert (await http.get("/ui/")).headers["location"] == "/ui"


async def test_what_is_not_there_has_a_page_that_says_so(site: str) -> None:
    async with httpx.AsyncClient(base_url=site) as http:
        for path in MISSING:
            answer = await http.get(f"/ui/{path}")
            assert (path, 400 <= answer.status_code < 500) == (path, True)
            assert "<h1>" in answer.text, path


async def test_without_postgres_every_page_says_so(site: str, postgres: Any) -> None:
    await asyncio.to_thread(postgres.stop)
    try:
        async with httpx.AsyncClient(base_url=site, timeout=30) as http:
            for path in ("", *EMPTY, *PARTS, "clients/default/storefront"):
                answer = await http.get(f"/ui/{path}".rstrip("/"))
                assert (path, answer.status_code) == (path, 503)
                assert "Postgres is away" in answer.text, path
    finally:
        await asyncio.to_thread(postgres.start)


async def test_without_tables_it_says_which_command_makes_them(
    serve: Serve, postgres: Any, pool: asyncpg.Pool, browser: BrowserContext, tmp_path: Path
) -> None:
    await pool.execute("alter schema public rename to away")
    try:
        async with serve(Settings(dashboard="open", templates=str(tmp_path))) as origin:
            page = await browser.new_page()
            for path in ("", "/messages", "/clients"):
                answer = await page.goto(f"{origin}/ui{path}")
                assert answer is not None
                assert answer.status == 503
                await expect(page.get_by_role("heading", level=1)).to_have_text("The database is not made yet")
                await expect(page.get_by_text("mailboat migrate")).to_be_visible()
            await page.goto("about:blank")
    finally:
        await pool.execute("alter schema away rename to public")
    assert migrate.revisions()


async def test_who_is_not_signed_in_meets_no_barrier(serve: Serve, browser: BrowserContext, tmp_path: Path) -> None:
    page = await browser.new_page()
    settings = Settings(dashboard="login", admin_token="a-long-admin-token", templates=str(tmp_path))
    async with serve(settings) as origin:
        await page.goto(f"{origin}/ui/messages")
        await page.get_by_label("Token").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.evaluate(AXE)
        found = await page.evaluate("axe.run(document, {iframes: false}).then(({violations}) => violations)")
        assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
        await page.goto("about:blank")
