"""What a Postgres that goes away looks like is known, whatever asyncpg makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from mailboat.db import engine


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
async def test_whatever_a_stopping_and_starting_server_causes_means_away(number, own_postgres, eventually):
    """Among it is what asyncpg raises for a request that crosses the server's goodbye: its InternalClientError."""
    pool = await engine.pool(own_postgres.dsn(), name="test", size=16)
    answered = [0.0] * 16
    strange: list[BaseException] = []

    async def ask(place: int) -> None:
        while True:
            try:
                await pool.fetchval("select $1::int", place)
                answered[place] = time.monotonic()
            except engine.AWAY:
                pass
            except Exception as error:  # noqa: BLE001 - it is what the test looks for
                strange.append(error)
            await asyncio.sleep(0.001)

    asking = [asyncio.ensure_future(ask(place)) for place in range(16)]
    for _ in range(3):
        await eventually(lambda: min(answered))
        await asyncio.to_thread(own_postgres.stop, number)
        await asyncio.to_thread(own_postgres.start)
        back_at = time.monotonic()
        await eventually(lambda back_at=back_at: min(answered) > back_at)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await pool.close()
    assert strange == []


async def test_connections_say_who_they_are_and_what_they_want(dsn):
    connection = await engine.connect(dsn, name="mailboat-test", enable_seqscan="off")
    assert await connection.fetchval("show application_name") == "mailboat-test"
    assert await connection.fetchval("show enable_seqscan") == "off"
    assert await connection.fetchval("show jit") == "off"
    await connection.close()


async def test_a_loop_whose_cancellation_was_told_as_a_lost_connection_ends_at_its_next_pause():
    asking = asyncio.Event()

    async def ask() -> None:
        try:
            asking.set()
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ConnectionResetError from None

    async def loop() -> None:
        while True:
            with contextlib.suppress(*engine.AWAY):
                await ask()
            await engine.pause(0)

    task = asyncio.create_task(loop())
    await asking.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=10)
    assert done
    assert task.cancelled()
