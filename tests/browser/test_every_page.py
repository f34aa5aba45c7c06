"""Every page with data from strangers in every field, as axe-core, three kinds of screen and a script see it.

Pictures of each are kept; the test prints where.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from uuid import UUID

import asyncpg
import httpx
import pytest
from playwright.async_api import BrowserContext, Page, Route, expect
from pytest_asyncio import fixture

from mailboat.api.app import create
from mailboat.db.states import State
from mailboat.domain import identifier
from mailboat.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

Send = Callable[..., Awaitable[UUID]]
TRAP = """"><img src=x onerror="owned=1"><script>owned=1</script>'{{7*7}}"""
LONG = "somebody-with-a-very-long-name@a-very-long-domain.example.com"
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text()
LOOK = """
async (only) => {
  const options = {iframes: false, resultTypes: ["violations"]};
  if (only) options.runOnly = {type: "rule", values: only};
  const {violations} = await axe.run(document, options);
  return violations.filter(({impact}) => ["serious", "critical"].includes(impact))
    .map(({id, nodes}) => [id, ...nodes.slice(0, 5).map(({html, any}) => `${html.slice(0, 200)} ${any[0]?.message}`)]);
}
"""
# Their names, widths and colours, and what only they can show: all rules are looked at on the first.
SCREENS: tuple[tuple[str, int, Literal["light", "dark"], list[str] | None], ...] = (
    ("light", 1280, "light", None),
    ("dark", 1280, "dark", ["color-contrast"]),
    ("phone", 390, "light", ["target-size", "scrollable-region-focusable", "label", "button-name"]),
)
PAGES = (
    "", "messages", "messages/{message}", "messages/{held}", "messages?q=nobody", "dead-letters",
    "dead-letters?status=failed", "dead-letters/of?error=Timed", "held", "inbox", "inbox/{mail}", "templates",
    "templates/hello", "templates/hello/revisions", "templates/broken", "clients", "clients/default/storefront",
    "providers", "webhooks", "webhooks/{endpoint}", "suppressions", "audit", "welcome",
)  # fmt: skip


@fixture(loop_scope="session")
async def places(pool: asyncpg.Pool, send: Send, keep: Any, receipt: Any, tmp_path: Path) -> dict[str, str]:
    """The ids of what was made, each with a trap in every field that anybody may fill."""
    await pool.execute("delete from clients")
    (tmp_path / "hello.html.j2").write_text(
        "---\nsubject: Hello {{ name }}\nexample: {name: '<script>x</script>'}\n---\n{{ name }}"
    )
    (tmp_path / "broken.html.j2").write_text(f"---\nsubject: a\n---\n{{% {TRAP} %}}")
    sent = await send(event="bounced", words=TRAP)
    dead = await send("late@example.com", State.DEAD, words=TRAP)
    await send("later@example.com", State.FAILED, words=TRAP)
    held = await send("held@example.com", State.HELD, words=TRAP)
    await send("soon@example.com", State.SCHEDULED, ago=-600)
    for state in (State.DEAD, State.HELD):
        await send(LONG, state, words="Timed out " * 30)
    for message_id in (sent, dead):
        envelope = {
            "sender": {"email": "a@b.example", "name": TRAP},
            "to": [{"email": f'"{TRAP}"@b.example', "name": TRAP}],
        }
        await pool.execute(
            """update messages set template = $2, revision = $2, locale = $2, envelope = $3::json, data = $4::json,
               content = $5::json, tags = $4::jsonb, metadata = $4::json, headers = $4::json where id = $1""",
            message_id, TRAP, json.dumps(envelope), json.dumps({TRAP: TRAP}),
            json.dumps({"subject": TRAP, "html": f"<p>{TRAP}</p>", "text": TRAP}),
        )  # fmt: skip
        await pool.execute("update queue set provider = $2, provider_message_id = $2 where id = $1", message_id, TRAP)
        await pool.execute("update attempts set provider = $2 where message_id = $1", message_id, TRAP)
    await pool.execute("insert into clients (name, senders, templates) values ($1, $2, $2)", TRAP, [TRAP])
    client = await pool.fetchval("select id from clients where name = 'storefront'")
    await pool.execute(
        "insert into client_keys (key, client_id, secret_hash) values ($1, $2, '') on conflict do nothing", TRAP, client
    )
    await pool.execute(
        "insert into audit (actor, action, subject, detail) values ($1, $1, $1, $2)", TRAP, json.dumps({TRAP: TRAP})
    )
    await pool.execute(
        "insert into suppressions (client_id, address, reason, source, detail) values (0, $1, 'manual', $1, $1)", TRAP
    )
    await pool.execute("insert into providers (namespace, name, kind, spec) values ($1, $1, $1, '{}')", TRAP)
    for key in ("inbox", f"{TRAP}/{TRAP}"):
        await pool.execute("insert into circuit_changes (provider, state, reason) values ($1, 'open', $2)", key, TRAP)
    endpoint = identifier.new()
    await pool.execute(
        """insert into webhook_endpoints (id, client_id, url, events, sealed, failures, failing_since, paused_at,
           paused_reason) values ($1, $2, $3, '{bounced}', '', 3, now(), now(), $3)""",
        endpoint, client, TRAP,
    )  # fmt: skip
    await pool.execute(
        """insert into webhook_deliveries (id, endpoint_id, event, body, state, attempts, tries)
           values ($1, $1, $2, $3, 5, 1, $4)""",
        endpoint, TRAP, json.dumps({"data": {"message_id": TRAP, "recipient": TRAP}}),
        json.dumps([{"at": TRAP, "status": None, "detail": TRAP, "seconds": 0.1}]),
    )  # fmt: skip
    mail = await keep(receipt(1, subject=TRAP.replace("\n", ""), to="Ada <ada@example.com>"), at=datetime.now(UTC))
    return {"message": str(sent), "held": str(held), "mail": str(mail), "endpoint": str(endpoint)}


@fixture(loop_scope="session")
async def examined(browser: BrowserContext) -> AsyncIterator[Page]:
    """A page whose console nobody reads: axe and the camera bring styles of their own, which our policy may refuse."""
    yield await browser.new_page()


async def test_every_page_is_free_of_barriers_and_runs_nothing(
    site: str, browser: BrowserContext, places: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pictures = tmp_path_factory.mktemp("pictures")
    print(f"pictures of every page: {pictures}")
    left = list(PAGES)
    faults: dict[str, dict[str, list[Any]]] = {}

    async def walk() -> None:
        page = await browser.new_page()
        while left:
            path = left.pop(0)
            await page.set_viewport_size({"width": 1280, "height": 844})
            await page.goto(f"{site}/ui/{path.format(**places)}".rstrip("/"))
            await expect(page.locator("h1").first).to_be_visible()
            await expect(page.locator(".htmx-request")).to_have_count(0)
            faults[path] = await faults_of(page, pictures / (re.sub(r"\W+", "-", path) or "overview"))

    await asyncio.gather(walk(), walk())
    assert {path: found for path, found in faults.items() if found} == {}


async def faults_of(page: Page, picture: Path) -> dict[str, list[Any]]:
    """What is wrong with a page that is open, by the screen on which it shows."""
    await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    faults = await looked_at(page, picture)
    if await page.evaluate("document.querySelectorAll('main img, main script').length || window.owned"):
        faults["trap"] = ["something of what strangers wrote became a part of the page"]
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        faults["phone"] = ["it is wider than a phone", *faults["phone"]]
    return {screen: found for screen, found in faults.items() if found}


async def looked_at(page: Page, picture: Path) -> dict[str, list[Any]]:
    """What axe-core finds on a desktop, in the dark and on a phone."""
    await page.evaluate(AXE)
    found = {}
    for screen, width, scheme, only in SCREENS:
        await page.set_viewport_size({"width": width, "height": 844})
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found[screen] = await page.evaluate(LOOK, only)
        await page.screenshot(path=f"{picture}-{screen}.jpg", full_page=True, type="jpeg", quality=70)
    return found


async def test_the_reference_of_the_api_is_free_of_barriers(
    pool: asyncpg.Pool, examined: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context: Any = SimpleNamespace(
        pool=pool, settings=Settings(dashboard="closed"), feed=None, catalog=None, doorbell=None
    )
    transport = httpx.ASGITransport(create(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:

        async def answer(route: Route) -> None:
            answered = await http.get(route.request.url)
            await route.fulfill(status=answered.status_code, headers=dict(answered.headers), body=answered.content)

        await examined.route("**/*", answer)
        await examined.goto("http://localhost/docs")
        await expect(examined.locator("h1")).to_be_visible()
        # Every operation is marked up alike: axe takes a minute for all of them.
        await examined.evaluate("document.querySelectorAll('section[id]').forEach((one, n) => n > 5 && one.remove())")
        assert await faults_of(examined, tmp_path_factory.mktemp("pictures") / "docs") == {}


async def test_a_barrier_would_be_found(site: str, examined: Page) -> None:
    await examined.goto(f"{site}/ui/clients")
    await examined.evaluate("document.querySelectorAll('main label').forEach((one) => one.remove())")
    await examined.evaluate(AXE)
    assert "label" in {rule for rule, *_ in await examined.evaluate(LOOK, None)}
