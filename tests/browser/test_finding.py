"""Mail is found by a whole address however long ago it was, and dear figures keep nobody waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from mailboat.db.states import State
from mailboat.delivery import figures, search
from mailboat.delivery.search import Wanted

pytestmark = pytest.mark.asyncio(loop_scope="session")

Send = Callable[..., Awaitable[UUID]]


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that a dozen messages are too many for."""
    monkeypatch.setattr(search, "WINDOW", 5)
    monkeypatch.setattr(search, "SCATTERED", 5)
    monkeypatch.setattr(search, "NEWEST", 3)


async def found(pool: asyncpg.Pool, words: str, limit: int = 50, **narrowed: str) -> list[UUID]:
    return [item["id"] for item in (await search.find(pool, Wanted(words, **narrowed), limit=limit)).items]


async def test_an_address_leads_to_mail_beyond_the_window(pool: asyncpg.Pool, send: Send) -> None:
    old = await send("Ada.Lovelace@example.com", ago=5000)
    for n in range(10):
        await send(f"user-{n}@example.com", ago=1000 - n)
    assert await found(pool, "ada.lovelace@EXAMPLE.com") == [old]
    assert await found(pool, "ada.lovelace") == []
    assert await found(pool, "ada.lovelace@example") == []
    assert await found(pool, "ada.lovelace@example.com", status="sent") == [old]
    assert await found(pool, "ada.lovelace@example.com", status="dead") == []


async def test_an_address_is_found_among_further_recipients(pool: asyncpg.Pool, send: Send) -> None:
    old = await send("ada@example.com", ago=5000)
    both = {
        "sender": {"email": "a@b.example"},
        "to": [{"email": "ada@example.com"}],
        "bcc": [{"email": "Eve@c.example"}],
    }
    await pool.execute("update messages set envelope = $2::json where id = $1", old, json.dumps(both))
    for n in range(10):
        await send(f"user-{n}@example.com", ago=1000 - n)
    assert await found(pool, "eve@c.example") == [old]


async def test_an_address_that_gets_much_mail_is_paged(pool: asyncpg.Pool, send: Send) -> None:
    sent = [await send("ada@example.com", ago=1000 - n) for n in range(9)][::-1]
    page = await search.find(pool, Wanted("ada@example.com"), limit=2)
    seen = [item["id"] for item in page.items]
    while page.next:
        page = await search.find(pool, Wanted("ada@example.com"), limit=2, cursor=page.next)
        seen += [item["id"] for item in page.items]
    assert seen == sent


async def test_dead_mail_to_an_address_is_found_by_both(pool: asyncpg.Pool, send: Send) -> None:
    dead = await send("ada@example.com", State.DEAD, ago=5000)
    for n in range(10):
        await send("ada@example.com", ago=1000 - n)
    assert await found(pool, "ada@example.com", limit=5, status="dead") == [dead]


async def test_an_index_leads_to_an_address(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        await connection.execute(search._BY_INDEX)
        plan = await connection.fetch(f"explain select id from messages where {search._FIRST} = $1", "ada@example.com")
        several = await connection.fetch(f"explain select id from messages where {search._SEVERAL} order by id desc")
    assert "Bitmap Index Scan" in str(plan)
    assert "Index" in str(several)


async def test_figures_that_are_dear_are_renewed_behind_those_that_are_shown(
    pool: asyncpg.Pool, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "DEAR_SECONDS", 0.0)
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(figures, "REST", 0)
    gauge = figures.Gauge(pool)
    assert sum((await gauge.read("24h")).series.accepted) == 0
    await asyncio.gather(*gauge._underway.values())
    await send()
    shown = await gauge.read("24h")
    await asyncio.gather(*gauge._underway.values())
    assert sum((await gauge.read("24h")).series.accepted) == 1
    assert sum(shown.series.accepted) == 0
    await asyncio.gather(*gauge._underway.values())


async def test_figures_that_cost_nothing_are_never_old(
    pool: asyncpg.Pool, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "DEAR_SECONDS", 60.0)
    monkeypatch.setattr(figures, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(figures, "REST", 0)
    gauge = figures.Gauge(pool)
    assert sum((await gauge.read("24h")).series.accepted) == 0
    await send()
    assert sum((await gauge.read("24h")).series.accepted) == 1
    assert not gauge._underway


async def test_figures_that_are_too_old_are_waited_for() -> None:
    kept = figures.Kept(await _none(), took=1.0, at=0.0)
    assert kept.is_fresh(29.0)
    assert not kept.is_fresh(31.0)
    assert kept.will_do(599.0)
    assert not kept.will_do(601.0)


async def _none() -> figures.Figures:
    series = figures.Series([], [], [], [], [], [], [], [])
    return figures.Figures([], series, [], 0, 0, None, [], [], datetime.now(UTC))
