"""Back-pressure: a slow Postgres makes the API say 503 in time, and costs no memory and no mail."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import psutil
import pytest
from tests.chaos.conftest import Fleet
from tests.chaos.harness import Caller, at_length

pytestmark = pytest.mark.asyncio(loop_scope="session")
CALLERS = 200
MOST_SECONDS = 5.0
SECONDS = 4.0


async def _press(fleet: Fleet, seconds: float) -> tuple[list[tuple[int, float]], int]:
    """Post without pause. (status, seconds) of every answer, and by how many octets the API grew."""
    answers: list[tuple[int, float]] = []
    api = psutil.Process(fleet.roles["api-0"].process.pid)
    before, until = api.memory_info().rss, time.monotonic() + seconds
    body = b'{"template": "receipt", "to": "ada@example.com", "data": {"order": "%s"}}' % (b"x" * 2000)

    async def call(number: int) -> None:
        caller = Caller([fleet.ports[0]], fleet.headers)
        for n in range(1000):
            begun = time.monotonic()
            if begun >= until:
                break
            status, headers, _ = await caller.post(body, f"press-{number}-{n}")
            assert status == 202 or "retry-after" in headers
            answers.append((status, time.monotonic() - begun))
            await asyncio.sleep(0.02)
        caller.close()

    await asyncio.gather(*map(call, range(CALLERS)))
    return answers, api.memory_info().rss - before


async def _warm(fleet: Fleet) -> None:
    """The client's key is verified and its template known."""
    async with fleet.load().flowing() as load:
        await load.until_accepted(50)


def _check(answers: list[tuple[int, float]], grown: int) -> None:
    slowest = max(seconds for _, seconds in answers)
    statuses = {status: sum(1 for s, _ in answers if s == status) for status in {s for s, _ in answers}}
    print(f"{statuses}, slowest {slowest:.2f} s, grown by {grown / 2**20:.1f} MiB")
    assert set(statuses) <= {202, 503}
    assert slowest < MOST_SECONDS
    assert grown < 64 * 2**20


@pytest.mark.parametrize(("delay", "answer"), [pytest.param(1.0, 202, marks=at_length), (3.0, 503)])
async def test_a_slow_line_to_postgres_is_answered_in_time(fleet: Fleet, delay: float, answer: int) -> None:
    await _warm(fleet)
    fleet.lines["api-postgres"].delay = delay
    answers, grown = await _press(fleet, SECONDS)
    fleet.lines["api-postgres"].delay = 0.0
    _check(answers, grown)
    assert any(status == answer for status, _ in answers)
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)


async def test_a_lock_in_postgres_is_answered_in_time(fleet: Fleet) -> None:
    await _warm(fleet)
    connection = await asyncpg.connect(fleet.postgres.dsn())
    async with connection.transaction():
        await connection.execute("lock table usage in access exclusive mode")
        answers, grown = await _press(fleet, SECONDS)
    await connection.close()
    _check(answers, grown)
    async with fleet.load().flowing() as load:
        await load.until_accepted(100)
